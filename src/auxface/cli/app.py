"""The verbs together, and how errors become exit codes: 2 for bad input, 1 for a fault of ours."""

import errno
import os
import sys

import typer

from auxface import __version__
from auxface.cli import (
    audit,
    data,
    demo,
    doctor,
    evaluate,
    explain,
    export,
    predict,
    prepare,
    serve,
    study,
    texture,
    train,
)
from auxface.errors import InputError

app = typer.Typer(
    name="auxface",
    help="Train face models on a task and on rebuilding local texture; measure them by group; put them to use.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(name="demo")(demo.command)
app.add_typer(prepare.app, name="prepare")
app.add_typer(data.app, name="data")
app.command(name="train")(train.command)
app.command(name="evaluate")(evaluate.command)
app.command(name="audit")(audit.command)
app.command(name="predict")(predict.command)
app.command(name="explain")(explain.command)
app.command(name="export")(export.command)
app.command(name="serve")(serve.command)
app.add_typer(study.app, name="study")
app.command(name="texture")(texture.command)
app.command(name="doctor")(doctor.command)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"auxface {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    pass


_FULL = (errno.ENOSPC, errno.EDQUOT)
# Typer carries its own copy of click in some versions and imports the package in others.
_Usage: type[Exception] = typer.BadParameter.__mro__[2]


def main() -> None:
    """Run the command line."""
    if "prepare" in sys.argv[1:2]:
        prepare.add_layouts()
    try:
        code = app(standalone_mode=False)
    except InputError as error:
        _fail(str(error))
    except (KeyboardInterrupt, typer.Abort):
        print("auxface: stopped", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        _fail("no space left on the disk; make room and run the command again")
    except _Usage as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            print(error, file=sys.stderr)
            sys.exit(2)
        _fail(error.format_message())  # pyright: ignore[reportAttributeAccessIssue]
    sys.exit(code if isinstance(code, int) else 0)


def _fail(sentence: str) -> None:
    print(f"auxface: {' '.join(sentence.split())}", file=sys.stderr)
    sys.exit(2)
