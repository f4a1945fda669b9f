"""Each part of a description shows in the image: measured on images that differ in one part only."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from auxface.data.synthetic import (
    EMOTIONS,
    SKIN_TONES,
    Expression,
    FaceDescription,
    Forgery,
    Identity,
    Scene,
    Style,
    attributes_of,
    describe_face,
    render_face,
    typical_expression,
)
from auxface.errors import InputError

STILL = Scene(noise=0.0)
PERSON = Identity(skin_tone="monk_05", hair_style="short")
SIZE = 96


def image(size=SIZE, scene=STILL, **parts):
    return render_face(FaceDescription(**{"identity": PERSON, "scene": scene, **parts}), size).astype(float)


def luminance(pixels):
    return pixels @ (0.2126, 0.7152, 0.0722)


def place(u, v, size=SIZE):
    """Return column and row of a point of a head that faces the camera."""
    return round(size / 2 + u * 0.44 * size), round(size / 2 + (v + STILL.shift_y) * 0.44 * size)


def patch(pixels, u, v, half=3):
    column, row = place(u, v, len(pixels))
    return pixels[row - half : row + half + 1, column - half : column + half + 1]


@pytest.mark.parametrize("size", [32, 64, 75, 224])
def test_faces_render_at_any_size(size):
    drawn = render_face(FaceDescription(), size)
    assert drawn.shape == (size, size, 3)
    assert drawn.dtype == np.uint8
    assert drawn.std() > 20


@pytest.mark.parametrize("size", [31, 513])
def test_sizes_out_of_range_are_refused(size):
    with pytest.raises(InputError, match=f"between 32 and 512 pixels, not {size}"):
        render_face(FaceDescription(), size)


def test_rendering_is_deterministic():
    face, _ = describe_face(2, seed=9)
    assert np.array_equal(render_face(face, 64), render_face(face, 64))


def test_sizes_show_the_same_face():
    face, _ = describe_face(5, seed=9)
    large = render_face(face, 128).reshape(64, 2, 64, 2, 3).mean((1, 3))
    small = render_face(face, 64).astype(float)
    assert np.corrcoef(large.ravel(), small.ravel())[0, 1] > 0.98


def test_skin_follows_the_monk_scale():
    lit = [
        luminance(patch(image(identity=replace(PERSON, skin_tone=tone)), 0.36, 0.3, 6)).mean() for tone in SKIN_TONES
    ]
    # The first three tones of the scale are equally light; each of the others is darker than the one before.
    assert np.ptp(lit[:3]) < 6
    assert all(lighter - darker > 3 for lighter, darker in pairwise(lit[2:]))


def test_older_skin_has_more_texture():
    def roughness(age_group):
        cheek = luminance(patch(image(256, identity=replace(PERSON, age_group=age_group)), 0.36, 0.3, 14))
        smooth = np.apply_along_axis(lambda line: np.convolve(line, np.ones(9) / 9, "same"), 1, cheek)
        return (cheek - smooth)[:, 5:-5].std()

    assert roughness("young") > 0.5
    assert roughness("senior") > 1.2 * roughness("young")


def test_people_differ_in_skin_texture():
    ours, theirs = (patch(image(160, identity=replace(PERSON, texture=seed)), 0.36, 0.3, 10) for seed in (1, 2))
    assert np.abs(ours - theirs).mean() > 1.0


def test_light_from_the_left_lights_the_left():
    for light_x in (-1.0, 1.0):
        drawn = luminance(image(scene=replace(STILL, light_x=light_x, light_ambient=0.2)))
        left, right = patch(drawn, -0.5, 0.25).mean(), patch(drawn, 0.5, 0.25).mean()
        assert (left > 1.15 * right) if light_x < 0 else (right > 1.15 * left)


def test_turning_the_head_moves_the_nose():
    def darkest_column(yaw):
        drawn = luminance(image(scene=replace(STILL, yaw=yaw, light_x=0.0)))
        _, row = place(0.0, 0.345)
        around = drawn[row - 2 : row + 3, 25:71].mean(0)
        return 25 + np.argsort(around)[:8].mean()

    assert darkest_column(-18) + 6 < darkest_column(0) < darkest_column(18) - 6


def test_glasses_change_the_image_at_their_rims():
    bare, worn = image(), image(style=Style(glasses="square"))
    changed = np.abs(bare - worn).mean(2)
    column, row = place(0.318, -0.07)
    below = luminance(worn)[row + 4 : row + 14, column].min()
    assert below < 0.6 * luminance(bare)[row + 4 : row + 14, column].min()
    assert changed[: row - 15].max() < 3
    assert changed[row + 22 :].max() < 3


def test_worn_things_and_hair_change_their_place():
    bare = image()
    hat = image(style=Style(hat="beanie", hat_color=(0.5, 0.02, 0.02)))
    assert patch(hat, 0.0, -0.8)[..., 0].mean() > 2 * patch(hat, 0.0, -0.8)[..., 1].mean()
    lips = image(style=Style(lipstick=(0.45, 0.02, 0.05)))
    red, plain = (patch(drawn, 0.0, 0.62, 1).mean((0, 1)) for drawn in (lips, bare))
    assert red[0] - red[1] > 1.5 * (plain[0] - plain[1])
    drops = np.abs(image(style=Style(earrings=True)) - bare).mean(2)
    assert drops[:, : SIZE // 2].max() > 30
    assert drops[:, 30:66].max() < 3
    beard = luminance(image(identity=replace(PERSON, beard="full", hair_color="black")))
    assert patch(beard, 0.0, 0.85).mean() < 0.5 * luminance(patch(bare, 0.0, 0.85)).mean()
    bald = image(identity=replace(PERSON, hair_style="bald"))
    assert luminance(patch(bald, 0.0, -0.8)).mean() > 1.5 * luminance(patch(bare, 0.0, -0.8)).mean()


def test_hair_colors_differ_in_brightness():
    light = {
        color: luminance(patch(image(identity=replace(PERSON, hair_color=color)), 0.0, -0.9)).mean()
        for color in ("black", "brown", "blond")
    }
    assert light["black"] * 1.3 < light["brown"] < light["blond"] / 1.3


def test_a_smile_lifts_the_corners():
    def mouth_rows(corner):
        drawn = image(192, expression=Expression(corner_left=corner, corner_right=corner))
        redness = drawn[..., 0] - drawn[..., 1]
        rows = []
        for u in (-0.22, 0.0, 0.22):
            column, row = place(u, 0.56, 192)
            strip = redness[row - 16 : row + 17, column - 1 : column + 2].mean(1)
            rows.append(np.average(np.arange(33), weights=np.clip(strip - np.median(strip), 0, None)))
        return (rows[0] + rows[2]) / 2 - rows[1]

    assert mouth_rows(0.9) < mouth_rows(0.0) - 2
    assert mouth_rows(-0.9) > mouth_rows(0.0) + 2


def test_emotions_differ_by_more_than_noise():
    drawn = [image(64, expression=typical_expression(emotion))[14:60, 14:50] for emotion in EMOTIONS]
    for i, one in enumerate(drawn):
        for other in drawn[:i]:
            assert np.abs(one - other).mean() > 1.0


def test_attributes_follow_the_description():
    smiling = FaceDescription(expression=typical_expression("happy"))
    assert attributes_of(smiling)["Smiling"] == 1
    assert attributes_of(smiling)["Mouth_Slightly_Open"] == 1
    assert attributes_of(FaceDescription(expression=typical_expression("sad")))["Smiling"] == 0
    hidden = FaceDescription(Identity(hair_style="bald", hair_color="black", bangs=True), style=Style(hat="cap"))
    said = attributes_of(hidden)
    assert (said["Bald"], said["Bangs"], said["Black_Hair"], said["Wearing_Hat"]) == (0, 0, 0, 1)


def test_attributes_agree_with_each_other():
    for index in range(600):
        face, row = describe_face(index, seed=12)
        colors = [row[name] for name in ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair")]
        assert sum(colors) <= 1
        assert not (row["Bald"] and (any(colors) or row["Bangs"] or row["Wavy_Hair"]))
        assert not (row["No_Beard"] and (row["Goatee"] or row["Mustache"]))
        assert not (row["Gray_Hair"] and row["Young"])
        assert row["Young"] == int(row["age_group"] == "young")
        if row["emotion"] == "happy" and min(face.expression.corner_left, face.expression.corner_right) >= 0.35:
            assert row["Smiling"]
        if row["emotion"] in ("sad", "anger", "fear", "disgust", "surprise"):
            assert not row["Smiling"]


class TestForgery:
    donor = Identity(skin_tone="monk_05", texture=99, iris="blue", nose_width=1.0, jaw=1.0)

    @pytest.mark.parametrize(("region", "top", "bottom"), [("eyes", 25, 60), ("mouth", 58, 95), ("face", 8, 95)])
    def test_forgery_changes_its_region_only(self, region, top, bottom):
        forgery = Forgery(self.donor, region=region, color=(1.06, 1.0, 0.95))
        changed = np.abs(image(forgery=forgery) - image()).mean(2)
        outside = changed.copy()
        outside[top:bottom, 12:84] = 0
        assert outside.max() == 0
        assert (changed[top:bottom] > 2).mean() > 0.1

    def test_forgery_is_softer_and_of_another_color(self):
        person = replace(PERSON, age_group="senior")
        forgery = Forgery(replace(person, texture=3), region="face", color=(1.08, 1.0, 0.92), softness=2.0)
        real, fake = (
            patch(image(128, scene=Scene(noise=0.012), identity=person, forgery=made), 0.3, 0.32, 7)
            for made in (None, forgery)
        )
        assert np.diff(luminance(fake), axis=1).std() < 0.75 * np.diff(luminance(real), axis=1).std()
        assert fake[..., 0].mean() / fake[..., 2].mean() > 1.08 * real[..., 0].mean() / real[..., 2].mean()

    def test_donors_have_the_labels_of_the_person(self):
        for index in range(300):
            face, row = describe_face(index, seed=4)
            if face.forgery is not None:
                swapped = replace(face, identity=face.forgery.donor, forgery=None)
                assert attributes_of(swapped) == attributes_of(face)
                assert row["forged"] == 1
