"""The demo: train three models on the same synthetic faces with the same budget and seed, and compare them.

Example::

    result = demo(Path("runs/demo"))
    result.page  # the report

The demo runs every step from images to a report, without a data set or a GPU. Results from one seed on synthetic faces
are not evidence for or against a method.
"""

import os
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing import active_children, get_context
from pathlib import Path

from auxface import evaluation
from auxface.atomic import atomic_file
from auxface.data.prepare.prepare import prepare
from auxface.device import free_cores, resolve_device
from auxface.inference.evaluate import evaluate
from auxface.model.directory import read_config
from auxface.output_folder import begin_growing, check_output_folder, end_growing
from auxface.progress import progress_bar, progress_steps
from auxface.studies.worker import begin_child
from auxface.training.train import train

RECIPES = ("supervised", "ssat", "l_ssat")
# All three models use these settings. The encoder is so small, and the learning rate so large, that all three models
# learn on two processor cores in about five minutes. The loss of the attributes is a mean over 20 attributes; without
# a weight, it would have almost no effect compared with the loss of the emotion.
SETTINGS = (
    "tasks={attributes: {weight: 10}, emotion: {}}",
    "encoder.name=test_resnet",
    "encoder.image_size=48",
    "encoder.output_stride=16",
    # Both auxiliaries have the same gradient ratio. With the published sum of losses, SSAT learns little except the
    # auxiliary task in so few steps.
    "balance={kind: gradient, ratio: 0.3}",
    "auxiliary.decoder_width=64",
    "auxiliary.decoder_depth=1",
    "auxiliary.decoder_heads=4",
    "train.augment=none",
    "train.batch_size=32",
    "train.base_learning_rate=0.048",
    "train.precision=fp32",
    "train.channels_last=true",
    "train.threads=1",
)
# Three of the five severities are enough for a curve.
SEVERITIES = (1, 3, 5)

# Files that the demo writes next to the folders of faces, models and report. Each of these folders has its own record.
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
        folder: output folder.
        page: path of the report, a single HTML file.
        audit: results shown in the report.
        best: directory of the model with the highest validation metric.
    """

    folder: Path
    page: Path
    audit: evaluation.Audit
    best: Path


def best_model(out: Path) -> Path | None:
    """Return the directory of the model with the highest validation metric; None if the demo is incomplete.

    Args:
        out: folder of the demo.
    """
    found: dict[Path, float] = {}
    for name in RECIPES:
        if not (out / name / "config.json").is_file() or not (out / "report.html").is_file():
            return None
        selection = read_config(out / name).selection
        value = None if selection is None else selection.value
        found[out / name] = 0.0 if value is None else value
    return max(found, key=found.__getitem__)


def demo(
    out: Path, *, faces: int = 4000, epochs: int = 10, seed: int = 0, device: str = "auto", overwrite: bool = False
) -> Demo:
    """Render faces, train a supervised, an SSAT and an L-SSAT model on them, and write a report on the test split.

    Args:
        out: output folder.
        faces: number of synthetic faces.
        epochs: number of training epochs for each model.
        seed: seed for the faces and the training runs.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        overwrite: whether to replace files that auxface wrote to ``out`` earlier.

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
    models = {name: out / name for name in RECIPES}
    settings = [*SETTINGS, f"train.epochs={epochs}"]
    trainings = [_Training(name, manifest, models[name], settings, seed, device, overwrite) for name in RECIPES]
    _train_models(trainings, epochs)
    report = out / "report"
    audit = evaluate(
        models,
        manifest,
        report,
        severities=SEVERITIES,
        seed=seed,
        device=device,
        overwrite=overwrite,
        title="Demo: three models trained on the same synthetic faces",
        sections=[_introduction(faces, epochs, seed)],
    )
    page = out / "report.html"
    with atomic_file(page) as beside:
        # The copy is one folder above the files that the page links to.
        copy = (report / "report.html").read_bytes()
        for target in (b"csv/", b"report.json"):
            copy = copy.replace(b'href="' + target, b'href="report/' + target)
        beside.write_bytes(copy)
    end_growing(out)
    best = best_model(out)
    assert best is not None
    return Demo(out, page, audit, best)


@dataclass(frozen=True)
class _Training:
    recipe: str
    manifest: Path
    out: Path
    settings: list[str]
    seed: int
    device: str
    overwrite: bool


def _train_models(trainings: list[_Training], epochs: int) -> None:
    """Train all models concurrently if cores are idle, otherwise one after another; the result is the same.

    If another program occupies a core, the threads of one process wait for each other. Separate processes do not.
    """
    on_cpu = resolve_device(trainings[0].device) == "cpu"
    at_once = len(trainings) if on_cpu and free_cores() > 1 else 1
    total, done = epochs * len(trainings), 0
    with (
        ProcessPoolExecutor(at_once, mp_context=get_context("spawn")) as pool,
        progress_bar("train " + ", ".join(RECIPES), total, "epochs") as advance,
    ):
        pending = {pool.submit(_train_model, training) for training in trainings}
        try:
            while pending:
                ended, pending = wait(pending, timeout=0.5, return_when=FIRST_EXCEPTION)
                for future in ended:
                    future.result()
                now = sum(_epochs_done(training.out / "log.jsonl") for training in trainings)
                advance(now - done)
                done = now
        except BaseException:
            for process in active_children():
                process.terminate()
            raise


def _train_model(training: _Training) -> None:
    begin_child(Path(os.devnull))
    is_supervised = training.recipe == "supervised"
    settings = [
        item for item in training.settings if not (is_supervised and item.startswith(("auxiliary.", "balance=")))
    ]
    train(
        training.recipe,
        training.manifest,
        training.out,
        overrides=settings,
        seed=training.seed,
        device=training.device,
        overwrite=training.overwrite,
        # Warnings are not printed, because the page and the model cards describe the effect of each auxiliary.
        warn=lambda _: None,
    )


def _epochs_done(log: Path) -> int:
    return len(log.read_bytes().splitlines()) if log.is_file() else 0


def _introduction(faces: int, epochs: int, seed: int) -> evaluation.Section:
    text = (
        f"{faces:,} synthetic faces were rendered from seed {seed}; no person appears in more than one of the "
        "training, validation and test splits. Three models were trained on 20 attributes (Eyeglasses, Smiling, ...) "
        f"and 8 emotions for {epochs} epochs, with the same small residual network and initial random weights, the "
        "same images in the same order, and the same seed. 'supervised' is trained on the labels only. 'ssat' also "
        "reconstructs the RGB values of hidden patches. 'l_ssat' reconstructs histograms of the Local Binary Patterns "
        "of hidden patches, which describe local texture.\n\n"
        "The encoder, the learning rate and the task weights were chosen on the validation split so that the "
        "supervised model learns in this number of epochs. The gradient norm of each auxiliary is set to 0.3 times the "
        "gradient norm of the tasks, because 'ssat' learned only about half of the attributes with the published sum "
        "of losses. The seed was not tuned. Results on synthetic faces with a single seed do not show which method is "
        "better; the page shows which metrics are computed and how."
    )
    return evaluation.Section("What was done", text, (), None)
