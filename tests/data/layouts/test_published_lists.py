"""The official list files, where this machine has them, and values worked out by hand."""

import json
import shutil
from collections import Counter

import layout_trees
import numpy as np
import pytest
from layout_trees import image, text

from auxface.data.layouts import get_layout
from auxface.data.layouts.face_attributes import age_group
from auxface.data.layouts.fer2013 import majority
from auxface.errors import InputError


def read(name, root, **options):
    return get_layout(name).read(root, **options)


def test_celeba_reads_the_official_lists(shared_data, tmp_path):
    lists = shared_data / "annotations" / "celeba"
    (tmp_path / "img_align_celeba").mkdir()
    for file in lists.iterdir():
        shutil.copy(file, tmp_path / file.name)
    table = read("celeba", tmp_path).table
    assert len(table) == 5000
    first = table.iloc[0]
    # 000001.jpg in the published file: a young woman with brown hair who smiles, identity 2880, training.
    assert (first["Brown_Hair"], first["Male"], first["Smiling"], first["Young"], first["Bald"]) == (1, 0, 1, 1, 0)
    assert (first["source"], first["split"], first["frame"], first["gender"]) == ("2880", "train", 1, "Female")


def test_faceforensics_official_splits_cover_all_originals(shared_data, tmp_path):
    shutil.copytree(shared_data / "annotations" / "faceforensics" / "splits", tmp_path / "splits")
    ids = [f"{number:03d}" for number in range(1000)]
    for name in ids:
        text(tmp_path / f"original_sequences/youtube/raw/videos/{name}.mp4", "")
    text(tmp_path / "manipulated_sequences/Deepfakes/raw/videos/953_974.mp4", "")
    listing = read("faceforensics", tmp_path, compression="c0", methods=["Deepfakes"])
    # The other 999 forgeries were not downloaded, which is reported.
    assert len(listing.excluded) == 999
    assert {one.reason for one in listing.excluded} == {"no such file, but the split files list it"}
    table = listing.table
    assert Counter(table["split"]) == {"train": 720, "val": 140, "test": 141}
    assert table.groupby("source")["split"].nunique().max() == 1
    pair = table[table["source"] == "953_974"]
    assert sorted(pair["video"]) == ["953", "953_974", "974"]
    assert set(pair["split"]) == {"test"}
    text(tmp_path / "manipulated_sequences/Deepfakes/raw/videos/953_012.mp4", "")
    with pytest.raises(InputError, match="do not pair"):
        read("faceforensics", tmp_path, compression="c0", methods=["Deepfakes"])


def test_rafdb_has_the_official_counts(shared_data, tmp_path):
    shutil.copytree(shared_data / "annotations" / "rafdb" / "EmoLabel", tmp_path / "EmoLabel")
    (tmp_path / "Image" / "aligned").mkdir(parents=True)
    table = read("rafdb", tmp_path, val_fraction=0.0).table
    # Training and test set sizes as the paper states them.
    assert Counter(table["split"]) == {"train": 12271, "test": 3068}
    assert Counter(table["emotion"])["happiness"] == 4772 + 1185


def test_fairface_refuses_ages_that_became_dates(shared_data, tmp_path):
    for file in (shared_data / "annotations" / "fairface").glob("*.csv"):
        shutil.copy(file, tmp_path / file.name)
    for part in ("train", "val"):
        (tmp_path / part).mkdir()
    listing = read("fairface", tmp_path)
    assert Counter(listing.table["split"])["test"] == 10954
    assert listing.groups == ("gender", "race", "age_group")
    changed = tmp_path / "fairface_label_val.csv"
    changed.chmod(0o644)
    changed.write_text(changed.read_text().replace("3-9", "9-Mar"))
    with pytest.raises(InputError, match="row 1 has age '9-Mar'"):
        read("fairface", tmp_path)


def test_lfw_has_the_official_pairs(shared_data, tmp_path):
    shutil.copy(shared_data / "annotations" / "lfw" / "pairs.txt", tmp_path / "pairs.txt")
    (tmp_path / "lfw").mkdir()
    pairs = read("lfw", tmp_path).extra_tables["pairs"]
    assert len(pairs) == 6000
    assert pairs.groupby("fold")["same"].agg(["size", "sum"]).to_numpy().tolist() == [[600, 300]] * 10


