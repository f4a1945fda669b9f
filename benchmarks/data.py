"""Measure data loading against ImageFolder and PIL, face cropping, and speed and memory of video frames.

    python benchmarks/data.py [loading] [faces] [video] [--images FOLDER] [--weights YUNET.onnx] [--workers 1]

Without ``--images``, rendered faces are used. ``loading``: JPEG files of 112 x 112 pixels to augmented float batches of
64, with torchvision's ImageFolder, PIL and a torch DataLoader, and with the cache and the loader of training; the same
augmentation and number of workers (processes there, threads here), measured in turn. A third variant applies the
transforms v2 of torchvision to tensors of the same cached images, in a torch DataLoader. ``video``: videos of 10 s and
of 10 minutes (the same frames repeated), each in its own process.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from auxface.data.faces import FaceCropper, FaceSettings
from auxface.data.images.cache import load_images
from auxface.data.images.decode import fit_square, in_order, read_image
from auxface.data.layouts.registry import list_files
from auxface.data.manifest import read_manifest
from auxface.data.prepare.prepare import prepare
from auxface.data.synthetic import render_faces
from auxface.training.data_loader import DataLoader

SIDE, BATCH, COUNT, ROUNDS = 112, 64, 1920, 5
FPS, SHORT, REPEATS, FRAME = 25, 10, 60, (640, 360)


def medians(runs: dict[str, Callable[[], int]]) -> dict[str, float]:
    """Return the items per second of each function, the median of rounds in turn."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    for _ in range(ROUNDS):
        for name, run in runs.items():
            begun = time.perf_counter()
            count = run()
            found[name].append(count / (time.perf_counter() - begun))
    return {name: float(np.median(values)) for name, values in found.items()}


