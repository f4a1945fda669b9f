"""``auxface demo``: synthetic faces, three models on the same data, budget and seed, one page."""

from dataclasses import dataclass
from pathlib import Path

from auxface import evaluation
from auxface.atomic import atomic_file
from auxface.data.manifest import read_manifest
from auxface.data.prepare.prepare import prepare
from auxface.inference.evaluate import evaluate
from auxface.output_folder import begin_growing, check_output_folder, end_growing
from auxface.progress import progress_steps
from auxface.training.train import train

RECIPES = ("supervised", "ssat", "l_ssat")
TASK = "attributes"

# As small, and as fast a rate, as lets all three learn within four minutes on two processor cores; the same for all.
SETTINGS = (
    f"tasks=[{TASK}]",
    "encoder.image_size=64",
    "encoder.patch_size=8",
    "encoder.width=96",
    "encoder.depth=4",
    "encoder.heads=3",
    "auxiliary.decoder_width=64",
    "auxiliary.decoder_depth=1",
    "auxiliary.decoder_heads=4",
    "train.batch_size=32",
    "train.base_learning_rate=0.008",
)

# What stands beside the folders of faces, models and report, which have records of their own.
_OWN = (
    "faces.parquet",
    "faces.account.json",
    "faces.rejected.csv",
    "faces.leaks.csv",
    ".faces.parquet.journal",
    "report.html",
)


@dataclass(frozen=True)
class Demo:
    """What a demo leaves: the folder, the page and the figures behind it."""

    folder: Path
    page: Path
    audit: evaluation.Audit


def demo(
    out: Path, *, faces: int = 4000, epochs: int = 9, seed: int = 0, device: str = "auto", overwrite: bool = False
) -> Demo:
    """Render faces, train supervised, SSAT and L-SSAT models of attributes, measure them on test, write a page.

    Args:
        out: the folder to make.
        faces: how many synthetic faces.
        epochs: passes over the training split, for each model.
        seed: of faces and trainings.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        overwrite: replace what auxface wrote in ``out``.

    Raises:
        InputError: the output exists.
    """
    check_output_folder(out, overwrite)
    begin_growing(out, _OWN)
    manifest = out / "faces.parquet"
    with progress_steps("render faces", "faces") as progress:
        options = {"count": faces, "seed": seed, "size": 64}
        prepare("synthetic", out / "faces", out=manifest, overwrite=overwrite, options=options, progress=progress)
    models: dict[str, Path] = {}
    for name in RECIPES:
        settings = [item for item in SETTINGS if name != "supervised" or not item.startswith("auxiliary.")]
        models[name] = out / name
        train(
            name,
            manifest,
            models[name],
            overrides=[*settings, f"train.epochs={epochs}"],
            seed=seed,
            device=device,
            overwrite=overwrite,
        )
    report = out / "report"
    audit = evaluate(
        models,
        manifest,
        report,
        seed=seed,
        device=device,
        overwrite=overwrite,
        title="What auxiliary texture learning did to a face model",
        sections=[_introduction(faces, len(read_manifest(manifest).labels[TASK].classes), epochs, seed)],
    )
    page = out / "report.html"
    with atomic_file(page) as beside:
        beside.write_bytes((report / "report.html").read_bytes())
    end_growing(out)
    return Demo(out, page, audit)


def _introduction(faces: int, attributes: int, epochs: int, seed: int) -> evaluation.Section:
    text = (
        f"{faces:,} synthetic faces were rendered from seed {seed}; people differ between training, validation and "
        f"test. Three models learned {attributes} attributes (Eyeglasses, Smiling, ...) for {epochs} epochs each, with "
        "the same small Vision Transformer, the same images in the same order, and the same seed. 'supervised' only "
        "classifies; 'ssat' also rebuilds the "
        "RGB of hidden patches; 'l_ssat' also rebuilds their Local Directional Pattern, a map of local texture. "
        "The learning rate was set so that the slowest of the three learns in the time; nothing else, and no seed, was "
        "searched. One seed on drawn faces decides nothing about "
        "people; it shows what is measured and how."
    )
    return evaluation.Section("What was done", text, (), None)
