"""Audit two face detectors: the fraction of faces of UTKFace that YuNet and the Haar cascade do not find, by group.

    auxface prepare utkface UTKFace/ -o utkface.parquet
    python audits/face_detection.py utkface.parquet --out face_detection

The faces of UTKFace fill their images, but both detectors expect a margin. Each image is therefore extended by a
quarter of its size on every side, by repeating its edge pixels (``--margin``). ``failures.json`` contains the fractions
with 95% intervals; ``failures.md`` contains the same as tables, and ``failures.svg`` as a figure.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from auxface.data.faces.detection import make_detector
from auxface.data.images.decode import UnreadableImage, read_image
from auxface.data.manifest import read_manifest
from auxface.evaluation import Estimate
from auxface.evaluation.detection_failure import DetectionFailures, failure_to_detect
from auxface.progress import progress_bar

NAMES = {"yunet": "YuNet", "haar": "Haar cascade"}


def missed_faces(
    paths: Sequence[Path], weights: Path | None, margin: float
) -> tuple[dict[str, list[bool]], list[bool]]:
    """Return for each detector whether it found no face in each image, and whether each image could be read."""
    detectors = {name: make_detector(name, weights) for name in ("yunet", "haar")}
    missed: dict[str, list[bool]] = {name: [] for name in detectors}
    readable = []
    with progress_bar("detect", len(paths), "images") as advance:
        for path in paths:
            try:
                image = read_image(path)
            except UnreadableImage as error:
                print(f"{path}: {error}; the image is not counted")
                readable.append(False)
            else:
                readable.append(True)
                rows, columns = (round(margin * length) for length in image.shape[:2])
                image = np.pad(image, ((rows, rows), (columns, columns), (0, 0)), mode="edge")
                for name, detect in detectors.items():
                    missed[name].append(not detect(image))
            advance()
    return missed, readable


def cell_text(failures: Estimate) -> str:
    """Return a fraction with its interval, or a dash if the level has too few images."""
    if failures.value is None:
        return "–"
    if failures.low is None:
        return f"{failures.value:.1%}"
    return f"{failures.value:.1%} ({failures.low:.1%} to {failures.high:.1%})"


def markdown_table(found: Mapping[str, DetectionFailures], group: str) -> str:
    """Return a Markdown table with one row per level of a group and one column per detector."""
    lines = [f"| {group} | images | " + " | ".join(NAMES[name] for name in found) + " |"]
    lines += ["|---|---|" + "---|" * len(found)]
    first = next(iter(found.values()))
    rows = {"all": [one.overall for one in found.values()]}
    rows |= {level: [one.groups[group][level] for one in found.values()] for level in first.groups[group]}
    for level, cells in rows.items():
        texts = [cell_text(one) for one in cells]
        lines.append(f"| {level} | {cells[0].n:,} | " + " | ".join(texts) + " |")
    return "\n".join(lines)


def draw(found: Mapping[str, DetectionFailures], groups: Sequence[str], path: Path) -> None:
    """Draw the fractions and their intervals, one panel per group and one color per detector."""
    heights = [len(next(iter(found.values())).groups[group]) for group in groups]
    figure, panels = plt.subplots(
        len(groups), 1, sharex=True, height_ratios=heights, figsize=(7, 1.5 + sum(heights) / 3.5)
    )
    for group, panel in zip(groups, panels):
        for shift, (name, color) in zip((-0.15, 0.15), zip(found, ("#01579b", "#bf5700"))):
            levels = found[name].groups[group]
            known = [(place, one) for place, one in enumerate(levels.values()) if one.low is not None]
            ends = [[100 * one.low for _, one in known], [100 * one.high for _, one in known]]
            places = [place + shift for place, _ in known]
            panel.hlines(places, *ends, color=color, linewidth=1.5)
            panel.plot([100 * one.value for _, one in known], places, "o", color=color, markersize=5, label=NAMES[name])
        panel.set_yticks(range(len(levels)), levels)
        panel.set_ylim(len(levels) - 0.5, -0.5)
        panel.set_title(group.replace("_", " "), loc="left", fontsize=10)
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(axis="x", color="#dddddd")
    panels[0].legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
    panels[-1].set_xlabel("faces that were not found, %, with 95% intervals")
    figure.tight_layout()
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--weights", type=Path, help="YuNet's ONNX file; downloaded if not given")
    parser.add_argument("--margin", type=float, default=0.25, help="added margin as a fraction of the image size")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True)
    manifest = read_manifest(arguments.manifest)
    table = manifest.table.reset_index(drop=True)
    groups = list(manifest.groups)
    for first, second in (("race", "gender"), ("race", "age_group")):
        table[f"{first} x {second}"] = table[first].astype(str) + ", " + table[second].astype(str)
        groups.append(f"{first} x {second}")
    missed, readable = missed_faces(manifest.paths(), arguments.weights, arguments.margin)
    table = table[pd.Series(readable)]
    found = {}
    for name, failed in missed.items():
        at = pd.Series(failed, index=table.index)
        found[name] = failure_to_detect(table[~at], table[at], groups)
    text = "\n\n".join(markdown_table(found, group) for group in groups)
    (arguments.out / "failures.md").write_text(text + "\n")
    (arguments.out / "failures.json").write_text(json.dumps({n: one.to_dict() for n, one in found.items()}, indent=1))
    draw(found, list(manifest.groups), arguments.out / "failures.svg")
    print(text)


if __name__ == "__main__":
    main()
