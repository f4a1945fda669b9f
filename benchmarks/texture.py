"""Speed and memory of descriptors: ``python benchmarks/texture.py [--memory | --step | --plain-c] [NAME ...]``.

One thread, 64 images of 224 x 224. auxface and the reference are timed alternately, so that a busy machine slows both;
the figure is the ratio of their medians, in processor time. ``--plain-c``: LBP(8,1) against a loop in C, compiled by
``cc`` for this processor, on single images and batches. ``--step``: the fraction of a
joint training step that computing the texture target takes. With a CUDA device: images per second and fraction of the
memory bandwidth instead.
"""

import argparse
import ctypes
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
import torch.nn.functional as F

from auxface import texture
from auxface.texture.tiles import EIGHT, cache_bytes

BATCH, SIDE = 64, 224


def photographs() -> torch.Tensor:
    """Return uint8 [64, 224, 224]: overlapping crops of a photograph from scikit-image."""
    from skimage.data import astronaut

    gray = texture.gray(astronaut())
    corners = [(8 * (i % 16), 40 * (i // 16)) for i in range(BATCH)]
    return torch.from_numpy(np.stack([gray[r : r + SIDE, c : c + SIDE] for r, c in corners]))


def shaped(name: str, images: torch.Tensor) -> torch.Tensor:
    """Return the images, or the same pixels as clips of 16 frames for a descriptor of clips."""
    return images if texture.get(name).input == "image" else images.view(-1, 16, *images.shape[1:])


def kirsch_masks() -> torch.Tensor:
    masks = []
    for d in range(8):
        mask = torch.full((3, 3), -3.0)
        mask[1, 1] = 0
        for e in (d - 1, d, (d + 1) % 8):
            mask[1 + EIGHT[e][0], 1 + EIGHT[e][1]] = 5
        masks.append(mask)
    return torch.stack(masks)[:, None]


def plain_responses(images: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    return F.conv2d(F.pad(images[:, None].float(), (1, 1, 1, 1), mode="reflect"), masks)


def plain_directional_pattern(images: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    return (1 << plain_responses(images, masks).abs().topk(3, dim=1).indices).sum(1)


def plain_directional_number(images: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    responses = plain_responses(images, masks)
    return 8 * responses.argmax(1) + responses.argmin(1)


def cases(images: torch.Tensor) -> list[tuple[str, dict, str, Callable[[], object] | None, int]]:
    """Return descriptor, parameters, name of the reference, reference, images per call of the reference."""
    import mahotas.features
    from skimage.feature import hog, local_binary_pattern

    one, masks = images[5].numpy(), kirsch_masks()
    few = images[:8]
    skimage = partial(local_binary_pattern, one)
    rows: list[tuple[str, dict, str, Callable[[], object] | None, int]] = [
        ("local_binary_pattern", {}, "scikit-image", partial(skimage, 8, 1), 1),
        ("local_binary_pattern", {}, "mahotas (histogram only)", partial(mahotas.features.lbp, one, 1, 8), 1),
        (
            "local_binary_pattern",
            {"points": 16, "radius": 2, "method": "uniform"},
            "scikit-image",
            partial(skimage, 16, 2, "uniform"),
            1,
        ),
        (
            "local_binary_pattern",
            {"points": 24, "radius": 3, "method": "uniform"},
            "scikit-image",
            partial(skimage, 24, 3, "uniform"),
            1,
        ),
        (
            "local_binary_pattern",
            {"border": "skimage"},
            "scikit-image",
            partial(skimage, 8, 1),
            1,
        ),
        ("local_binary_pattern", {"method": "var"}, "scikit-image", partial(skimage, 8, 1, "var"), 1),
        ("local_directional_pattern", {}, "conv2d + topk", partial(plain_directional_pattern, few, masks), len(few)),
        ("local_directional_number", {}, "conv2d + argmax", partial(plain_directional_number, few, masks), len(few)),
        (
            "histogram_of_oriented_gradients",
            {},
            "scikit-image",
            partial(
                hog,
                one,
                orientations=9,
                pixels_per_cell=(8, 8),
                cells_per_block=(1, 1),
                block_norm="L2-Hys",
                feature_vector=False,
            ),
            1,
        ),
    ]
    compared = {row[0] for row in rows}
    rows += [(name, {}, "", None, 1) for name in texture.available() if name not in compared]
    rows += [("weber_local_descriptor", {"output": "excitation"}, "", None, 1)]
    rows += [("census_transform", {"window": 7}, "", None, 1)]
    return rows


def seconds(function: Callable[[], object]) -> float:
    start = time.process_time()
    function()
    return time.process_time() - start


def compare(ours: Callable[[], object], reference: Callable[[], object] | None, rounds: int) -> tuple[float, float]:
    """Return the median processor seconds of both, timed alternately."""
    mine, theirs = [], []
    for function in filter(None, (ours, reference)):
        function()
    for _ in range(rounds):
        mine.append(seconds(ours))
        if reference is not None:
            theirs.append(seconds(reference))
    return statistics.median(mine), statistics.median(theirs) if theirs else float("nan")


def time_on_processor(names: list[str], rounds: int, compiled: bool) -> None:
    torch.set_num_threads(1)
    images = photographs()
    print(f"one thread, {platform.machine()}, torch {torch.__version__}, {BATCH} images of {SIDE} x {SIDE}")
    print(
        "| descriptor | parameters | ms per image | reference | ms per image (reference) | ratio |"
        "\n|---|---|---|---|---|---|"
    )
    for name, parameters, reference_name, reference, done in cases(images):
        if names and name not in names:
            continue
        call = partial(texture.get(name).function, **parameters)
        call = torch.compile(call) if compiled else call
        mine, theirs = compare(partial(call, shaped(name, images)), reference, rounds)
        shown = ", ".join(f"{key}={value}" for key, value in parameters.items()) or "default"
        mine, theirs = 1e3 * mine / BATCH, 1e3 * theirs / done
        against = f"{theirs:.2f} | {theirs / mine:.1f}" if reference else " | "
        print(f"| {name} | {shown} | {mine:.3f} | {reference_name} | {against} |", flush=True)


PLAIN_C = """
#include <stdint.h>
void lbp(const uint8_t *padded, uint8_t *codes, int height, int width) {
  int line = width + 2;
  for (int y = 0; y < height; y++)
    for (int x = 0; x < width; x++) {
      const uint8_t *p = padded + (y + 1) * line + x + 1;
      int c = p[0], east = p[1], north = p[-line], west = p[-1], south = p[line];
      int code = (east >= c) | (north >= c) << 2 | (west >= c) << 4 | (south >= c) << 6;
      code |= (70711 * (p[1 - line] - c) + 29289 * (north + east - 2 * c) >= 0) << 1;
      code |= (70711 * (p[-1 - line] - c) + 29289 * (north + west - 2 * c) >= 0) << 3;
      code |= (70711 * (p[line - 1] - c) + 29289 * (south + west - 2 * c) >= 0) << 5;
      code |= (70711 * (p[line + 1] - c) + 29289 * (south + east - 2 * c) >= 0) << 7;
      codes[y * width + x] = code;
    }
}
"""


def time_plain_c(rounds: int) -> None:
    """Print LBP(8,1) against the loop above, which reads images that are padded before."""
    images = photographs()
    padded = np.pad(images.numpy(), ((0, 0), (1, 1), (1, 1)), mode="reflect")
    codes = np.empty(images.shape, np.uint8)
    torch.set_num_threads(1)
    print(f"{platform.machine()}, torch {torch.__version__}, side {SIDE}, tiles of {cache_bytes() >> 20} MiB")
    print("| compiler flags | batch | C, us per image | auxface, us per image | auxface / C |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for number, flags in enumerate((["-O3"], ["-O3", "-march=native"])):
            library = Path(folder) / f"{number}.so"
            subprocess.run(
                ["cc", *flags, "-shared", "-fPIC", "-x", "c", "-", "-o", library], input=PLAIN_C, text=True, check=True
            )
            loop = ctypes.CDLL(str(library)).lbp

            def in_c(batch: int, loop: Callable[..., None] = loop) -> None:
                for source, target in zip(padded[:batch], codes, strict=False):
                    loop(ctypes.c_void_p(source.ctypes.data), ctypes.c_void_p(target.ctypes.data), SIDE, SIDE)

            for batch in (1, BATCH):
                ours = partial(texture.local_binary_pattern, images[:batch])
                mine, theirs = compare(ours, partial(in_c, batch), rounds * (20 if batch == 1 else 1))
                assert np.array_equal(ours(), codes[:batch])
                mine, theirs = 1e6 * mine / batch, 1e6 * theirs / batch
                print(f"| {' '.join(flags)} | {batch} | {theirs:.0f} | {mine:.0f} | {mine / theirs:.2f} |", flush=True)


def peak_resident() -> int:
    """Return the peak resident bytes of this process (Linux)."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


def memory_of(name: str, parameters: dict) -> None:
    """Print the peak resident memory in addition to input and output, as a multiple of the input's bytes."""
    torch.set_num_threads(1)
    images = torch.randint(0, 256, (BATCH, SIDE, SIDE), dtype=torch.uint8)
    call = partial(texture.get(name).function, **parameters)
    call(shaped(name, images[:16, :64, :64].clone()))
    images = shaped(name, images)
    # A child's getrusage starts at its parent's peak; this counter can be reset.
    Path("/proc/self/clear_refs").write_text("5")
    before = peak_resident()
    maps = call(images)
    peak = peak_resident() - before
    print((peak - maps.numel() * maps.element_size()) / images.numel())


def measure_memory(names: list[str]) -> None:
    print("| descriptor | parameters | peak extra memory / input |\n|---|---|---|")
    for name, parameters, *_ in cases(photographs()):
        if names and name not in names:
            continue
        code = f"import runpy; m = runpy.run_path({__file__!r}); m['memory_of']({name!r}, {parameters!r})"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        print(f"| {name} | {json.dumps(parameters)} | {float(done.stdout):.1f} |", flush=True)


def fraction_of_step(names: list[str], rounds: int) -> None:
    """Print the processor time of computing the target of the hidden three quarters of the patches, and that of a joint
    step with this target: ViT-tiny/16, 16 images of 224."""
    from step import SETTINGS, data, our_step

    from auxface.objectives.reconstruction.targets import PatchTarget
    from auxface.recipe import Target

    torch.set_num_threads(1)
    setting = SETTINGS["tiny16"]
    images, _ = data(setting)
    mean, std = torch.zeros(1, 3, 1, 1), torch.ones(1, 3, 1, 1)
    patches = (setting.side // setting.patch) ** 2
    hidden = torch.rand(setting.batch, patches).argsort(1)[:, patches // 4 :].sort(1).values
    print(f"one thread, {platform.machine()}, {setting.name}, {setting.batch} images of {setting.side}")
    print("| target | encoding | ms per step for the target | ms per step | fraction |\n|---|---|---|---|---|")
    for name, found in texture.available().items():
        if found.input != "image" or (names and name not in names):
            continue
        encoding = found.describe_output().encodings[:2][-1]
        target = Target(name=name, encoding=encoding)
        compute_target = partial(PatchTarget(target, setting.patch).compute, images, mean, std, hidden)
        made, stepped = compare(compute_target, our_step(setting, False, target=target), rounds)
        print(
            f"| {name} | {encoding} | {1e3 * made:.1f} | {1e3 * stepped:.0f} | {100 * made / stepped:.2f} % |",
            flush=True,
        )


def time_on_device(names: list[str], rounds: int, compiled: bool) -> None:
    device = torch.device("cuda")
    images = photographs().repeat(16, 1, 1).to(device)
    big = torch.empty(1 << 28, dtype=torch.uint8, device=device)
    bandwidth = 2 * big.numel() / device_seconds(big.clone, rounds)
    print(f"{torch.cuda.get_device_name()}, copy bandwidth {bandwidth / 1e9:.0f} GB/s, {len(images)} images")
    print("| descriptor | parameters | images per second | fraction of bandwidth |\n|---|---|---|---|")
    for name, parameters, *_ in cases(photographs()):
        if names and name not in names:
            continue
        call = partial(texture.get(name).function, **parameters)
        call = torch.compile(call) if compiled else call
        batch = shaped(name, images)
        maps = call(batch)
        seconds_per_call = device_seconds(partial(call, batch), rounds)
        moved = images.numel() + maps.numel() * maps.element_size()
        fraction = moved / seconds_per_call / bandwidth
        print(
            f"| {name} | {json.dumps(parameters)} | {len(images) / seconds_per_call:.0f} | {100 * fraction:.1f} % |",
            flush=True,
        )


def device_seconds(function: Callable[[], object], rounds: int) -> float:
    times = []
    for _ in range(rounds + 3):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        function()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end) / 1e3)
    return statistics.median(times[3:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="descriptors; default: all")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--memory", action="store_true", help="peak memory instead of speed")
    parser.add_argument("--step", action="store_true", help="fraction of a training step instead")
    parser.add_argument("--plain-c", action="store_true", help="LBP(8,1) against a loop in C instead")
    parser.add_argument("--compiled", action="store_true", help="through torch.compile")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.plain_c:
        time_plain_c(options.rounds)
    elif options.memory:
        measure_memory(options.names)
    elif options.step:
        fraction_of_step(options.names, options.rounds)
    elif torch.cuda.is_available():
        time_on_device(options.names, options.rounds, options.compiled)
    else:
        time_on_processor(options.names, options.rounds, options.compiled)


if __name__ == "__main__":
    main()
