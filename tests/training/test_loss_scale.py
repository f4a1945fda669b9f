"""fp16 and its loss scale, on a CPU: Accelerate supports fp16 on GPUs only, torch's scaler runs on both."""

import json

import pytest
import torch
from safetensors.torch import load_file

from auxface.model import JointModel
from auxface.objectives import LearnedTask
from auxface.recipe import Encoder, Recipe, ReconstructionOptions, Train
from auxface.training.data_loader import DataLoader
from auxface.training.distributed import make_accelerator
from auxface.training.loop import run_training
from auxface.training.selection import Validation

TASK = LearnedTask("shade", "class", ("dark", "light"))


def run(folder, scale=None, advance=None):
    recipe = Recipe(
        primary_weight=0.3,
        auxiliary=ReconstructionOptions(decoder_width=32, decoder_depth=1, decoder_heads=4),
        encoder=Encoder(image_size=32, patch_size=8, width=32, depth=2, heads=4),
        train=Train(epochs=3, batch_size=8, base_learning_rate=0.02, precision="fp32", clip_norm=1.0),
    )
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (24, 3, 32, 32), generator=generator).to(torch.uint8).numpy()
    labels = {"shade": torch.randint(0, 2, (24,), generator=generator)}
    accelerator = make_accelerator(recipe, "cpu")
    if scale is not None:
        accelerator.state._mixed_precision = "fp16"
        accelerator.native_amp = True
        accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=4)
    folder.mkdir(exist_ok=True)
    loader = DataLoader(images=images, labels=labels, seed=0, batch_size=8, augment="none", size=32)
    validation = Validation(images[:8], {"shade": labels["shade"][:8]})
    return run_training(
        JointModel(recipe, [TASK]), loader, validation, folder=folder, accelerator=accelerator, advance=advance
    )


def newest(folder):
    return max((folder / "checkpoint").iterdir())


def test_gradients_are_unscaled_before_clipping_and_scale_saved(tmp_path):
    plain, scaled = run(tmp_path / "fp32"), run(tmp_path / "fp16", 2.0**10)
    for (name, one), two in zip(plain.model.state_dict().items(), scaled.model.state_dict().values(), strict=True):
        if not name.endswith("qkv.bias"):
            torch.testing.assert_close(one, two, atol=3e-3, rtol=0)

    class Stopped(Exception):
        pass

    reported = []

    def stop(steps, note="", **_):
        # Calls for zero steps only print.
        if steps:
            reported.append(steps)
        if reported == [3, 3]:
            raise Stopped

    with pytest.raises(Stopped):
        run(tmp_path / "broken", 2.0**10, stop)
    assert newest(tmp_path / "broken").name == "000000003"
    run(tmp_path / "broken", 2.0**3)
    scales = [json.loads((newest(tmp_path / name) / "state.json").read_text())["scaler"] for name in ("fp16", "broken")]
    assert scales[0] == scales[1]
    # Every fourth of the nine steps doubles the scale, since none overflows.
    assert scales[0]["scale"] == 2.0**12
    for file in ("model", "optimizer"):
        saved = [load_file(newest(tmp_path / name) / f"{file}.safetensors") for name in ("fp16", "broken")]
        assert all(torch.equal(value, saved[1][name]) for name, value in saved[0].items())


def test_an_overflowing_loss_scale_is_halved(tmp_path):
    trained = run(tmp_path / "a", 2.0**30)
    assert all(torch.isfinite(value).all() for value in trained.model.state_dict().values())
    scale = json.loads((newest(tmp_path / "a") / "state.json").read_text())["scaler"]["scale"]
    assert scale < 2.0**30
