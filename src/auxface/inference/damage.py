"""What pictures can meet before a model sees them, by name: common corruptions, codecs, occlusion, attacks."""

import difflib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from auxface.data.corruptions import SEVERITIES, corrupt, corruptions
from auxface.data.h264 import RATE_FACTORS, through_h264
from auxface.errors import InputError
from auxface.evaluation.robustness import COMMON_CORRUPTIONS
from auxface.inference.attacks import ATTACKS, BOUNDS, attack, can_be_attacked
from auxface.model.joint import JointModel

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
"""Names that stand for several."""


@dataclass(frozen=True)
class Damage:
    """One kind at one strength.

    Attributes:
        name: of the kind.
        severity: 1 to 5, or what the field calls it: ``c23`` and ``c40`` of H.264, ``1/255`` of an attack.
        change: a uint8 batch [B, 3, S, S], or of clips [B, T, 3, S, S], and the number of its first to the damaged one.
            All frames of a clip are damaged with one seed, as by one lens in one weather.
    """

    name: str
    severity: int | str
    change: Callable[[Tensor, int], Tensor]


def damage_names(wanted: Sequence[str]) -> tuple[str, ...]:
    """Names with sets spelled out, in order, each once; ``none`` adds nothing.

    Raises:
        InputError: a name that is unknown.
    """
    known = (*corruptions(), H264, *ATTACKS)
    found: list[str] = []
    for name in wanted:
        if name == "none":
            continue
        if name not in known and name not in SETS:
            close = difflib.get_close_matches(name, [*known, *SETS], n=1)
            hint = f" (did you mean '{close[0]}'?)" if close else ""
            raise InputError(
                f"corruption '{name}' is unknown{hint}; give none, {', '.join(SETS)}, or one of: {', '.join(known)}"
            )
        found += SETS.get(name, (name,))
    return tuple(dict.fromkeys(found))


def damages(
    names: Sequence[str],
    seeds: Tensor,
    *,
    severities: Sequence[int] = SEVERITIES,
    model: JointModel | None = None,
    labels: dict[str, Tensor] | None = None,
) -> Iterator[Damage]:
    """Every kind at every strength.

    Args:
        names: as :func:`damage_names` gives them.
        seeds: int64 [N], one per picture.
        severities: of those that are numbered; codecs and attacks have strengths of their own.
        model: whom attacks are aimed at; None, or one that :func:`can_be_attacked` denies: attacks are left out.
        labels: per task, of all N pictures; needed with a model.
    """
    for name in names:
        if name in ATTACKS:
            if model is not None and labels is not None and can_be_attacked(model):
                for bound in BOUNDS:
                    yield Damage(name, f"{bound}/255", _attacked(name, bound, seeds, model, labels))
        elif name == H264:
            for factor in RATE_FACTORS:
                yield Damage(name, f"c{factor}", _compressed(factor))
        else:
            for severity in severities:
                yield Damage(name, severity, _corrupted(name, severity, seeds))


def _corrupted(name: str, severity: int, seeds: Tensor) -> Callable[[Tensor, int], Tensor]:
    def change(batch: Tensor, start: int) -> Tensor:
        own = seeds[start : start + len(batch)].to(batch.device)
        frames = batch.reshape(-1, *batch.shape[-3:])
        own = own.repeat_interleave(len(frames) // max(len(batch), 1))
        return corrupt(frames, name, severity, own).view_as(batch)

    return change


def _compressed(factor: int) -> Callable[[Tensor, int], Tensor]:
    return lambda batch, start: through_h264(batch.reshape(-1, *batch.shape[-3:]), factor).view_as(batch)


def _attacked(
    name: str, bound: int, seeds: Tensor, model: JointModel, labels: dict[str, Tensor]
) -> Callable[[Tensor, int], Tensor]:
    def change(batch: Tensor, start: int) -> Tensor:
        rows = slice(start, start + len(batch))
        own = {task: values[rows] for task, values in labels.items()}
        return attack(model, batch, own, seeds[rows], name=name, bound=bound)

    return change
