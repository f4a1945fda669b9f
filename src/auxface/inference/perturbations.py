"""Perturbations under which a model is evaluated: common corruptions, codecs, occlusion and adversarial attacks.

Each perturbation changes a batch of images before the model scores it.

    names = perturbation_names(["common", "h264"])
    for perturbation in perturbations(names, seeds, severities=(1, 3, 5)):
        changed = perturbation.apply(images, 0)
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from auxface.data.corruptions import SEVERITIES, corrupt, corruptions
from auxface.data.video.h264 import RATE_FACTORS, compress_h264
from auxface.errors import InputError
from auxface.evaluation.robustness import COMMON_CORRUPTIONS
from auxface.inference.adversarial import ATTACKS, BOUNDS, attack, can_be_attacked
from auxface.model.joint import JointModel
from auxface.plugins import nearest

H264 = "h264"
CODECS = ("jpeg_quality", "resize", H264)
OCCLUSIONS = ("occlusion_eyes", "occlusion_mouth", "occlusion_random")
SETS = {
    "common": COMMON_CORRUPTIONS,
    "codecs": CODECS,
    "occlusion": OCCLUSIONS,
    "attacks": ATTACKS,
    "all": (*COMMON_CORRUPTIONS, *CODECS, *OCCLUSIONS, *ATTACKS),
}
"""Names of sets of perturbations."""


@dataclass(frozen=True)
class Perturbation:
    """One perturbation at one strength.

    Attributes:
        name: Its name, such as ``gaussian_noise``.
        severity: 1 to 5, or the usual name of the strength: ``c23`` and ``c40`` for H.264, ``1/255`` for an attack.
        apply: Takes a uint8 batch [B, 3, S, S] or [B, T, 3, S, S] and the index of its first sample; returns the
            perturbed batch. All frames of a clip are perturbed with one seed.
    """

    name: str
    severity: int | str
    apply: Callable[[Tensor, int], Tensor]


def perturbation_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return names with sets expanded, in order, without repetition; ``none`` adds nothing.

    Raises:
        InputError: A name is unknown.
    """
    known = (*corruptions(), H264, *ATTACKS)
    found: list[str] = []
    for name in names:
        if name == "none":
            continue
        if name not in known and name not in SETS:
            hint = nearest(name, [*known, *SETS])
            raise InputError(
                f"corruption '{name}' is unknown{hint}; expected none, {', '.join(SETS)}, or one of: {', '.join(known)}"
            )
        found += SETS.get(name, (name,))
    return tuple(dict.fromkeys(found))


def perturbations(
    names: Sequence[str],
    seeds: Tensor,
    *,
    severities: Sequence[int] = SEVERITIES,
    model: JointModel | None = None,
    labels: dict[str, Tensor] | None = None,
) -> Iterator[Perturbation]:
    """Yield every named perturbation at every strength.

    Args:
        names: As :func:`perturbation_names` returns them.
        seeds: int64 [N], one per image.
        severities: Severities of the corruptions that have them; codecs and attacks have strengths of their own.
        model: The model that is attacked. Attacks are skipped if it is None or cannot be attacked (see
            :func:`~auxface.inference.adversarial.can_be_attacked`).
        labels: Labels per task of all N images; needed with ``model``.
    """
    for name in names:
        if name in ATTACKS:
            if model is not None and labels is not None and can_be_attacked(model):
                for bound in BOUNDS:
                    yield Perturbation(name, f"{bound}/255", _attack(name, bound, seeds, model, labels))
        elif name == H264:
            for factor in RATE_FACTORS:
                yield Perturbation(name, f"c{factor}", _compress(factor))
        else:
            for severity in severities:
                yield Perturbation(name, severity, _corrupt(name, severity, seeds))


def _corrupt(name: str, severity: int, seeds: Tensor) -> Callable[[Tensor, int], Tensor]:
    def apply(batch: Tensor, start: int) -> Tensor:
        batch_seeds = seeds[start : start + len(batch)].to(batch.device)
        frames = batch.reshape(-1, *batch.shape[-3:])
        frame_seeds = batch_seeds.repeat_interleave(len(frames) // max(len(batch), 1))
        return corrupt(frames, name, severity, frame_seeds).view_as(batch)

    return apply


def _compress(factor: int) -> Callable[[Tensor, int], Tensor]:
    return lambda batch, start: compress_h264(batch.reshape(-1, *batch.shape[-3:]), factor).view_as(batch)


def _attack(
    name: str, bound: int, seeds: Tensor, model: JointModel, labels: dict[str, Tensor]
) -> Callable[[Tensor, int], Tensor]:
    def apply(batch: Tensor, start: int) -> Tensor:
        rows = slice(start, start + len(batch))
        batch_labels = {task: values[rows] for task, values in labels.items()}
        return attack(model, batch, batch_labels, seeds[rows], name=name, bound=bound)

    return apply
