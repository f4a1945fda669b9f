"""Clips of drawn faces that move a little; in a forged one the texture of the face flickers from frame to frame.

Every frame of a forgery shows the same person with other skin (where pores, freckles and blotches are), at another
sharpness and in a slightly other tone, as where a video was forged frame by frame. In a single frame there is little to
tell it by, since nothing is mixed in of another face.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from auxface.data.synthetic.description import Expression, FaceDescription, Forgery, Identity, Scene
from auxface.data.synthetic.render import render_face
from auxface.data.synthetic.sampling import PICTURES_PER_SOURCE, describe_face

CLIPS_PER_SOURCE = 2
_STREAM = 7
_NOISE = 0.004


def describe_clip(
    index: int, *, seed: int = 0, splits: tuple[float, float, float] = (0.7, 0.1, 0.2)
) -> tuple[FaceDescription, dict[str, object]]:
    """The first frame and table row of clip number ``index`` of the collection that ``seed`` names.

    Every person has a real clip and one that was forged of it: the same scene, expression and movement.
    """
    person, forged = divmod(index, CLIPS_PER_SOURCE)
    face, row = describe_face(person * PICTURES_PER_SOURCE, seed=seed, splits=splits)
    return replace(face, forgery=None), row | {"frame": 0, "forged": forged, "video": f"clip_{index:05d}"}


def render_clip(
    index: int, *, frames: int, seed: int = 0, size: int = 64, splits: tuple[float, float, float] = (0.7, 0.1, 0.2)
) -> Iterator[np.ndarray]:
    """The frames of clip number ``index``, uint8 [size, size, 3] RGB, one after the other.

    Raises:
        InputError: size outside 32..512.
    """
    face, row = describe_clip(index, seed=seed, splits=splits)
    rng, skins = (np.random.default_rng([seed, _STREAM, part, index // CLIPS_PER_SOURCE]) for part in (0, 1))
    # Cycles through the clip, where each begins, and how far each movement goes.
    pace, start, reach = rng.uniform(0.02, 0.05, 8), rng.uniform(0, 2 * np.pi, 8), rng.uniform(0.4, 1.0, 8)
    for number in range(frames):
        # Plain numbers: among NumPy's, single precision would become double.
        swing = (reach * np.sin(2 * np.pi * pace * number + start)).tolist()
        moved = replace(face, scene=_scene(face.scene, swing, rng), expression=_expression(face.expression, swing))
        if row["forged"]:
            moved = replace(moved, forgery=_other_skin(face.identity, skins))
        yield render_face(moved, size)


def _other_skin(person: Identity, rng: np.random.Generator) -> Forgery:
    skin = replace(person, texture=int(rng.integers(0, 2**31)), freckles=float(rng.uniform(0, 1)))
    red, green, blue = (np.clip(rng.normal(1, 0.05), 0.8, 1.2) * (1 + 0.02 * rng.standard_normal(3))).tolist()
    return Forgery(skin, colour=(red, green, blue), softness=float(rng.uniform(1.0, 3.0)), seam=0.08)


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
