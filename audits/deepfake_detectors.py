"""Audit the public deepfake detectors whose predictions are part of the package deepsafe-bench.

    pip install deepsafe-bench==1.0.0
    python audits/deepfake_detectors.py --modality images --out detectors

The package has the licence PolyForm Noncommercial 1.0.0. The script prints the licence and stops unless you accept it,
and it executes no code of the package: it reads only the table of predictions. The output folder contains one table of
predictions per detector, the report of all samples (``all/report.html``), the report of held-out generators
(``held_out/report.html``: thresholds and temperatures chosen with one half of the generators, evaluated on the other
half), and ``ranks.md`` and ``generators.md``.
"""

import argparse
import hashlib
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pandas as pd

import auxface
from auxface.evaluation import Audit, ranks

PACKAGE = "deepsafe-bench"
MODALITIES = ("images", "video", "audio")
# Scores of the provenance detectors are constant except for files with a watermark or a manifest.
PROVENANCE = ("c2pa", "audioseal", "sdxl_watermark", "videoseal")


def accepted(licence: str) -> bool:
    """Print the licence and return whether the user accepts it."""
    print(licence)
    print(f"The predictions of {PACKAGE} have this licence. Type 'yes' if you accept it:", end=" ", flush=True)
    return sys.stdin.readline().strip().lower() == "yes"


def detector_tables(samples: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return one table of predictions per detector that scored at least 90% of the samples."""
    columns = {"ensemble": "ensemble_score"}
    columns |= {str(one).removeprefix("prob_"): str(one) for one in samples.columns if str(one).startswith("prob_")}
    return {
        name: samples[["source", "label", "generator"]].assign(score=samples[column])
        for name, column in columns.items()
        if name not in PROVENANCE and samples[column].notna().mean() >= 0.9
    }


def is_held_out(samples: pd.DataFrame) -> pd.Series:
    """Return whether each sample is held out: forgeries by their generator, real samples one by one.

    The halves are determined by a hash, so that they do not depend on the order of the rows.
    """
    key = samples["generator"].where(samples["label"] == "fake", samples["source"])
    return pd.Series([hashlib.sha256(str(one).encode()).digest()[0] % 2 == 0 for one in key], key.index)


def rank_table(audit: Audit) -> str:
    """Return the AUC of each detector and its ranks as a Markdown table."""
    values = {name: model.tasks["label"].overall["auc"] for name, model in audit.models.items()}
    allowed = ranks(list(values), audit.comparisons, "label", "auc")
    lines = ["| detector | samples | AUC | ranks | no significant difference from |", "|---|---|---|---|---|"]
    for name, auc in sorted(values.items(), key=lambda one: -(one[1].value or 0)):
        one = allowed[name]
        rank = str(one.best) if one.best == one.worst else f"{one.best} to {one.worst}"
        interval = f"{auc.value:.3f} ({auc.low:.3f} to {auc.high:.3f})"
        lines.append(f"| {name} | {auc.n:,} | {interval} | {rank} | {', '.join(one.tied) or 'none'} |")
    return "\n".join(lines)


def generator_table(audit: Audit) -> str:
    """Return the recall of each generator's forgeries by each detector at threshold 0.5 as a Markdown table."""
    names = list(audit.models)
    levels = {name: audit.models[name].tasks["label"].groups["generator"] for name in names}
    lines = ["| generator | samples | " + " | ".join(names) + " |", "|---|---|" + "---|" * len(names)]
    for level, metrics in levels[names[0]].items():
        if "true_positive_rate" not in metrics or metrics["true_positive_rate"].value is None:
            continue
        cells = [levels[name][level]["true_positive_rate"] for name in names]
        texts = ["–" if one.value is None else f"{one.value:.0%}" for one in cells]
        lines.append(f"| {level} | {cells[0].n:,} | " + " | ".join(texts) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--modality", choices=MODALITIES, default="images")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    try:
        package = distribution(PACKAGE)
    except PackageNotFoundError:
        sys.exit(f"{PACKAGE} is not installed; read its licence and install it with: pip install {PACKAGE}==1.0.0")
    if not accepted(package.read_text("licenses/LICENSE") or ""):
        sys.exit("The licence was not accepted; nothing was written.")
    samples = pd.read_csv(str(package.locate_file("deepsafe/assets/predictions_medium.csv.gz")))
    # Named as a key of auxface, so that the samples of two detectors are matched.
    samples = samples.rename(columns={"id": "source"})
    samples = samples[samples["modality"] == arguments.modality].reset_index(drop=True)
    out = arguments.out
    (out / "tables").mkdir(parents=True)
    held_out = is_held_out(samples)
    whole, chosen_on, held = [], [], []
    tables = detector_tables(samples)
    for name, table in tables.items():
        for rows, ending, files in (
            (held_out | True, "", whole),
            (~held_out, ".val", chosen_on),
            (held_out, ".test", held),
        ):
            files.append(out / "tables" / f"{name}{ending}.csv")
            table[rows].to_csv(files[-1], index=False)
    audit = auxface.audit(
        whole, out / "all", true="label", score="score", positive="fake", threshold=0.5, groups=["generator"],
        names=list(tables), title=f"Public deepfake detectors: {arguments.modality}",
    )  # fmt: skip
    auxface.audit(
        held, out / "held_out", true="label", score="score", positive="fake", groups=["generator"],
        validation=chosen_on, names=list(tables),
        title=f"Public deepfake detectors: {arguments.modality} of held-out generators",
    )  # fmt: skip
    (out / "ranks.md").write_text(rank_table(audit) + "\n")
    (out / "generators.md").write_text(generator_table(audit) + "\n")
    print(rank_table(audit))


if __name__ == "__main__":
    main()
