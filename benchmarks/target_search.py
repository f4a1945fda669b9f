"""Search the default target of l_ssat and its gradient ratio with short runs, on validation images only.

    python benchmarks/target_search.py utkface.parquet -o runs --task gender --target histogram --ratio 0.3 --ratio 1

trains l_ssat with one target and each ratio of balance ``gradient``. It prints the skill, gradient ratio and balanced
accuracy of every run in the output folder, and writes loss and skill after every epoch as ``curves.csv``. A run that is
complete is not repeated; an interrupted one is resumed. ``--target none`` trains supervised. Without ``--ratio`` the
auxiliary is trained alone, without labels, which shows how much of a target can be learned in this time.

The encoder is a small Vision Transformer with patches of 8 pixels, on images of 64 pixels. The manifests are written by
``auxface prepare table``; docs/method.md has the commands and the figures.
"""

import json
from pathlib import Path
from statistics import geometric_mean, mean
from typing import Annotated

import pandas as pd
import typer

from auxface.training.train import resume, train

LDP = "local_directional_pattern"
TARGETS = {
    "rgb": "rgb",
    "lbp": "{name: local_binary_pattern, encoding: bits}",
    "bits": f"{{name: {LDP}, encoding: bits}}",
    "bits-smooth3": f"{{name: {LDP}, encoding: bits, smooth: 3}}",
    "bits-smooth3-scale4": f"{{name: {LDP}, encoding: bits, smooth: 3, scale: 4}}",
    "histogram": f"{{name: {LDP}, encoding: histogram}}",
    "histogram-smooth1": f"{{name: {LDP}, encoding: histogram, smooth: 1}}",
    "histogram-smooth2": f"{{name: {LDP}, encoding: histogram, smooth: 2}}",
    "histogram-smooth2-k1": f"{{name: {LDP}, encoding: histogram, smooth: 2, parameters: {{k: 1}}}}",
    "histogram-smooth3": f"{{name: {LDP}, encoding: histogram, smooth: 3}}",
    "lbp-histogram-smooth1": "{name: local_binary_pattern, encoding: histogram, smooth: 1}",
}
ENCODER = ("encoder.image_size=64", "encoder.patch_size=8", "encoder.width=64", "encoder.depth=4", "encoder.heads=4")
DECODER = ("auxiliary.decoder_width=64", "auxiliary.decoder_depth=1", "auxiliary.decoder_heads=4")
TRAIN = ("train.batch_size=32", "train.base_learning_rate=0.016", "train.precision=fp32")


def main(
    data: Annotated[Path, typer.Argument(help="Manifest.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the runs.")],
    target: Annotated[list[str], typer.Option(help=f"none, {', '.join(TARGETS)}. Repeatable.")],
    ratio: Annotated[
        list[float] | None, typer.Option(help="Gradient ratio; without one, the auxiliary alone. Repeatable.")
    ] = None,
    task: Annotated[str | None, typer.Option(help="The task that is learned; default: all.")] = None,
    epochs: int = 10,
    seed: int = 0,
):
    """Train what is missing, and print a table of all runs in OUT."""
    common = [*ENCODER, *TRAIN, f"train.epochs={epochs}", f"seed={seed}"]
    supervised = [f"tasks=[{task}]"] if task else []
    for name in target:
        if name == "none":
            finish(out / f"{data.stem} supervised seed {seed}", "supervised", data, [*common, *supervised])
            continue
        settings = [*common, *DECODER, f"auxiliary.target={TARGETS[name]}"]
        if not ratio:
            finish(out / f"{data.stem} {name} alone seed {seed}", "l_ssat", data, [*settings, "balance=0"])
        for value in ratio or ():
            balance = f"balance={{kind: gradient, ratio: {value}}}"
            finish(
                out / f"{data.stem} {name} ratio {value:g} seed {seed}",
                "l_ssat",
                data,
                [*settings, *supervised, balance],
            )
    runs = {folder.name: read(folder) for folder in sorted(out.iterdir()) if (folder / "config.json").exists()}
    print(pd.DataFrame({name: figures(entries) for name, entries in runs.items()}).T.round(3).to_string())
    curves = [{"run": name, **curve_point(entry)} for name, entries in runs.items() for entry in entries]
    pd.DataFrame(curves).to_csv(out / "curves.csv", index=False, float_format="%.4f")


def finish(folder: Path, recipe: str, manifest: Path, settings: list[str]) -> None:
    """Train a run, or resume it where it was interrupted."""
    if (folder / "config.json").exists():
        return
    if (folder / "run.json").exists():
        resume(folder)
    else:
        train(recipe, manifest, folder, overrides=settings, device="cpu")


def read(folder: Path) -> list[dict]:
    """Return the log of a run, one entry per epoch."""
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def figures(entries: list[dict]) -> dict[str, float | None]:
    """Return the last skill, ratio and cosine in the second half of the epochs, and validation figures."""
    late = entries[len(entries) // 2 :]
    ratios = [entry["reconstruction.gradient_ratio"] for entry in late if "reconstruction.gradient_ratio" in entry]
    cosines = [entry["reconstruction.cosine"] for entry in late if "reconstruction.cosine" in entry]
    balanced = [entry["val.balanced_accuracy"] for entry in entries if "val.balanced_accuracy" in entry] or [None]
    return {
        "skill": curve_point(entries[-1])["skill"],
        "gradient ratio": geometric_mean(ratios) if ratios else None,
        "cosine": mean(cosines) if cosines else None,
        "last balanced accuracy": balanced[-1],
        "best balanced accuracy": max(balanced, key=lambda figure: figure or 0),
    }


def curve_point(entry: dict) -> dict[str, float | None]:
    """Return epoch, training loss and validation skill of the only target; None without a target."""
    keys = [key for key in entry if key.startswith("val.reconstruction.skill.")]
    if not keys:
        return {"epoch": entry["epoch"], "loss": None, "skill": None}
    target = keys[0].removeprefix("val.reconstruction.skill.")
    return {"epoch": entry["epoch"], "loss": entry[f"reconstruction.{target}"], "skill": entry[keys[0]]}


if __name__ == "__main__":
    typer.run(main)
