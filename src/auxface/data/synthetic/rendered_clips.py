"""Synthetic video clips of faces that move a little; in a forged clip the texture of the face flickers.

A clip has its own skin pattern (pores, freckles, blotches), sharpness and tone. A real clip keeps them. A forged clip
draws new ones for every frame, like a video that was forged frame by frame. Single frames of real and forged clips have
the same distribution, so only the flicker separates them.

Example:
    >>> frames = list(render_clip(1, frames=2, size=32))
    >>> len(frames), frames[0].shape
    (2, (32, 32, 3))
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from auxface.data.synthetic.collection import IMAGES_PER_SOURCE, describe_face
from auxface.data.synthetic.description import Expression, FaceDescription, Forgery, Identity, Scene
from auxface.data.synthetic.render import render_face

CLIPS_PER_SOURCE = 2
_STREAM = 7
_NOISE = 0.004
# Standard deviations of the overall tone and of each color, and the largest loss of sharpness.
_TONE, _TINT, _SOFTEST = 0.2, 0.02, 1.6


def describe_clip(
    index: int, *, seed: int = 0, splits: tuple[float, float, float] = (0.7, 0.1, 0.2)
) -> tuple[FaceDescription, dict[str, object]]:
    """Return the description of the first frame of clip number ``index`` and the table row of the clip.

    Every person has a real and a forged clip, which differ in expression and scene.

    Args:
        index: number of the clip, from 0. Two consecutive clips show one person: the first is real, the second forged.
        seed: of the collection.
        splits: fractions of the people in train, val and test.
    """
    person, forged = divmod(index, CLIPS_PER_SOURCE)
    face, row = describe_face(person * IMAGES_PER_SOURCE + forged, seed=seed, splits=splits)
    return replace(face, forgery=None), row | {"frame": 0, "forged": forged, "video": f"clip_{index:05d}"}


def render_clip(
    index: int, *, frames: int, seed: int = 0, size: int = 64, splits: tuple[float, float, float] = (0.7, 0.1, 0.2)
) -> Iterator[np.ndarray]:
    """Yield the frames of clip number ``index``, uint8 [size, size, 3] RGB.

    Args:
        index: number of the clip, from 0.
        frames: number of frames.
        seed: of the collection.
        size: side of the frames in pixels, 32 to 512.
        splits: fractions of the people in train, val and test.

    Raises:
        InputError: a size outside 32..512.
    """
    face, row = describe_clip(index, seed=seed, splits=splits)
    rng, skins = (np.random.default_rng([seed, _STREAM, part, index]) for part in (0, 1))
    # Cycles per frame, phase and amplitude of each movement.
    pace, start, reach = rng.uniform(0.02, 0.05, 8), rng.uniform(0, 2 * np.pi, 8), rng.uniform(0.4, 1.0, 8)
    skin = _draw_skin(face.identity, skins)
    for number in range(frames):
        # Python numbers: NumPy's would turn single precision into double.
        swing = (reach * np.sin(2 * np.pi * pace * number + start)).tolist()
        scene, expression = _scene(face.scene, swing, rng), _expression(face.expression, swing)
        yield render_face(replace(face, scene=scene, expression=expression, forgery=skin), size)
        if row["forged"]:
            skin = _draw_skin(face.identity, skins)


def _draw_skin(person: Identity, rng: np.random.Generator) -> Forgery:
    """Return a forgery whose donor is the person with another skin pattern.

    Real clips have one too. Otherwise the seam and the sharpness of a single frame would separate forged from real.
    """
    skin = replace(person, texture=int(rng.integers(0, 2**31)), freckles=float(rng.uniform(0, 1)))
    red, green, blue = (np.clip(rng.normal(1, _TONE), 0.6, 1.4) * (1 + _TINT * rng.standard_normal(3))).tolist()
    return Forgery(skin, color=(red, green, blue), softness=float(rng.uniform(1.0, _SOFTEST)), seam=0.08)


def _scene(scene: Scene, swing: list[float], rng: np.random.Generator) -> Scene:
    return replace(
        scene,
        yaw=scene.yaw + 2.5 * swing[0],
        pitch=scene.pitch + 1.2 * swing[1],
        roll=scene.roll + 1.2 * swing[2],
        shift_x=scene.shift_x + 0.012 * swing[3],
        shift_y=scene.shift_y + 0.012 * swing[4],
        noise=_NOISE,
        noise_seed=int(rng.integers(0, 2**31)),
    )


def _expression(expression: Expression, swing: list[float]) -> Expression:
    return replace(
        expression,
        mouth_open=max(0.0, expression.mouth_open + 0.06 * swing[5]),
        brow_inner=expression.brow_inner + 0.08 * swing[6],
        gaze_x=expression.gaze_x + 0.15 * swing[7],
    )
