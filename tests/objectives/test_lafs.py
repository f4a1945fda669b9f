"""LAFS: patches, landmarks and loss against torch, timm and lightly, and against the values of the formulas."""

import copy
import math
import warnings

import pandas as pd
import pytest
import torch
import torch.nn.functional as F

from auxface.data.augment.views import ViewRequest, make_view
from auxface.data.manifest import Label, Manifest
from auxface.encoders import build_encoder
from auxface.encoders.masking import Mask
from auxface.errors import InputError
from auxface.objectives import Batch, BuildContext, StepContext, TrainingSet, TrainProgress
from auxface.objectives.contrast.lafs import (
    FIVE_POINTS,
    LAFS,
    dino_loss,
    follow,
    points_from_five,
    read_points,
    sample_patches,
    teacher_momentum,
    teacher_temperature,
    template,
    tile,
)
from auxface.recipe import Encoder, LAFSOptions, TextureInput

GRID, SIDE = (4, 4), 8
SMALL = {"prototypes": 32, "head_width": 16, "bottleneck_width": 8, "local_views": 2}
COUNT = 6


def images(seed=0, count=COUNT, size=32):
    return torch.randint(
        0, 256, (count, 3, size, size), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8
    )


def regular(grid=GRID, side=SIDE):
    y, x = torch.meshgrid(*((torch.arange(count) + 0.5) * side for count in grid), indexing="ij")
    return torch.stack([x, y], dim=-1).reshape(1, -1, 2)


def built(**options):
    torch.manual_seed(0)
    encoder = build_encoder(Encoder(image_size=32, patch_size=8, width=32, depth=1, heads=4))
    objective = LAFS(LAFSOptions(**SMALL | options), BuildContext(encoder, (), TextureInput(), 32))
    table = pd.DataFrame({"path": [f"{row}.png" for row in range(COUNT)]})
    objective.before_training(TrainingSet(Manifest(table, {"x": Label("identity")}), lambda: torch.empty(0)))
    return encoder, objective


def batch(objective, scale=1.0):
    pixels, seeds = images(), torch.arange(COUNT)
    views = {request: make_view(request, pixels, seeds, 32) for request in objective.views}
    return Batch(primary=pixels / 255, clean=pixels, labels={}, seeds=seeds, indices=seeds, views=views, scale=scale)


def loss_at(encoder, objective, given, fraction=0.5):
    return objective(encoder, given, StepContext(encoder, given.primary, TrainProgress(int(100 * fraction), 100)))


def test_patches_on_a_regular_grid_are_those_of_unfold():
    pixels = images().float() / 255
    found = sample_patches(pixels, regular().expand(COUNT, -1, -1), SIDE)
    wanted = F.unfold(pixels, SIDE, stride=SIDE).transpose(1, 2).view(COUNT, 16, 3, SIDE, SIDE)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(tile(found, GRID), pixels)


def test_patches_follow_a_shift_and_a_mirror_by_whole_pixels():
    pixels = images().float() / 255
    points = regular().expand(COUNT, -1, -1)[:, [5, 6, 9, 10]]
    shifted = sample_patches(pixels.roll((2, 3), (2, 3)), points + torch.tensor([3.0, 2.0]), SIDE)
    torch.testing.assert_close(shifted, sample_patches(pixels, points, SIDE))
    mirrored = torch.stack([32 - points[..., 0], points[..., 1]], dim=-1)
    torch.testing.assert_close(
        sample_patches(pixels.flip(-1), mirrored, SIDE).flip(-1), sample_patches(pixels, points, SIDE)
    )


def test_landmarks_follow_the_crop_of_a_view():
    """A point of one color is found in every view at the place that the affine map gives."""
    size, places = 64, torch.randint(24, 40, (COUNT, 2), generator=torch.Generator().manual_seed(2))
    pixels = torch.zeros(COUNT, 3, size, size, dtype=torch.uint8)
    for row, (x, y) in enumerate(places.tolist()):
        pixels[row, :, y - 3 : y + 4, x - 3 : x + 4] = 255
    view = make_view(ViewRequest("contrast_crop", {"area": (0.7, 1.0)}), pixels, torch.arange(COUNT), 64)
    found = follow((places[:, None] + 0.5), view.affine)
    lit = view.images.mean(1) > 0.3 * view.images.mean(1).amax(dim=(1, 2), keepdim=True)
    for row in range(COUNT):
        y, x = lit[row].nonzero().float().add(0.5).mean(0)
        assert found[row, 0].tolist() == pytest.approx([x.item(), y.item()], abs=1)
    assert view.source == size


def test_the_template_lies_on_the_face_and_keeps_the_order_of_rows():
    points = template((14, 14))
    assert points.shape == (196, 2)
    assert points.min() > 0
    assert points.max() < 1
    rows = points.view(14, 14, 2)
    assert (rows[:, 1:, 0] > rows[:, :-1, 0]).all()
    assert (rows[1:, :, 1] > rows[:-1, :, 1]).all()
    torch.testing.assert_close(rows.flip(1)[..., 0], 1 - rows[..., 0])


