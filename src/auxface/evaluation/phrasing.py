"""Small parts of sentences: lists, spans, differences."""

from collections.abc import Iterable

from auxface.evaluation.bootstrap import Estimate
from auxface.evaluation.vocabulary import METRICS, shown


def span(metric: str, estimate: Estimate) -> str:
    """The interval in brackets, after a space; "" where there is none."""
    if estimate.low is None or estimate.high is None:
        return ""
    return f" ({shown(metric, estimate.low)} to {shown(metric, estimate.high)})"


def points(metric: str, value: float, signed: bool = True) -> str:
    """A difference: percentages differ by points."""
    if not METRICS[metric].percent:
        return shown(metric, value, signed)
    return shown(metric, value, signed).removesuffix("%") + " points"


def words(name: str) -> str:
    """A name as it is read."""
    return name.replace("_", " ")


_DAMAGE = {"h264": "H.264", "jpeg_quality": "JPEG quality", "jpeg_compression": "JPEG compression"}
_ATTACKS = {"fgsm": "FGSM", "pgd": "PGD"}


def damage_words(name: str) -> str:
    """A kind of damage as it is read."""
    return _ATTACKS.get(name) or _DAMAGE.get(name) or words(name)


def is_attack(name: str) -> bool:
    """Whether it takes somebody who knows the model."""
    return name in _ATTACKS


def capital(text: str) -> str:
    """With its first letter as a capital; the others as they are."""
    return text[:1].upper() + text[1:]


def listed(items: Iterable[str]) -> str:
    """``a, b and c``."""
    found = list(items)
    return found[0] if len(found) == 1 else ", ".join(found[:-1]) + " and " + found[-1] if found else ""