def test_celebdf_excludes_sources_of_the_official_test_list(shared_data, tmp_path):
    layout_trees.celebdf(tmp_path)
    listing = read("celebdf", tmp_path)
    # Number 0's forgery and number 1's original are not on the list, but share a source with it.
    assert sorted(one.path.rsplit("/", 1)[1] for one in listing.excluded) == ["id0_0001.mp4", "id0_id1_0000.mp4"]
    assert listing.table.groupby("source")["split"].nunique().max() == 1
    assert len(read("celebdf", tmp_path, source="video").table) == 24
    official = shared_data / "annotations" / "celebdf" / "List_of_testing_videos.txt"
    for line in official.read_text().splitlines():
        text(tmp_path / line.split()[1], "")
    shutil.copyfile(official, tmp_path / "List_of_testing_videos.txt")
    (tmp_path / official.read_text().split()[1]).unlink()
    listing = read("celebdf", tmp_path)
    assert [one.reason for one in listing.excluded if one.status == "unreadable"] == [
        "no such file, but List_of_testing_videos.txt lists it"
    ]
    table = listing.table
    assert Counter(table.loc[table["split"] == "test", "forged"]) == {0: 177, 1: 340}


def test_dfdc_reads_the_official_metadata(shared_data, tmp_path):
    shutil.copy(shared_data / "annotations" / "dfdc" / "metadata.json", tmp_path / "metadata.json")
    table = read("dfdc", tmp_path).table
    assert Counter(table["forged"]) == {1: 323, 0: 77}
    forgery = table[table["video"] == "aagfhgtpmv"].iloc[0]
    assert (forgery["source"], forgery["forged"]) == ("vudstovrck", 1)


def test_utkface_labels_come_from_file_names(shared_data, tmp_path):
    names = (shared_data / "annotations" / "utkface" / "filenames_head.txt").read_text().splitlines()
    odd = "55_0_0_20170116232725357jpg.chip.jpg"
    for name in [*names, odd, "61_1_20170109142408075.jpg.chip.jpg"]:
        (tmp_path / name).touch()
    listing = read("utkface", tmp_path)
    assert len(listing.table) == len({*names, odd})
    assert [one.path.rsplit("/", 1)[1] for one in listing.excluded] == ["61_1_20170109142408075.jpg.chip.jpg"]
    row = listing.table[listing.table["source"] == "10_0_0_20170110215927291"].iloc[0]
    assert (row["age"], row["gender"], row["race"], row["age_group"]) == (10, "Male", "White", "10-19")


@pytest.mark.parametrize(
    ("age", "group"), [(0, "0-2"), (2, "0-2"), (3, "3-9"), (9, "3-9"), (10, "10-19"), (116, "70+")]
)
def test_age_groups_have_the_bounds_of_fairface(age, group):
    assert age_group(age) == group


@pytest.mark.parametrize(
    ("votes", "emotion"),
    [
        ({"neutral": "4", "sadness": "1", "anger": "3", "disgust": "2"}, None),
        ({"neutral": "6", "surprise": "1", "sadness": "1", "unknown": "2"}, "neutral"),
        ({"neutral": "5", "happiness": "5"}, None),
        ({"unknown": "10"}, None),
        ({"fear": "1", "NF": "9"}, None),
        ({"contempt": "2"}, "contempt"),
    ],
)
def test_fer_plus_takes_the_majority(votes, emotion):
    assert majority(votes) == emotion


def test_fer2013_writes_the_pixels_and_takes_fer_plus_labels(tmp_path):
    from PIL import Image

    layout_trees.fer2013(tmp_path)
    table = read("fer2013", tmp_path).table
    line = (tmp_path / "fer2013.csv").read_text().splitlines()[2].split(",")
    assert np.array(Image.open(table["path"][1])).ravel().tolist() == [int(value) for value in line[1].split()]
    assert list(table["emotion"][:3]) == ["angry", "disgust", "fear"]
    usage = ["Training"] * 3 + ["PublicTest"] * 2 + ["PrivateTest"]
    header = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
    rows = [f"{what},fer{at}.png,0,{9 - 9 * (at == 1)},0,0,0,0,0,0,{9 * (at == 1)},0" for at, what in enumerate(usage)]
    text(tmp_path / "fer2013new.csv", "\n".join([header, *rows]) + "\n")
    plus = read("fer2013", tmp_path, labels="ferplus")
    assert set(plus.table["emotion"]) == {"happiness"}
    assert len(plus.excluded) == 1
    assert "majority" in plus.excluded[0].reason


