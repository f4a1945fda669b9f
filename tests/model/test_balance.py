import math

import pytest
import torch

from auxface.errors import InputError
from auxface.model import JointModel
from auxface.model.balance import LearnedBalance, ObjectiveSchedule, auxiliary_weight_at
from auxface.objectives import Batch, LearnedTask, TrainProgress
from auxface.recipe import AuxiliaryOptions, Balance, Encoder, Recipe, ReconstructionOptions, Scheme, load_recipe

SMALL = ReconstructionOptions(decoder_width=32, decoder_depth=1, decoder_heads=4)


def recipe_with(**settings):
    encoder = Encoder(image_size=32, patch_size=8, width=32, depth=1, heads=4)
    return Recipe(**{"auxiliary": SMALL, "encoder": encoder} | settings)


def weights_of(recipe, steps=8):
    return [ObjectiveSchedule(recipe).primary_weight(TrainProgress(step, steps)) for step in range(steps)]


def batch_of(count=6):
    clean = torch.randint(0, 256, (count, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return Batch(
        primary=clean.float() / 255, clean=clean, labels={"t": torch.arange(count) % 2}, seeds=torch.arange(count)
    )


def model_of(**settings):
    return JointModel(recipe_with(**settings), [LearnedTask("t", "class", ("a", "b"))])


def taught(model, progress):
    model.zero_grad()
    loss, logs, _ = model(batch_of(), progress)
    loss.backward()
    parts = {"encoder": model.encoder, "primary": model.primary, "auxiliaries": model.auxiliaries}
    names = {name for name, part in parts.items() if any(p.grad is not None for p in part.parameters())}
    return names, logs


def test_a_schedule_goes_from_start_to_end():
    line = weights_of(recipe_with(balance=Balance(kind="schedule", start=0.9, end=0.1)))
    assert line == pytest.approx([0.9 - 0.1 * step for step in range(8)])
    curve = weights_of(recipe_with(balance=Balance(kind="schedule", start=0, end=1, shape="cosine")))
    assert curve[0] == 0
    assert curve[4] == pytest.approx(0.5)
    assert curve == sorted(curve)


def test_schemes_train_one_side_at_a_time():
    alternating = recipe_with(primary_weight=1, scheme=Scheme(kind="alternating"))
    assert weights_of(alternating) == [0, 1] * 4
    sequential = recipe_with(primary_weight=1, scheme=Scheme(kind="sequential", pretrain_fraction=0.25))
    assert weights_of(sequential) == [0] * 2 + [1] * 6
    frozen = recipe_with(primary_weight=1, scheme=Scheme(kind="frozen"))
    assert weights_of(frozen) == [0] * 4 + [1] * 4
    assert [ObjectiveSchedule(frozen).freezes_encoder(TrainProgress(step, 8)) for step in range(8)] == [False] * 4 + [
        True
    ] * 4
    assert not ObjectiveSchedule(sequential).freezes_encoder(TrainProgress(7, 8))


@pytest.mark.parametrize(
    ("kind", "step", "parts"),
    [
        ("joint", 0, {"encoder", "primary", "auxiliaries"}),
        ("sequential", 0, {"encoder", "auxiliaries"}),
        ("sequential", 6, {"encoder", "primary"}),
        ("alternating", 2, {"encoder", "auxiliaries"}),
        ("alternating", 3, {"encoder", "primary"}),
        ("frozen", 3, {"encoder", "auxiliaries"}),
        ("frozen", 4, {"primary"}),
    ],
)
def test_each_scheme_trains_its_own_parts(kind, step, parts):
    model = model_of(primary_weight=0.1 if kind == "joint" else 1, scheme=Scheme(kind=kind))
    assert taught(model, TrainProgress(step, 8))[0] == parts


def test_warmup_rises_from_zero_and_weight_zero_is_not_run():
    options = AuxiliaryOptions(weight=0.5, warmup=0.25)
    assert [auxiliary_weight_at(options, TrainProgress(step, 8)) for step in range(4)] == [0, 0.25, 0.5, 0.5]
    model = model_of(auxiliary=SMALL.model_copy(update={"weight": 0.0}))
    assert taught(model, TrainProgress())[0] == {"encoder", "primary"}


def test_learned_weights_minimize_the_objective_of_kendall():
    balance = LearnedBalance(("a", "b"))
    losses = {"a": torch.tensor(0.2), "b": torch.tensor(3.0)}
    factors = {"a": 1.0, "b": 1.0}
    total, weights = balance(losses, factors)
    torch.testing.assert_close(total, torch.tensor(3.2))
    optimizer = torch.optim.Adam(balance.parameters(), lr=0.05)
    for _ in range(500):
        optimizer.zero_grad()
        balance(losses, factors)[0].backward()
        optimizer.step()
    _, weights = balance(losses, factors)
    torch.testing.assert_close(balance.log_variances.exp(), torch.tensor([0.4, 6.0]), rtol=1e-2, atol=1e-3)
    assert weights["a"] == pytest.approx(1 / 0.4, rel=1e-2)


def test_a_learned_balance_is_learned_and_logged():
    model = model_of(balance=Balance(kind="learned"))
    _, logs = taught(model, TrainProgress())
    assert model.balance.log_variances.grad.abs().min() > 0
    assert logs["primary.weight"] == logs["reconstruction.weight"] == 1
    assert math.isfinite(logs["reconstruction.rgb"])


def test_learned_weights_honor_weight_and_warmup():
    options = SMALL.model_copy(update={"weight": 0.5, "warmup": 0.5})
    _, logs = taught(model_of(balance=Balance(kind="learned"), auxiliary=options), TrainProgress(2, 8))
    assert (logs["primary.weight"], logs["reconstruction.weight"]) == (1, 0.25)


def test_a_bare_number_is_the_published_weight():
    assert load_recipe("l_ssat", ["balance=0.3"]) == load_recipe("l_ssat", ["balance=fixed", "primary_weight=0.3"])


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (["primary_weight=2"], r"primary_weight: .*less than or equal to 1"),
        (["primary_weight=much"], r"primary_weight"),
        (["balance=lerned"], r"balance.kind"),
        (["balance={kind: schedule, strat: 0.1, end: 1}"], r"did you mean 'balance.start'"),
        (["balance={kind: schedule, start: 0.1}"], r"balance schedule needs start and end"),
        (["balance={kind: learned, ratio: 0.5}"], r"balance learned does not use ratio"),
        (["auxiliary=null", "primary_weight=1", "balance=gradient"], r"the recipe has none; set balance to 1"),
        (["scheme=sequential", "primary_weight=1", "balance=gradient"], r"trains one objective at a time"),
        (["scheme=sequential"], r"scheme sequential trains one objective at a time.*set balance to 1"),
        (["primary_weight=0.5"], r"balance gradient does not use primary_weight 0.5; set balance to 0.5"),
        (["scheme=sequentially"], r"scheme.kind"),
        (["scheme.pretrain_fraction=0.3"], r"scheme: scheme joint has no pre-training"),
        (["auxiliary=null", "balance=1", "scheme=alternating"], r"the recipe has none"),
        (["auxiliary.weight=0", "balance=1", "scheme=alternating"], r"all auxiliaries have weight 0"),
        (
            ["auxiliary.weight=0", "balance=0"],
            r"primary_weight 0 trains only the auxiliaries.*all of them have weight 0",
        ),
        (["auxiliary=null", "balance=1", "fusion=gated"], r"fusion gated needs the decoder"),
        (["texture_input=local_binary_pattern"], r"neither primary.input nor auxiliary.input is texture"),
    ],
)
def test_options_without_effect_are_refused(settings, sentence):
    with pytest.raises(InputError, match=sentence) as caught:
        load_recipe("l_ssat", settings)
    assert "\n" not in str(caught.value)


def test_a_probe_of_given_weights_needs_no_auxiliary():
    recipe = load_recipe("supervised", ["scheme.kind=frozen", "scheme.pretrain_fraction=0"])
    assert ObjectiveSchedule(recipe).freezes_encoder(TrainProgress(0, 8))
