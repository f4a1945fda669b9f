"""No dead keys: whatever a recipe can say changes what is built, how it is trained or what is written."""

import importlib.util
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import BaseModel
from safetensors.torch import load_file, save_file
from torch import nn

from auxface.data.manifest import Label, Manifest
from auxface.data.samples import LoadedSamples, clip_sampling
from auxface.encoders import build_encoder, pretrained
from auxface.errors import InputError
from auxface.model.card import model_card
from auxface.model.scoring import score_images
from auxface.objectives.registry import available
from auxface.recipe import AuxiliaryOptions, Recipe, load_recipe
from auxface.training.assembly import assemble
from auxface.training.calibration import calibrate
from auxface.training.data_loader import DataLoader
from auxface.training.logging import read_log
from auxface.training.loop import run_training

_spec = importlib.util.spec_from_file_location("changed_runs", Path(__file__).with_name("changed_runs.py"))
changed_runs = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(changed_runs)
CHANGES = changed_runs.CHANGES

ROWS = 24


def models_in(annotation):
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from models_in(inner)


def keys():
    """Every ``Section.field``; fields that only hold one section stand for that section's own."""
    waiting, seen, found = [Recipe, *(objective.options for objective in available().values())], [], []
    while waiting:
        section = waiting.pop()
        if section in seen or section is AuxiliaryOptions:
            continue
        seen.append(section)
        for name, field in section.model_fields.items():
            waiting += models_in(field.annotation)
            if not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
                found.append(f"{section.__name__}.{name}")
    return found


def manifest():
    rng = np.random.default_rng(5)
    table = pd.DataFrame(
        {
            "path": [f"{row}.png" for row in range(ROWS)],
            "split": ["train", "train", "val"] * (ROWS // 3),
            "kind": list("aaabab") * (ROWS // 6),
            "where": list("nnnnsn") * (ROWS // 6),
            "when": list("dndnnn") * (ROWS // 6),
            "forged": np.zeros(ROWS),
            "age": rng.integers(1, 9, ROWS).astype(float),
        }
    )
    for name in ("dataset", "source", "video", "method"):
        table[name] = ""
    table["frame"] = np.arange(ROWS)
    table.loc[::4, "forged"] = 1.0
    table["posed"] = table["forged"].where(table["frame"] % 5 != 1)
    labels = {
        "kind": Label("class", ("a", "b")),
        "where": Label("class", ("n", "s")),
        "forged": Label("binary", ("real", "fake")),
        "posed": Label("binary", ("no", "yes")),
        "age": Label("ordinal"),
    }
    return Manifest(table, labels, ("where", "when"))


def images_of(part, name, recipe):
    size = recipe if isinstance(recipe, int) else recipe.encoder.image_size
    rng = np.random.default_rng(len(name))
    coarse = rng.integers(0, 256, (len(part.table), 3, 4, 4)).astype(np.uint8)
    images = coarse.repeat(size // 4, axis=2).repeat(size // 4, axis=3)
    return LoadedSamples(part, images // 2 + rng.integers(0, 128, images.shape).astype(np.uint8), part.table.iloc[:0])


def observe(settings, where, folder, monkeypatch):
    """What comes of a recipe; a part of it is enough where the whole would take long."""
    monkeypatch.chdir(folder)
    recipe = load_recipe("l_ssat", ["train.epochs=2", "train.batch_size=8", "train.precision=fp32", *settings])
    if where == "clip":
        return str(clip_sampling(recipe)), build_encoder(recipe.encoder).grid
    seen = {"batches": 0, "decoded": set(), "compiled": 0, "threads": 0}
    batch, compile_block = DataLoader.batch, nn.Module.compile

    def counted(self, *arguments, **given):
        seen["batches"] += 1
        seen["threads"] = torch.get_num_threads()
        return batch(self, *arguments, **given)

    monkeypatch.setattr(DataLoader, "batch", counted)
    monkeypatch.setattr(nn.Module, "compile", lambda self: seen.update(compiled=seen["compiled"] + 1))
    if where == "error":
        try:
            assemble(recipe, manifest(), "cpu", images_of)
        except InputError as error:
            return str(error)
        return "none"
    parts = assemble(recipe, manifest(), "cpu", images_of)
    model = parts.model
    if "reconstruction" in model.auxiliaries:
        decoder = model.auxiliaries["reconstruction"].decoder
        decoder.register_forward_hook(lambda module, given, made: seen["decoded"].add(given[2].shape[1]))
    run_training(model, parts.loader, parts.validation, folder=folder, device="cpu", training=parts.training)
    monkeypatch.setattr(nn.Module, "compile", compile_block)
    monkeypatch.setattr(DataLoader, "batch", batch)
    logits, abstain = score_images(model, parts.validation.images), recipe.train.abstain_accuracy
    labels, column = parts.validation.labels, recipe.train.group if recipe.train.threshold_per_group else None
    groups = None if column is None else parts.splits["val"].manifest.table[column]
    records = [
        calibrate(task, logits[task.name], labels[task.name], abstain_accuracy=abstain, groups=groups)
        for task in model.tasks
    ]
    log = read_log(folder / "log.jsonl").drop(columns="seconds")
    last = load_file(max((folder / "checkpoint").iterdir()) / "model.safetensors")
    weights = [
        {name: value.double().sum().item() for name, value in each.items()} for each in (last, model.state_dict())
    ]
    blocks = [(name, type(part).__name__, getattr(part, "fused_attn", None), str(part.__dict__.get("forward"))[:30],
               getattr(part, "stride", None), [weight.stride() for weight in part.parameters(recurse=False)])
              for name, part in model.encoder.named_modules()]  # fmt: skip
    return {
        **seen,
        "weights": weights,
        "log": log.to_json(),
        "files": sorted(str(path.relative_to(folder)).partition("events")[0] for path in folder.rglob("*")),
        "card": model_card(model.default_config()).splitlines()[0],
        "built": blocks,
        "records": records,
    }[where]


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """Weights to start from."""
    torch.manual_seed(11)
    path = tmp_path_factory.mktemp("weights") / "given.safetensors"
    encoder = build_encoder(load_recipe("supervised", changed_runs.ALONE).encoder)
    save_file({name: torch.randn_like(value) / 9 for name, value in encoder.vit.state_dict().items()}, path)
    return path


def test_every_recipe_key_has_a_test_case():
    assert sorted(CHANGES) == sorted(keys())


@pytest.mark.parametrize("key", CHANGES)
def test_every_changed_key_changes_the_result(key, tmp_path, monkeypatch, given):
    base, change, where = CHANGES[key]
    change = tuple(each.replace("given.safetensors", str(given)) for each in change)

    def asked(name):
        raise InputError(f"the weights of {name} were asked for")

    monkeypatch.setattr(pretrained, "cached_weights", asked)
    folders = [tmp_path / name for name in ("base", "again", "changed")]
    for folder in folders:
        folder.mkdir()
    first, changed = (observe(each, where, folder, monkeypatch) for each, folder in (
        (base, folders[0]), ((*base, *change), folders[2])))  # fmt: skip
    assert first != changed
    if where == "error":
        assert first == "none"


@pytest.mark.parametrize("where", ["weights", "log", "files", "built", "decoded", "batches"])
def test_equal_recipes_give_equal_results(where, tmp_path, monkeypatch):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    assert observe(changed_runs.RGB, where, tmp_path / "one", monkeypatch) == observe(
        changed_runs.RGB, where, tmp_path / "two", monkeypatch
    )
