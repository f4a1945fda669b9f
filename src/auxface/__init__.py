"""Face models trained on a supervised task and on rebuilding local texture, and measured by group.

A function per verb (``auxface.train`` is ``auxface train``), :class:`Predictor` and :class:`JointModel`. They are
loaded when first used, so that ``auxface.texture`` and ``auxface.evaluation`` stay usable alone.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from auxface.inference.predictor import Predictor
    from auxface.model import JointModel
    from auxface.verbs.audit import audit
    from auxface.verbs.demo import demo
    from auxface.verbs.evaluate import evaluate
    from auxface.verbs.explain import explain
    from auxface.verbs.export import export
    from auxface.verbs.predict import predict
    from auxface.verbs.prepare import prepare
    from auxface.verbs.study import study
    from auxface.verbs.study_report import study_report
    from auxface.verbs.train import train

__all__ = [
    "JointModel",
    "Predictor",
    "audit",
    "demo",
    "evaluate",
    "explain",
    "export",
    "predict",
    "prepare",
    "study",
    "study_report",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'auxface' has no attribute '{name}'")
    places = {"Predictor": "auxface.inference.predictor", "JointModel": "auxface.model"}
    return getattr(import_module(places.get(name, f"auxface.verbs.{name}")), name)
