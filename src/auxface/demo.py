"""The demo: train three models on the same synthetic faces with the same budget and seed, and compare them.

Example::

    result = demo(Path("runs/demo"))
    result.page  # the report

The demo shows every step from images to a report on a machine without data or GPU. One seed on synthetic faces is not
evidence on methods.
"""

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

# Equal for all three models: so small a network, and so large a learning rate, that all of them learn within four
# minutes on two processor cores.
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

# Files beside the folders of faces, models and report. Those folders have records of their own.
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
    """The result of a demo.

    Attributes:
        folder: the output folder.
        page: the report, a single HTML file.
        audit: the figures of the report.
    """

    folder: Path
    page: Path
    audit: evaluation.Audit


def demo(
    out: Path, *, faces: int = 4000, epochs: int = 9, seed: int = 0, device: str = "auto", overwrite: bool = False
) -> Demo:
    """Render faces, train a supervised, an SSAT and an L-SSAT model on them, and write a report on the test split.

    Args:
        out: the output folder.
        faces: number of synthetic faces.
        epochs: passes over the training split, for each model.
        seed: seed of the faces and of the trainings.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        overwrite: replace files that auxface wrote to ``out`` before.

    Raises:
        InputError: the output exists and ``overwrite`` is false.

    Example:
        >>> from pathlib import Path
        >>> import auxface
        >>> result = auxface.demo(Path("runs/demo"))  # doctest: +SKIP
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
            # Page and cards state what each auxiliary did.
            warn=lambda _: None,
        )
    report = out / "report"
    audit = evaluate(
        models,
        manifest,
        report,
        seed=seed,
        device=device,
        overwrite=overwrite,
        title="Demo: three models trained on the same synthetic faces",
        sections=[_introduction(faces, len(read_manifest(manifest).labels[TASK].classes), epochs, seed)],
    )
    page = out / "report.html"
    with atomic_file(page) as beside:
        beside.write_bytes((report / "report.html").read_bytes())
    end_growing(out)
    return Demo(out, page, audit)


def _introduction(faces: int, attributes: int, epochs: int, seed: int) -> evaluation.Section:
    text = (
        f"{faces:,} synthetic faces were rendered from seed {seed}; no person is in more than one of the splits for "
        f"training, validation and test. Three models were trained on {attributes} attributes (Eyeglasses, Smiling, "
        f"...) for {epochs} epochs, with the same small Vision Transformer, the same images in the same order, and the "
        "same seed. 'supervised' is trained on the labels only. 'ssat' also reconstructs the RGB values of hidden "
        "patches, and 'l_ssat' their Local Directional Pattern, a map of local texture. The learning rate was set so "
        "that all three models learn in this time. No other setting, and no seed, was searched. Synthetic faces and a "
        "single seed do not show which method is better; the page shows what is measured and how."
    )
    return evaluation.Section("What was done", text, (), None)
