"""Check that the auxiliary of every texture recipe acts as set: gradient ratio, cosine and skill of short trainings.

    python benchmarks/recipes_act.py utkface.parquet -o runs/act --task gender --epochs 10 --seeds 3

trains every packaged recipe for images with a texture target, on a small Vision Transformer and on a small residual
network, at 64 pixels. It prints, per recipe and encoder, the mean over seeds and whether every seed reaches the marks:

* gradient ratio within 0.3 to 3 times its set value, in each epoch of the second half;
* last skill on validation images at least ``--skill``. That of ``l_ssat_shuffled``, the control without any texture to
  learn, must stay below 0.02.

Each run is a process. A run that is complete is not repeated; an interrupted one is resumed. The exit code is 1 where a
mark is missed. ``--recipe`` and ``--encoder`` (repeatable) select some of them.
"""

from math import nan
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean
from typing import Annotated

import pandas as pd
import typer
from target_search import DECODER, ENCODER, TRAIN, finish, read

from auxface.recipe import load_recipe, recipe_names
from auxface.training.training_summary import LEAST_SKILL

CONTROL = "l_ssat_shuffled"
RECIPES = tuple(
    name
    for name in recipe_names()
    if (recipe := load_recipe(name)).auxiliary is not None
    and recipe.encoder.num_frames is None
    and any(target.name != "rgb" for target in recipe.auxiliary.target)
)
ENCODERS = {
    "vit": ENCODER,
    "resnet": ("encoder.name=test_resnet", "encoder.image_size=64", "encoder.output_stride=8"),
}
# Nothing is measured before a training, so that runs are equal on every machine load.
FIXED = ("train.attention=plain", "train.channels_last=false", "train.threads=1")
LOWEST, HIGHEST = 0.3, 3.0


def main(
    data: Annotated[Path, typer.Argument(help="Manifest.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the runs.")],
    task: Annotated[str, typer.Option(help="The task that is learned.")],
    recipe: Annotated[list[str] | None, typer.Option(help=f"{', '.join(RECIPES)}. Repeatable.")] = None,
    encoder: Annotated[list[str] | None, typer.Option(help=f"{', '.join(ENCODERS)}. Repeatable.")] = None,
    epochs: int = 10,
    seeds: int = 3,
    skill: Annotated[float, typer.Option(help="Least skill on validation images.")] = LEAST_SKILL,
):
    """Train what is missing, and print a row per recipe and encoder."""
    cells = [(name, kind) for name in recipe or RECIPES for kind in encoder or ENCODERS]
    settings = [*TRAIN, *FIXED, *DECODER, f"train.epochs={epochs}", f"tasks=[{task}]"]
    jobs = [
        (folder_of(out, data, name, kind, seed), name, data, [*settings, *ENCODERS[kind], f"seed={seed}"])
        for seed in range(seeds)
        for name, kind in cells
    ]
    jobs = [job for job in jobs if not (job[0] / "config.json").exists()]
    if jobs:
        with get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
            pool.starmap(finish, jobs, chunksize=1)
    rows = []
    for name, kind in cells:
        found = [figures(read(folder_of(out, data, name, kind, seed))) for seed in range(seeds)]
        passed = all(reaches_marks(one, skill, control=name == CONTROL) for one in found)
        means = {key: fmean(one[key] for one in found) for key in found[0]}
        rows.append({"recipe": name, "encoder": kind, "seeds": seeds, **means, "passes": passed})
    table = pd.DataFrame(rows).round(3)
    print(table.to_string(index=False))
    if not table["passes"].all():
        raise typer.Exit(1)


def folder_of(out: Path, data: Path, recipe: str, encoder: str, seed: int) -> Path:
    """Return the folder of a run."""
    return out / f"{data.stem} {recipe} {encoder} seed {seed}"


def figures(entries: list[dict]) -> dict[str, float]:
    """Return ratio and mean cosine in the second half of the epochs, and the last skill of the best target."""
    late = [entry for entry in entries[len(entries) // 2 :] if "reconstruction.gradient_ratio" in entry]
    relative = [entry["reconstruction.gradient_ratio"] / entry["reconstruction.set_ratio"] for entry in late]
    skills = [value for key, value in entries[-1].items() if key.startswith("val.reconstruction.skill.")]
    # Without a measured ratio the auxiliary never acted, and no mark is reached.
    return {
        "set ratio": late[-1]["reconstruction.set_ratio"] if late else nan,
        "lowest / set": min(relative, default=nan),
        "highest / set": max(relative, default=nan),
        "cosine": fmean(entry["reconstruction.cosine"] for entry in late) if late else nan,
        "skill": max(skills),
    }


def reaches_marks(found: dict[str, float], skill: float, *, control: bool) -> bool:
    """Return whether a run held its gradient ratio and learned its target, or did not learn that of the control."""
    held = found["lowest / set"] >= LOWEST and found["highest / set"] <= HIGHEST
    return held and (found["skill"] < LEAST_SKILL if control else found["skill"] >= skill)


if __name__ == "__main__":
    typer.run(main)