def test_fer2013_folders_take_the_split_from_file_names(tmp_path):
    for emotion in ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"):
        image(tmp_path / f"train/{emotion}/Training_1{emotion}.jpg")
        image(tmp_path / f"test/{emotion}/PublicTest_2{emotion}.jpg")
        image(tmp_path / f"test/{emotion}/PrivateTest_3{emotion}.jpg")
    assert Counter(read("fer2013", tmp_path).table["split"]) == {"train": 7, "val": 7, "test": 7}


def test_affectnet_with_seven_classes_excludes_contempt(tmp_path):
    layout_trees.affectnet(tmp_path)
    listing = read("affectnet", tmp_path, classes="7")
    assert len(listing.table) == 24 - 3 + 3
    assert "contempt" not in listing.labels["emotion"].classes
    assert listing.table["valence"].eq(0.25).all()
    (tmp_path / "train_set/annotations/0_exp.npy").write_bytes(b"\x80\x04.")
    assert [one.status for one in read("affectnet", tmp_path).excluded] == ["unreadable"]


def test_folder_keeps_the_sources_of_a_pattern_together(tmp_path):
    for person in range(12):
        for shot in range(3):
            image(tmp_path / f"{'sad' if person % 2 else 'happy'}/p{person}_{shot}.png")
    table = read("folder", tmp_path, source_pattern=r"(p\d+)_").table
    assert table["source"].nunique() == 12
    assert table.groupby("source")["split"].nunique().max() == 1
    (tmp_path / "train").mkdir()
    with pytest.raises(InputError, match="'happy' is next to the splits"):
        read("folder", tmp_path)


def test_folder_refuses_an_unlisted_class(tmp_path):
    layout_trees.folder(tmp_path)
    assert read("folder", tmp_path, classes="sad,happy").labels["class"].classes == ("sad", "happy")
    with pytest.raises(InputError, match="'sad' is not one of the classes"):
        read("folder", tmp_path, classes="happy,angry")


def test_ckplus_takes_neutral_frames_from_the_start(tmp_path):
    layout_trees.ckplus(tmp_path)
    listing = read("ckplus", tmp_path, neutral_frames=1)
    one = listing.table[listing.table["video"] == "S002_001"]
    assert list(zip(one["frame"], one["emotion"])) == [(1, "neutral"), (3, "disgust"), (4, "disgust"), (5, "disgust")]
    assert "neutral" not in read("ckplus", tmp_path).labels["emotion"].classes


def test_df40_both_swaps_of_a_pair_share_a_source(tmp_path):
    for split, name in (("DF40_train", "000_003"), ("DF40_train", "003_000"), ("DF40", "900_901")):
        image(tmp_path / f"{split}/simswap/ff/frames/{name}/0.png")
    image(tmp_path / "DF40/heygen/real/a/0.png")
    table = read("df40", tmp_path).table
    assert list(table["source"]) == ["ff/000_003", "ff/000_003", "heygen/a", "ff/900_901"]
    assert list(table["forged"]) == [1, 1, 0, 1]
    assert list(table["method"]) == ["simswap", "simswap", "", "simswap"]


def test_dfdc_reads_is_fake_of_the_test_set(tmp_path):
    about = {"a.mp4": {"is_fake": 1, "original": "b.mp4", "split": "test"}, "b.mp4": {"is_fake": 0, "split": "test"}}
    text(tmp_path / "metadata.json", json.dumps(about))
    table = read("dfdc", tmp_path).table
    assert list(table["forged"]) == [1, 0]
    assert list(table["split"]) == ["test", "test"]
    text(tmp_path / "metadata.json", json.dumps({"a.mp4": {"split": "test"}}))
    with pytest.raises(InputError, match=r"metadata\.json: expected label"):
        read("dfdc", tmp_path)
