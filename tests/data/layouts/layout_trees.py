"""Small data sets in the exact form that their owners publish, made on the spot."""

import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from auxface.data.layouts.celeba import ATTRIBUTES


@dataclass(frozen=True)
class Tree:
    """What a maker promises: rows in all, rows of the official splits, files without which the layout refuses."""

    total: int
    official: dict[str, int]
    needed: tuple[str, ...]
    video: bool = False
    options: tuple[tuple[str, object], ...] = ()


def image(path: Path, side: int = 24) -> None:
    """An image whose pixels follow from its name, so that no two are the same file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = zlib.crc32(str(path).encode())
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)).save(path)


def text(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


@cache
def video_bytes() -> bytes:
    import io

    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        for number in range(6):
            frame = av.VideoFrame.from_ndarray(np.full((32, 48, 3), 40 * number, np.uint8), format="rgb24")
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return buffer.getvalue()


def video(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(video_bytes())


def celeba(root: Path) -> Tree:
    for number in range(1, 7):
        image(root / f"Img/img_align_celeba/{number:06d}.jpg")
    values = " ".join(" 1" if at % 3 == 0 else "-1" for at in range(40))
    lines = [f"{number:06d}.jpg {values}" for number in range(1, 7)]
    text(root / "Anno/list_attr_celeba.txt", "\n".join(["6", " ".join(ATTRIBUTES) + " ", *lines]) + "\n")
    text(root / "Anno/identity_CelebA.txt", "".join(f"{n:06d}.jpg {100 + n // 2}\n" for n in range(1, 7)))
    parts = {1: 0, 2: 0, 3: 0, 4: 1, 5: 1, 6: 2}
    text(root / "Eval/list_eval_partition.txt", "".join(f"{n:06d}.jpg {part}\n" for n, part in parts.items()))
    needed = ("Img/img_align_celeba", "Anno/list_attr_celeba.txt", "Anno/identity_CelebA.txt")
    return Tree(6, {"train": 3, "val": 2, "test": 1}, (*needed, "Eval/list_eval_partition.txt"))


def fer2013(root: Path) -> Tree:
    random = np.random.default_rng(0)
    rows = ["emotion,pixels,Usage"]
    for number, usage in enumerate(["Training"] * 3 + ["PublicTest"] * 2 + ["PrivateTest"]):
        pixels = " ".join(map(str, random.integers(0, 256, 48 * 48)))
        rows.append(f"{number},{pixels},{usage}")
    text(root / "fer2013.csv", "\n".join(rows) + "\n")
    return Tree(6, {"train": 3, "val": 2, "test": 1}, ("fer2013.csv",))


def utkface(root: Path) -> Tree:
    for number in range(20):
        image(root / f"{number * 5}_{number % 2}_{number % 5}_201701161745{number:05d}.jpg.chip.jpg")
    return Tree(20, {}, ())


def folder(root: Path) -> Tree:
    for split, count in (("train", 3), ("val", 2), ("test", 1)):
        for name in ("happy", "sad"):
            for number in range(count):
                image(root / split / name / f"{number}.png")
    return Tree(12, {"train": 6, "val": 4, "test": 2}, ())


def faceforensics(root: Path) -> Tree:
    for split, pair in (("train", ("000", "003")), ("val", ("001", "870")), ("test", ("002", "006"))):
        text(root / f"splits/{split}.json", json.dumps([pair]))
        for at in (0, 1):
            video(root / f"original_sequences/youtube/c23/videos/{pair[at]}.mp4")
            for method in ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures"):
                video(root / f"manipulated_sequences/{method}/c23/videos/{pair[at]}_{pair[1 - at]}.mp4")
    video(root / "manipulated_sequences/Deepfakes/masks/videos/000_003.mp4")
    places = tuple(f"manipulated_sequences/{m}/c23/videos" for m in ("Deepfakes", "Face2Face", "FaceSwap"))
    splits = tuple(f"splits/{split}.json" for split in ("train", "val", "test"))
    needed = ("original_sequences/youtube/c23/videos", *places, *splits)
    return Tree(30, {"train": 10, "val": 10, "test": 10}, needed, video=True)


def celebdf(root: Path) -> Tree:
    for number in range(8):
        video(root / f"Celeb-real/id0_{number:04d}.mp4")
        video(root / f"Celeb-synthesis/id0_id1_{number:04d}.mp4")
        video(root / f"YouTube-real/{number:05d}.mp4")
    # As in the official list, a forgery may be listed without its original.
    tested = ["1 Celeb-real/id0_0000.mp4", "0 Celeb-synthesis/id0_id1_0001.mp4", "1 YouTube-real/00000.mp4"]
    text(root / "List_of_testing_videos.txt", "\n".join(tested) + "\n")
    needed = ("Celeb-real", "Celeb-synthesis", "YouTube-real", "List_of_testing_videos.txt")
    return Tree(22, {"test": 3}, needed, video=True)


def dfdc(root: Path) -> Tree:
    for part in range(2):
        about = {}
        for number in range(6):
            real, fake = f"real{part}{number}.mp4", f"fake{part}{number}.mp4"
            video(root / f"dfdc_train_part_{part}" / real)
            video(root / f"dfdc_train_part_{part}" / fake)
            about[real] = {"label": "REAL", "split": "train", "original": None}
            about[fake] = {"label": "FAKE", "split": "train", "original": real}
        text(root / f"dfdc_train_part_{part}/metadata.json", json.dumps(about))
    return Tree(24, {}, (), video=True)


def uadfv(root: Path) -> Tree:
    for number in range(12):
        video(root / f"real/{number:04d}.mp4")
        video(root / f"fake/{number:04d}_fake.mp4")
    return Tree(24, {}, ("real", "fake"), video=True)


def df40(root: Path) -> Tree:
    for number in range(12):
        for frame in range(2):
            image(root / f"DF40_train/simswap/frames/{number:03d}_{number + 12:03d}/{frame:03d}.png")
    image(root / "DF40/simswap/ff/frames/900_901/000.png")
    image(root / "DF40/simswap/cdf/frames/id0_id1_0000/000.png")
    image(root / "DF40/heygen/real/aaa/000.png")
    image(root / "DF40/heygen/fake/bbb/000.png")
    return Tree(28, {"test": 4}, ())


def rafdb(root: Path) -> Tree:
    lines = []
    for number in range(1, 21):
        for part in ("train", "test") if number <= 3 else ("train",):
            name = f"{part}_{number:05d}"
            image(root / f"basic/Image/aligned/{name}_aligned.jpg")
            lines.append(f"{name}.jpg {number % 7 + 1}")
            text(root / f"basic/Annotation/manual/{name}_manu_attri.txt", "1.0\t2.0\n" * 5 + "1\n0\n2\n")
    text(root / "basic/EmoLabel/list_patition_label.txt", "\n".join(lines) + "\n")
    return Tree(23, {"test": 3}, ("basic/EmoLabel/list_patition_label.txt", "basic/Image/aligned"))


def affectnet(root: Path) -> Tree:
    for name, count in (("train_set", 24), ("val_set", 3)):
        for number in range(count):
            image(root / name / f"images/{number}.jpg")
            annotations = root / name / "annotations"
            annotations.mkdir(parents=True, exist_ok=True)
            for what, value in (("exp", str(number % 8)), ("val", "0.25"), ("aro", "-0.5")):
                np.save(annotations / f"{number}_{what}.npy", np.array(value))
            np.save(annotations / f"{number}_lnd.npy", np.zeros((68, 2)))
    needed = ("train_set/images", "train_set/annotations", "val_set/images", "val_set/annotations")
    return Tree(27, {"test": 3}, needed)


def affectnet_lists(root: Path) -> Tree:
    header = "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"
    for name, count in (("training", 24), ("validation", 3)):
        rows = [header]
        for number in range(count):
            file = f"{number % 3}/{name}{number}.jpg"
            image(root / "Manually_Annotated_Images" / file)
            rows.append(f"{file},1,2,3,4,1.0;2.0;3.0,{number % 8},0.25,-0.5")
        # Neither "uncertain" nor "no face" is an emotion.
        rows.append(f"0/none{name}.jpg,1,2,3,4,1;2,9,-2,-2")
        text(root / f"Manually_Annotated_file_lists/{name}.csv", "\n".join(rows) + "\n")
    needed = tuple(f"Manually_Annotated_file_lists/{name}.csv" for name in ("training", "validation"))
    return Tree(27, {"test": 3}, (*needed, "Manually_Annotated_Images"))


def ckplus(root: Path) -> Tree:
    for subject in range(20):
        for frame in range(1, 6):
            name = f"S{subject:03d}/001/S{subject:03d}_001_{frame:08d}"
            image(root / f"cohn-kanade-images/{name}.png")
        text(root / f"Emotion/{name}_emotion.txt", f"   {subject % 7 + 1}.0000000e+00\n")
    return Tree(60, {}, ("cohn-kanade-images", "Emotion"))


def fairface(root: Path) -> Tree:
    for part, count in (("train", 24), ("val", 3)):
        rows = ["file,age,gender,race,service_test"]
        for number in range(1, count + 1):
            image(root / f"{part}/{number}.jpg")
            rows.append(f"{part}/{number}.jpg,3-9,{'Male' if number % 2 else 'Female'},East Asian,False")
        text(root / f"fairface_label_{part}.csv", "\n".join(rows) + "\n")
    needed = ("fairface_label_train.csv", "fairface_label_val.csv", "train", "val")
    return Tree(27, {"test": 3}, needed)


def lfw(root: Path) -> Tree:
    for person, count in (("Aaron_Eckhart", 2), ("Bo_Derek", 3), ("Carla", 1)):
        for number in range(1, count + 1):
            image(root / f"lfw/{person}/{person}_{number:04d}.jpg")
    pairs = ["1\t2", "Aaron_Eckhart\t1\t2", "Bo_Derek\t1\t3", "Aaron_Eckhart\t1\tBo_Derek\t2", "Bo_Derek\t1\tCarla\t1"]
    text(root / "pairs.txt", "\n".join(pairs) + "\n")
    return Tree(6, {"test": 6}, ("lfw", "pairs.txt"))


def synthetic(root: Path) -> Tree:
    return Tree(24, {}, (), options=(("count", 24), ("size", 32)))


def synthetic_clips(root: Path) -> Tree:
    return Tree(12, {}, (), video=True, options=(("count", 12), ("size", 32), ("length", 3)))


MAKERS: dict[str, Callable[[Path], Tree]] = {
    "affectnet": affectnet,
    "affectnet-lists": affectnet_lists,
    "celeba": celeba,
    "celebdf": celebdf,
    "ckplus": ckplus,
    "df40": df40,
    "dfdc": dfdc,
    "faceforensics": faceforensics,
    "fairface": fairface,
    "fer2013": fer2013,
    "folder": folder,
    "lfw": lfw,
    "rafdb": rafdb,
    "synthetic": synthetic,
    "synthetic_clips": synthetic_clips,
    "uadfv": uadfv,
    "utkface": utkface,
}