def test_five_points_move_the_template_by_their_affine_map():
    known = torch.tensor(FIVE_POINTS)
    torch.testing.assert_close(points_from_five(known[None], GRID)[0], template(GRID), atol=1e-5, rtol=0)
    turned = torch.tensor([[0.8, -0.2], [0.2, 0.8]])
    moved = known @ turned.T + 0.1
    torch.testing.assert_close(
        points_from_five(moved[None], GRID)[0], template(GRID) @ turned.T + 0.1, atol=1e-5, rtol=0
    )


def test_without_positions_the_order_of_landmarks_does_not_matter():
    encoder = build_encoder(Encoder(image_size=32, patch_size=8, width=32, depth=2, heads=4)).eval()
    patches = sample_patches(images().float() / 255, regular().expand(COUNT, -1, -1), SIDE)
    order = torch.randperm(16, generator=torch.Generator().manual_seed(1))
    straight, shuffled = tile(patches, GRID), tile(patches[:, order], GRID)
    assert not torch.allclose(encoder(straight).pooled, encoder(shuffled).pooled, atol=1e-4)
    encoder.vit.pos_embed.zero_()
    torch.testing.assert_close(encoder(straight).pooled, encoder(shuffled).pooled, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("prototypes", "expected"), [(4096, 8.3178), (100_000, 11.5129)])
def test_equal_students_have_the_loss_log_k(prototypes, expected):
    teacher = [torch.randn(3, prototypes) for _ in range(2)]
    student = [torch.zeros(3, prototypes) for _ in range(6)]
    found = dino_loss(teacher, student, torch.zeros(prototypes), 0.04, 0.1)
    assert found.item() == pytest.approx(expected, abs=1e-3)


def test_six_views_have_ten_terms():
    """Each of two teacher views is compared with all five other views."""
    teacher, student = [torch.randn(3, 12) for _ in range(2)], [torch.randn(3, 12) for _ in range(6)]
    target, log_softmax = (
        [(each / 0.04).softmax(1) for each in teacher],
        [(each / 0.1).log_softmax(1) for each in student],
    )
    terms = [-(p * q).sum(1).mean() for u, p in enumerate(target) for v, q in enumerate(log_softmax) if u != v]
    assert len(terms) == 10
    torch.testing.assert_close(dino_loss(teacher, student, torch.zeros(12), 0.04, 0.1), sum(terms) / 10)


