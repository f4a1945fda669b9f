"""Print how much of a hidden patch's target the patches around it predict, for several targets, on a folder of faces.

    python benchmarks/learnable.py UTKFACE --size 64 --patch-size 8

Faces are drawn at random from all JPEG files below the folder, with a fixed seed. Figures are in docs/method.md.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from auxface.objectives.reconstruction.learnable import learnable
from auxface.recipe import Target

TARGETS = (
    Target(name="rgb"),
    Target(name="local_directional_pattern", encoding="bits"),
    Target(name="local_binary_pattern", encoding="bits"),
    Target(name="local_directional_pattern", encoding="scalar"),
    Target(name="local_directional_pattern", encoding="histogram"),
    Target(name="local_binary_pattern", encoding="histogram"),
    Target(name="histogram_of_oriented_gradients"),
)


def load(paths, size):
    images = (Image.open(path).convert("RGB").resize((size, size), Image.Resampling.LANCZOS) for path in paths)
    return np.stack([np.asarray(image).transpose(2, 0, 1) for image in images])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--patch-size", type=int, default=8)
    parser.add_argument("--fitted", type=int, default=1500)
    parser.add_argument("--scored", type=int, default=500)
    given = parser.parse_args()
    paths = sorted(given.folder.rglob("*.jpg"))
    np.random.default_rng(0).shuffle(paths)
    fitted, scored = paths[: given.fitted], paths[given.fitted : given.fitted + given.scored]
    found = learnable(load(fitted, given.size), load(scored, given.size), TARGETS, patch_size=given.patch_size)
    for result in found:
        print(f"{result.target.key:36} {result.target.encoding:10} {result.r2:.3f}")


if __name__ == "__main__":
    main()
