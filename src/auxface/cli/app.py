"""All commands, and the exit codes: 0 success, 1 bug in auxface, 2 invalid input, 3 failed gate, 130 interruption."""

import errno
import io
import json
import os
import shlex
import sys
import warnings
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from auxface import __version__
from auxface.cli import (
    audit,
    data,
    demo,
    evaluate,
    identity,
    predict,
    prepare,
    serve,
    study,
    texture,
    train,
)
from auxface.cli.options import Json
from auxface.errors import InputError, escape_controls

_ORDER = (
    "demo",
    "prepare",
    "data",
    "plan",
    "train",
    "evaluate",
    "audit",
    "audit plan",
    "predict",
    "embed",
    "search",
    "explain",
    "export",
    "serve",
    "study",
    "texture",
    "doctor",
)
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_UNUSABLE_PATH = (
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP,
)  # fmt: skip
_default_format = warnings.formatwarning
# Some versions of Typer import click, others contain a copy of it.
_UsageError: type[Exception] = typer.BadParameter.__mro__[2]


class _Commands(TyperGroup):
    """A group that lists commands in the order of use; Typer would list commands with subcommands last."""

    def list_commands(self, ctx: object) -> list[str]:
        return sorted(self.commands, key=_ORDER.index)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        # The first argument of audit is a table, so audit cannot be a command group; a table named "plan" is "./plan".
        if args[:2] == ["audit", "plan"]:
            args = ["audit plan", *args[2:]]
        name, command, rest = super().resolve_command(ctx, args)
        _refuse_repeated_options(command, rest)
        return name, command, rest


def _refuse_repeated_options(command: Any, args: list[str]) -> None:
    """Refuse an option that takes one value and is given several times; click would use the last value silently."""
    given = args[: args.index("--")] if "--" in args else args
    for option in getattr(command, "params", ()):
        if option.param_type_name != "option" or option.multiple or option.is_flag or option.count:
            continue
        names = [*option.opts, *option.secondary_opts]
        count = sum(one in names or one.partition("=")[0] in names for one in given)
        if count > 1:
            raise _UsageError(f"{option.opts[0]} is given {count} times; it takes one value")


def _doctor(as_json: Json = False) -> None:
    """Print the versions, the machine, the accelerator and the optional dependencies."""
    from auxface.doctor import doctor

    found = doctor()
    if as_json:
        typer.echo(json.dumps(found))
        return
    for name, value in found.items():
        shown = ", ".join(f"{key} {item}" for key, item in value.items()) if isinstance(value, dict) else value
        typer.echo(f"{name}: {shown}")


app = typer.Typer(
    name="auxface",
    help="Train face models on a task and on local texture, evaluate them by group, and use them.",
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(name="demo")(demo.command)
app.add_typer(prepare.app, name="prepare")
app.add_typer(data.app, name="data")
app.command(name="plan")(train.plan_command)
app.command(name="train")(train.train_command)
app.command(name="evaluate")(evaluate.command)
app.command(name="audit")(audit.command)
app.command(name="audit plan")(audit.plan_command)
app.command(name="predict")(predict.predict_command)
app.command(name="embed")(identity.embed_command)
app.command(name="search")(identity.search_command)
app.command(name="explain")(predict.explain_command)
app.command(name="export")(predict.export_command)
app.command(name="serve")(serve.command)
app.add_typer(study.app, name="study")
app.add_typer(texture.app, name="texture")
app.command(name="doctor")(_doctor)


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"auxface {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_print_version, is_eager=True, help="Print the version."),
) -> None:
    pass


def main() -> None:
    """Run the command line and exit with its exit code."""
    # File names that are not valid UTF-8 are printed with escapes.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    warnings.formatwarning = _format_warning
    # The layouts are subcommands of prepare; finding them requires importing all of them.
    if "prepare" in sys.argv[1:2]:
        prepare.add_layouts()
    try:
        code = app(standalone_mode=False)
    except InputError as error:
        _fail(str(error))
    except (KeyboardInterrupt, typer.Abort):
        print("auxface: interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        if error.errno in _UNUSABLE_PATH:
            _fail(
                f"{error.filename or 'an output'}: {(error.strerror or 'cannot be used').lower()}; choose another path"
            )
        if error.errno not in _DISK_FULL:
            raise
        _fail("no space left on the disk; free some space and run the command again")
    except _UsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            print(error, file=sys.stderr)
            sys.exit(2)
        _fail(error.format_message() + _dash_hint(sys.argv[1:]))  # pyright: ignore[reportAttributeAccessIssue]
    sys.exit(code if isinstance(code, int) else 0)


def _dash_hint(arguments: list[str]) -> str:
    """Return a hint if an argument that was read as an option is the name of a file; otherwise an empty string."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    dashed = [text for text in arguments[:end] if text.startswith("-") and os.path.lexists(text)]
    if not dashed:
        return ""
    others = [text for text in arguments if text not in (*dashed, "--")]
    command = shlex.join(["auxface", *others, "--", *dashed, *arguments[end + 1 :]])
    return f" ({dashed[0]} is also a file; file names that begin with a dash need -- before them: {command})"


def _format_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """Return a one-line note for a warning of auxface; warnings of other packages keep their format."""
    if category is UserWarning and Path(filename).is_relative_to(Path(__file__).parents[1]):
        return f"note: {message}\n"
    return _default_format(message, category, filename, lineno, line)


def _fail(message: str) -> None:
    print(f"auxface: {escape_controls(' '.join(message.split()))}", file=sys.stderr)
    sys.exit(2)
