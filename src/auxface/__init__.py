"""Face models trained on a supervised task and on rebuilding local texture, and measured by group.

A function per verb (``auxface.train`` is ``auxface train``), :class:`Predictor` and :class:`JointModel`. They are
loaded when first used, so that ``auxface.texture`` and ``auxface.evaluation`` stay usable alone.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from auxface.data.prepare.prepare import prepare
    from auxface.demo import demo
    from auxface.evaluation.audit import audit
    from auxface.inference.evaluate import evaluate
    from auxface.inference.explain import explain
    from auxface.inference.export import export
    from auxface.inference.predict import predict
    from auxface.inference.predictor import Predictor
    from auxface.model import JointModel
    from auxface.studies.study import study
    from auxface.studies.study_report import study_report
    from auxface.training.train import train

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


_PLACES = {
    "JointModel": "auxface.model",
    "Predictor": "auxface.inference.predictor",
    "audit": "auxface.evaluation.audit",
    "demo": "auxface.demo",
    "evaluate": "auxface.inference.evaluate",
    "explain": "auxface.inference.explain",
    "export": "auxface.inference.export",
    "predict": "auxface.inference.predict",
    "prepare": "auxface.data.prepare.prepare",
    "study": "auxface.studies.study",
    "study_report": "auxface.studies.study_report",
    "train": "auxface.training.train",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'auxface' has no attribute '{name}'")
    return getattr(import_module(_PLACES[name]), name)
