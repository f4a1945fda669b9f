"""What must follow from the formula of the joint loss."""

import copy
import math

import torch

from auxface.model import JointModel
from auxface.objectives import Batch, LearnedTask
from auxface.recipe import Encoder, Recipe, ReconstructionOptions, Target

ENCODER = Encoder(image_size=32, patch_size=8, width=32, depth=2, heads=4)
TASKS = (
    LearnedTask("emotion", "class", ("happy", "sad", "angry")),
    LearnedTask("forged", "binary", ("real", "forged")),
)


def joint(primary_weight=0.1, seed=0, target="rgb"):
    auxiliary = ReconstructionOptions(target=(Target(name=target),), decoder_width=32, decoder_depth=1, decoder_heads=4)
    return JointModel(Recipe(seed=seed, primary_weight=primary_weight, auxiliary=auxiliary, encoder=ENCODER), TASKS)


def supervised(seed=0):
    return JointModel(Recipe(seed=seed, primary_weight=1, encoder=ENCODER), TASKS)


def batch_of(count=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    clean = torch.randint(0, 256, (count, 3, 32, 32), generator=generator, dtype=torch.uint8)
    labels = {
        "emotion": torch.randint(0, 3, (count,), generator=generator),
        "forged": torch.randint(0, 2, (count,), generator=generator).float(),
    }
    return Batch(primary=clean.float() / 255, clean=clean, labels=labels, seeds=torch.arange(count) + 100 * seed)


def test_primary_weight_one_equals_supervised_training():
    one, two = joint(primary_weight=1.0), supervised()
    optimizers = [torch.optim.AdamW(model.parameters(), lr=1e-3) for model in (one, two)]
    for step in range(4):
        for model, optimizer in zip((one, two), optimizers, strict=True):
            optimizer.zero_grad()
            model(batch_of(seed=step))[0].backward()
            optimizer.step()
    for name, value in two.state_dict().items():
        assert torch.equal(value, one.state_dict()[name]), name


def test_the_decoder_changes_no_prediction():
    model = joint()
    images = torch.rand(4, 3, 32, 32)
    before = model.logits(images)
    stripped = copy.deepcopy(model)
    del stripped.auxiliaries["reconstruction"]
    for name, logits in stripped.logits(images).items():
        assert torch.equal(logits, before[name])


def test_the_loss_is_the_convex_sum_of_the_logged_losses():
    loss, logs, _ = joint()(batch_of())
    primary = (logs["primary.emotion"] + logs["primary.forged"]) / 2
    torch.testing.assert_close(loss.detach(), 0.1 * primary + 0.9 * logs["reconstruction.rgb"])


def test_unknown_labels_do_not_count_in_the_loss():
    model, batch = supervised(), batch_of(6)
    batch.labels["emotion"][3:] = -1
    batch.labels["forged"][3:] = math.nan
    logs = model(batch).logs
    known = batch_of(6)
    known = Batch(
        primary=known.primary[:3],
        clean=known.clean[:3],
        labels={k: v[:3] for k, v in known.labels.items()},
        seeds=known.seeds[:3],
    )
    wanted = model(known).logs
    for name, value in wanted.items():
        torch.testing.assert_close(logs[name], value)


def test_a_batch_without_labels_has_loss_zero():
    model, batch = supervised(), batch_of()
    batch.labels["emotion"][:] = -1
    batch.labels["forged"][:] = math.nan
    loss = model(batch).loss
    loss.backward()
    assert loss.item() == 0
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_texture_targets_come_from_the_clean_view():
    model, batch = joint(target="local_directional_pattern"), batch_of()
    before = model(batch).logs
    other = Batch(primary=batch.primary, clean=255 - batch.clean.flip(0), labels=batch.labels, seeds=batch.seeds)
    after = model(other).logs
    assert before["reconstruction.local_directional_pattern"] != after["reconstruction.local_directional_pattern"]
    assert before["primary.emotion"] == after["primary.emotion"]


def test_a_model_states_the_size_of_its_decoder():
    recipe = Recipe(
        auxiliary=ReconstructionOptions(), encoder=Encoder(image_size=32, patch_size=8, width=32, depth=1, heads=4)
    )
    options = JointModel(recipe, [LearnedTask("smile", "binary", ("no", "yes"))]).recipe.auxiliary
    assert (options.decoder_width, options.decoder_depth, options.decoder_heads) == (128, 2, 16)