def sources(folder: Path | None, count: int, side: int) -> list[np.ndarray]:
    """Return images, uint8 [H, W, 3], of a folder or rendered."""
    if folder is None:
        return list(render_faces(count, seed=1, size=side).images)
    paths = list(list_files(folder))
    return [read_image(path) for path in paths[:: max(1, len(paths) // count)][:count]]


class CachedImages:
    """The images of the cache as tensors, uint8 [3, H, W], transformed one by one."""

    def __init__(self, images: np.ndarray, transform: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self.images, self.transform = images, transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, place: int) -> torch.Tensor:
        return self.transform(torch.from_numpy(np.array(self.images[place])))


def loading(folder: Path | None, workers: int) -> dict[str, object]:
    from torch.utils.data import DataLoader as TorchDataLoader
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import (
        ColorJitter,
        Compose,
        RandomApply,
        RandomHorizontalFlip,
        RandomResizedCrop,
        ToTensor,
        v2,
    )

    torch.set_num_threads(1)
    light = Compose(
        [
            RandomResizedCrop(SIDE, scale=(0.7, 1.0), ratio=(0.9, 1 / 0.9)),
            RandomHorizontalFlip(),
            RandomApply([ColorJitter(0.2, 0.2, 0.2)], 0.8),
            ToTensor(),
        ]
    )
    to_float = v2.ToDtype(torch.float32, scale=True)
    light_v2 = v2.Compose(
        [
            v2.RandomResizedCrop(SIDE, scale=(0.7, 1.0), ratio=(0.9, 1 / 0.9)),
            v2.RandomHorizontalFlip(),
            v2.RandomApply([v2.ColorJitter(0.2, 0.2, 0.2)], 0.8),
            to_float,
        ]
    )
    pixels = sources(folder, COUNT, SIDE)
    report: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as place:
        tree = Path(place) / "tree"
        for number, image in enumerate(pixels):
            path = tree / "ab"[number % 2] / f"{number:05d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(fit_square(image, SIDE)).save(path, quality=95)
        output = Path(place) / "manifest.parquet"
        prepare("folder", tree, out=output, options={"split_fractions": "1,0,0"}, duplicates="keep")
        manifest = read_manifest(output)
        begun = time.perf_counter()
        cached = load_images(manifest, size=SIDE, folder=Path(place) / "cache", workers=workers).array
        report["decoded once, images per second"] = round(len(cached) / (time.perf_counter() - begun))

        for name, transform, transform_v2 in (("light", light, light_v2), ("none", ToTensor(), to_float)):
            settings = {"shuffle": True, "num_workers": workers, "persistent_workers": workers > 0}
            theirs = TorchDataLoader(ImageFolder(str(tree), transform), BATCH, **settings)
            tensors = TorchDataLoader(CachedImages(cached, transform_v2), BATCH, **settings)
            loader = DataLoader(
                images=cached,
                labels={"class": torch.arange(len(cached)) % 2},
                seed=0,
                batch_size=BATCH,
                augment=name,
                size=SIDE,
            )

            def pil(loader: TorchDataLoader = theirs) -> int:
                return sum(len(images) for images, _ in loader)

            def tensor(loader: TorchDataLoader = tensors) -> int:
                return sum(len(images) for images in loader)

            def ours(loader: DataLoader = loader) -> int:
                def make(indices: torch.Tensor) -> int:
                    return len(loader.batch(indices, 0, torch.device("cpu")).primary)

                batches = loader.draws(0)
                return sum(in_order(make, batches, workers=workers) if workers > 1 else map(make, batches))

            found = medians({"ImageFolder and PIL": pil, "cache and transforms v2": tensor, "auxface": ours})
            report[f"augment {name}"] = {key: round(value) for key, value in found.items()} | {
                f"auxface / {key}": round(found["auxface"] / found[key], 1) for key in list(found)[:2]
            }
    return report


def faces(folder: Path | None, weights: Path | None, workers: int) -> dict[str, object]:
    images = sources(folder, 200, 224)
    report: dict[str, object] = {"images": f"{len(images)} of about {images[0].shape[1]}x{images[0].shape[0]}"}
    for detector in ("yunet", "haar") if weights else ("haar",):
        cropper = FaceCropper(FaceSettings(detector=detector, size=SIDE), weights)

        def run(cropper: FaceCropper = cropper) -> int:
            return sum(1 for _ in in_order(cropper.crop, images, workers=workers))

        found = sum(len(cropper.crop(image)) > 0 for image in images)
        rate = medians({detector: run})[detector]
        report[detector] = {"images per second": round(rate, 1), "with a face": found}
    return report


def write_clips(folder: Path) -> tuple[Path, Path]:
    """Write a video of moving noise, and one that repeats its packets."""
    import av

    width, height = FRAME
    short, long = folder / "short.mp4", folder / "long.mp4"
    random = np.random.default_rng(0)
    ground = np.kron(random.integers(0, 256, (height // 8 + 4, width // 8 + 40, 3), np.uint8), np.ones((8, 8, 1)))
    with av.open(str(short), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "ultrafast", "g": "50", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(FPS * SHORT):
            view = np.ascontiguousarray(ground[number % 24 : number % 24 + height, number : number + width], np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(view, format="rgb24")))
        container.mux(stream.encode())
    with av.open(str(long), "w") as output:
        copy = None
        for turn in range(REPEATS):
            with av.open(str(short)) as source:
                given = source.streams.video[0]
                copy = copy or output.add_stream_from_template(given)
                shift = round(turn * SHORT / (given.time_base or Fraction(1)))
                for packet in source.demux(given):
                    if packet.dts is not None and packet.pts is not None:
                        packet.dts, packet.pts, packet.stream = packet.dts + shift, packet.pts + shift, copy
                        output.mux(packet)
    return short, long


_CHILD = """
import json, sys, time
from pathlib import Path
from auxface.data.video.frames import FrameSettings
from auxface.data.video.frames import stream_frames
from auxface.data.prepare.frame_extraction import extract_frames

def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1024

path = Path(sys.argv[1])
next(stream_frames(path))
begun, count = time.perf_counter(), 0
# A short video is read several times: one pass is too short to measure.
while time.perf_counter() - begun < 3:
    if sys.argv[2] == "stream":
        count += sum(1 for _ in stream_frames(path))
    else:
        count += sum(1 for _ in extract_frames(path, None, FrameSettings(count=32), None))
print(json.dumps({"frames": count, "seconds": time.perf_counter() - begun, "peak_mib": round(peak(), 1)}))
"""


def video() -> dict[str, object]:
    report: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as place:
        clips = dict(zip(("10 s", "10 min"), write_clips(Path(place)), strict=True))
        for what in ("stream", "32 frames"):
            found = {}
            for name, path in clips.items():
                command = [sys.executable, "-c", _CHILD, str(path), what]
                found[name] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
                found[name]["frames_per_second"] = round(found[name]["frames"] / found[name].pop("seconds"), 1)
            long, short = found["10 min"], found["10 s"]
            report[what] = found | {
                f"{key}, long over short": round(long[key] / short[key], 3) for key in ("peak_mib", "frames_per_second")
            }
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed of loading, faces and video.")
    parser.add_argument("parts", nargs="*", choices=("loading", "faces", "video"))
    parser.add_argument("--images", type=Path)
    parser.add_argument("--weights", type=Path, help="YuNet's ONNX file; without it only Haar is measured")
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    report: dict[str, object] = {"workers": options.workers}
    for part in options.parts or ("loading", "faces", "video"):
        if part == "loading":
            report[part] = loading(options.images, options.workers)
        elif part == "faces":
            report[part] = faces(options.images, options.weights, options.workers)
        else:
            report[part] = video()
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