def test_the_loss_is_single_precision_under_autocast():
    teacher, student = [torch.randn(3, 12) for _ in range(2)], [torch.randn(3, 12) for _ in range(4)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = dino_loss(teacher, student, torch.zeros(12), 0.04, 0.1)
    assert inside.dtype == torch.float32
    torch.testing.assert_close(inside, dino_loss(teacher, student, torch.zeros(12), 0.04, 0.1), rtol=0, atol=0)


def test_the_loss_is_the_entropy_plus_the_divergence():
    encoder, objective = built()
    given = batch(objective)
    loss, logs = loss_at(encoder, objective, given)
    entropy = logs["teacher_entropy"] * math.log(SMALL["prototypes"])
    torch.testing.assert_close(loss.detach(), entropy + logs["divergence"])
    assert logs["divergence"] > 0


@pytest.mark.parametrize("views", [2, 6])
def test_the_loss_and_the_center_are_those_of_lightly(views):
    lightly = pytest.importorskip("lightly.loss")
    generator = torch.Generator().manual_seed(views)
    teacher = [torch.randn(5, 12, generator=generator) for _ in range(2)]
    student = [torch.randn(5, 12, generator=generator) for _ in range(views)]
    oracle = lightly.DINOLoss(
        12, teacher_temp=0.04, warmup_teacher_temp_epochs=0, student_temp=0.1, center_momentum=0.9
    )
    first = oracle(teacher, student, epoch=1)
    torch.testing.assert_close(dino_loss(teacher, student, torch.zeros(12), 0.04, 0.1), first, atol=1e-4, rtol=1e-4)
    center = 0.1 * torch.cat(teacher).mean(0)
    second = oracle(teacher, student, epoch=1)
    torch.testing.assert_close(dino_loss(teacher, student, center, 0.04, 0.1), second, atol=1e-4, rtol=1e-4)


def test_the_teacher_and_the_center_move_by_their_momentum():
    encoder, objective = built(momentum=0.9)
    before = copy.deepcopy(objective.teacher.module["encoder"])
    given = batch(objective)
    tiles = [objective._global(given, number) for number in range(2)]
    outputs = torch.cat([objective.teacher.module["head"](before(each).pooled) for each in tiles])
    loss_at(encoder, objective, given)
    with torch.no_grad():
        for weight in encoder.parameters():
            weight.add_(0.5)
    objective.after_step(encoder, TrainProgress(0, 100))
    for old, new, student in zip(before.parameters(), objective.teacher.module["encoder"].parameters(),
                                 encoder.parameters()):  # fmt: skip
        torch.testing.assert_close(new, 0.9 * old + 0.1 * student)
    torch.testing.assert_close(objective.center.module.value, 0.1 * outputs.mean(0), atol=1e-5, rtol=1e-4)


def test_schedules_begin_and_end_at_their_values():
    options = LAFSOptions()
    assert teacher_temperature(options, TrainProgress(0, 100)) == pytest.approx(0.07)
    assert teacher_temperature(options, TrainProgress(73, 100)) == pytest.approx(0.04)
    assert teacher_temperature(options, TrainProgress(90, 100)) == pytest.approx(0.04)
    assert teacher_momentum(options, TrainProgress(0, 100)) == pytest.approx(0.996)
    assert teacher_momentum(options, TrainProgress(50, 100)) == pytest.approx(0.998)
    assert teacher_momentum(options, TrainProgress(100, 100)) == pytest.approx(1)


def test_the_teacher_gets_no_gradient_and_first_steps_no_prototypes():
    encoder, objective = built()
    loss_at(encoder, objective, batch(objective), fraction=0.0)[0].backward()
    assert objective.head.prototypes.grad is None
    assert all(weight.grad is None for weight in objective.teacher.module.parameters())
    loss_at(encoder, objective, batch(objective), fraction=0.5)[0].backward()
    assert objective.head.prototypes.grad.abs().max() > 0
    assert any(weight.grad is not None and weight.grad.abs().max() > 0 for weight in encoder.parameters())


@pytest.mark.parametrize("positions", ["order", "place"])
def test_a_local_view_holds_a_subset_without_repetition(positions):
    _, objective = built(positions=positions, local_fraction=0.3, perturbation=0)
    given = batch(objective)
    tiled, mask = objective._local(given, 2)
    assert isinstance(mask, Mask)
    assert mask.visible.shape == (COUNT, 5)
    kept = F.unfold(tiled, SIDE, stride=SIDE).transpose(1, 2)
    view = given.views[objective.views[2]]
    every = sample_patches(view.images, objective._landmarks(given, view, 2), SIDE).flatten(2)
    for row in range(COUNT):
        rows = [(every[row] - kept[row, place]).abs().sum(dim=1) for place in mask.visible[row]]
        found = [int(each.argmin()) for each in rows]
        assert all(each.min() < 1e-4 for each in rows)
        assert len(set(found)) == 5
        assert positions == "order" or found == mask.visible[row].tolist()
    if positions == "order":
        assert mask.visible[0].tolist() == [0, 1, 2, 3, 4]


def test_an_image_without_weight_does_not_move_the_center():
    encoder, objective = built()
    loss_at(encoder, objective, batch(objective, scale=0.0))
    objective.after_step(encoder, TrainProgress(1, 100))
    assert objective.center.module.value.abs().max() == 0


def test_a_collapsed_teacher_is_reported():
    _, objective = built()
    training = TrainingSet(Manifest(pd.DataFrame(), {}), lambda: torch.empty(0))
    for entropy, divergence, count in ((0.999, 0.001, 1), (0.001, 0.001, 1), (0.5, 0.001, 0), (0.999, 0.5, 0)):
        objective._health = [(entropy, divergence)]
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            objective.before_epoch(training, 3)
        assert len(found) == count


def test_given_points_are_read_in_the_order_of_the_images(tmp_path):
    head = "path," + ",".join(f"{axis}{number}" for number in range(1, 6) for axis in "xy")
    rows = [
        [0.3, 0.4, 0.7, 0.4, 0.5, 0.6, 0.35, 0.8, 0.65, 0.8],
        [0.35, 0.45, 0.75, 0.45, 0.55, 0.65, 0.4, 0.85, 0.7, 0.85],
    ]
    lines = [head, *(f"{name}," + ",".join(map(str, row)) for name, row in zip("ab", rows))]
    (tmp_path / "points.csv").write_text("\n".join(lines))
    found = read_points(tmp_path / "points.csv", ["b", "a"], GRID)
    torch.testing.assert_close(found[0], found[1] + 0.05)
    with pytest.raises(InputError, match="no landmarks for the training image 'c'"):
        read_points(tmp_path / "points.csv", ["a", "c"], GRID)
    (tmp_path / "points.csv").write_text("path,x1,y1\na,1,2\n")
    with pytest.raises(InputError, match="expected the columns path, x1, y1 to x5, y5, or to x16, y16"):
        read_points(tmp_path / "points.csv", ["a"], GRID)
    with pytest.raises(InputError, match="no such file"):
        read_points(tmp_path / "none.csv", ["a"], GRID)
