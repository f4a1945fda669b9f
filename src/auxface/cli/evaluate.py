"""The command ``auxface evaluate``."""

import json
from pathlib import Path
from typing import Annotated

import typer

from auxface.cli.options import Data, Device, Json, Out, Overwrite, Resamples


def command(
    data: Data,
    out: Out,
    models: Annotated[
        list[Path] | None, typer.Argument(help="Model directories; if several are given, they are compared.")
    ] = None,
    onnx: Annotated[
        list[Path] | None,
        typer.Option("--onnx", help="An ONNX model to compare with the others. Repeatable."),
    ] = None,
    split: Annotated[str, typer.Option("--split", help="Split to evaluate: train, val or test.")] = "test",
    corruption: Annotated[
        list[str] | None,
        typer.Option(
            "--corruption",
            help="Corruption to test: a name, common (the 15), codecs, occlusion, attacks, all, or none. Repeatable.",
        ),
    ] = None,
    severity: Annotated[
        list[int] | None,
        typer.Option("--severity", help="Severity of the corruptions, 1 to 5; default: all. Repeatable."),
    ] = None,
    baseline: Annotated[
        str | None, typer.Option("--baseline", help="Reference model for the mean corruption errors.")
    ] = None,
    validation: Annotated[
        bool,
        typer.Option(
            "--validation/--no-validation",
            help="Also score the validation split, to choose operating points and group thresholds.",
        ),
    ] = True,
    same_format: Annotated[
        bool,
        typer.Option(
            "--same-format",
            help="Also score all images in a common format (JPEG of equal size and quality) to measure the decrease "
            "in AUC.",
        ),
    ] = False,
    explain: Annotated[
        int,
        typer.Option(
            "--explain",
            help="Average attention and reconstruction maps over this number of faces.",
            min=0,
            max=10_000,
        ),
    ] = 0,
    pairs: Annotated[
        str | None,
        typer.Option(
            "--pairs",
            help="Evaluate verification instead, on these pairs: LFW's pairs.txt, a table (path1, path2, same, fold), "
            "or the name of an identity label (all pairs).",
        ),
    ] = None,
    *,
    resamples: Resamples,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the bootstrap, corruptions and masks.", min=0)] = 0,
    device: Device = "auto",
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Evaluate models on a split; write predictions, report.html, report.json and CSV files."""
    if pairs is not None:
        unused = {"--onnx": onnx, "--corruption": corruption, "--severity": severity, "--baseline": baseline}
        given = [
            name for name, value in (unused | {"--same-format": same_format, "--explain": explain}).items() if value
        ]
        _verify(
            models or [], data, out, pairs, given, split, resamples=resamples, seed=seed, device=device,
            overwrite=overwrite, as_json=as_json,
        )  # fmt: skip
        return
    from auxface.cli.audit import print_audit
    from auxface.inference.evaluate import DEFAULT_CORRUPTIONS, SEVERITIES, evaluate

    models = models or []
    audit = evaluate(
        models[0] if len(models) == 1 else _named(models),
        data,
        out,
        onnx=onnx or (),
        split=split,
        corruptions=DEFAULT_CORRUPTIONS if corruption is None else corruption,
        severities=severity or SEVERITIES,
        baseline=baseline,
        validation=validation,
        same_format=same_format,
        explain=explain,
        resamples=resamples,
        seed=seed,
        device=device,
        overwrite=overwrite,
    )
    print_audit(audit, out / "report.html", as_json=as_json)


def _verify(
    models: list[Path],
    data: Path,
    out: Path,
    pairs: str,
    unused: list[str],
    split: str,
    *,
    resamples: int,
    seed: int,
    device: str,
    overwrite: bool,
    as_json: bool,
) -> None:
    from auxface.errors import InputError
    from auxface.inference.verify import verify

    if unused:
        raise InputError(f"{unused[0]} does not apply to --pairs; remove it")
    if len(models) != 1:
        raise InputError(f"--pairs evaluates one model directory; {len(models)} are given")
    report = verify(
        models[0], data, pairs, out, split=split, resamples=resamples, seed=seed, device=device, overwrite=overwrite
    )
    if as_json:
        typer.echo(json.dumps(report))
        return
    for name, each in report["tasks"]["same_person"]["overall"].items():
        if each.get("value") is not None:
            span = "" if each.get("low") is None else f" ({each['low']:.3f} to {each['high']:.3f})"
            typer.echo(f"{name}: {each['value']:.3f}{span}")
    for name, each in report["auc_differences"].items():
        if each.get("low") is None:
            continue
        typer.echo(f"AUC minus that of {name}: {each['value']:+.3f} ({each['low']:+.3f} to {each['high']:+.3f})")
    typer.echo(f"report: {out / 'report.html'}")


def _named(models: list[Path]) -> dict[str, Path]:
    """Return the models by name, where the name is the shortest path suffix that distinguishes them."""
    for depth in range(1, 1 + max((len(model.parts) for model in models), default=0)):
        names = ["/".join(model.parts[-depth:]) for model in models]
        if len(set(names)) == len(names):
            return dict(zip(names, models, strict=True))
    if not models:
        return {}
    from auxface.errors import InputError

    raise InputError("the same model directory is given twice")
