"""Verification of people who were not trained, on two packs of real faces that are not part of the project.

    python benchmarks/identity.py ../shared/data --out results/identity

Each recipe is trained on the identities of ORL (23 people) and of the CelebA pack, from the packaged ImageNet weights,
and measured as ``auxface evaluate --pairs`` does: on all pairs of ORL's test people, and on the LFW pairs of the pack
(ten folds). The baselines are the cosine of raw pixels and of HOG. Prints one line per figure.
"""

import argparse
import json
import time
from pathlib import Path

import auxface
from auxface.provenance import machine_kind

SETTINGS = ("encoder.init_from=packaged", "encoder.image_size=112", "tasks=identity", "train.batch_size=64")
# Training pack, epochs, and what is verified.
TRAININGS = {"orl": 30, "celeba": 10}
LABELS = {"orl": "identity_orl", "celeba": "attributes_celeba", "lfw": "identity_lfw_pairs"}
SHOWN = ("auc", "eer", "fold_accuracy", "tar_at_far_0.01", "recall_at_1", "map_at_r", "fmr", "fnmr")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("packs", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--recipes", nargs="+", default=["metric_learning", "metric_ntxent"])
    parser.add_argument("--trainings", nargs="+", default=[*TRAININGS])
    parser.add_argument("--set", action="append", default=[], dest="settings")
    parser.add_argument("--device", default="auto")
    given = parser.parse_args()
    data = {name: prepared(given.packs / folder, name, given.out) for name, folder in LABELS.items()}
    pairs = {"orl": "identity", "lfw": given.packs / LABELS["lfw"] / "pairs.csv"}
    print(f"machine: {machine_kind()}", flush=True)
    for training in given.trainings:
        for recipe in given.recipes:
            run, began = given.out / f"{training}_{recipe}", time.perf_counter()
            settings = [*SETTINGS, f"train.epochs={TRAININGS[training]}", *given.settings]
            auxface.train(recipe, data[training], run, overrides=settings, device=given.device, warn=print)
            seconds = time.perf_counter() - began
            for test in ("orl", "lfw"):
                report = auxface.verify(run, data[test], pairs[test], run / test, device=given.device)
                show(f"{training} {recipe} on {test}", report["tasks"]["same_person"]["overall"])
                for name, each in report["auc_differences"].items():
                    show(f"{training} {recipe} on {test}", {f"auc minus {name}": each})
                for name, each in report["baselines"].items():
                    show(f"{name} on {test}", each["overall"])
            print(f"{training} {recipe}: {seconds:.0f} s, commit {commit(run)}", flush=True)


def prepared(folder: Path, name: str, out: Path) -> Path:
    """Write the manifest of a pack, whose people are its identities, and return its path."""
    path = out / f"{name}.parquet"
    if not path.exists():
        options = {"dataset": name, "source": "identity", "label": ["identity:identity"]}
        auxface.prepare("table", folder / "labels.csv", out=path, options=options)
    return path


def show(what: str, figures: dict[str, dict]) -> None:
    """Print figures with their intervals."""
    for name, each in figures.items():
        if (name in SHOWN or "minus" in name) and each["value"] is not None:
            print(f"{what}: {name} {each['value']:.3f} ({each['low']:.3f} to {each['high']:.3f})", flush=True)


def commit(run: Path) -> str:
    """Return the commit of a run."""
    return str(json.loads((run / "config.json").read_text())["provenance"].get("commit", "unknown"))


if __name__ == "__main__":
    main()
