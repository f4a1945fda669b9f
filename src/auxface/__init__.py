"""Train face models jointly on a task and on local texture, and evaluate them by group.

Every command of ``auxface`` has a corresponding function here, which is imported on first use.

Data:
    prepare            Write the manifest of a published data set, a table or a folder of images.
    show_data          Describe a manifest: counts, leaks between splits and a contact sheet.
    write_shards       Pack a manifest and its images into shards for training on many machines.
    merge_manifests    Join manifests whose labels differ.
    texture_sheet      Draw every texture map of an image.
    texture_learnable  Measure how well each reconstruction target can be predicted from visible patches.

Models:
    plan               Plan a training run from the data and a time budget, and write it as a recipe.
    train              Train a model on a manifest and write the model directory.
    evaluate           Evaluate models on a split, and write predictions and a report by group.
    predict            Predict the classes of images and videos.
    embed              Write the embeddings of faces as a table.
    search             Find the faces of a table that are nearest to a face.
    verify             Evaluate verification on pairs of images of the same person or of different people.
    explain            Draw the regions of an image on which a prediction depends.
    export             Export a model to an ONNX file.
    serve_model        Serve a model as an HTTP API with a web page.
    Predictor          A trained model that predicts the classes of faces in images.
    JointModel         Encoder, heads and auxiliary objectives, as a torch module.

Audits and studies:
    audit              Evaluate the predictions of any model by group.
    plan_audit         Compute how many more faces or videos an audit needs to detect a gap.
    study              Train a grid of recipes and seeds, and compare the models using confidence intervals.
    study_power        Return how many seeds a study needs to detect a difference.
    study_report       Write the report of a study from its finished runs.

Installation:
    demo               Train and compare three models on synthetic faces.
    doctor             Report versions, hardware and optional dependencies.

Libraries, which can be used without the rest of auxface:
    texture            Texture descriptors (LBP, LDP, ...) as batched tensor operations; only torch is needed.
    evaluation         Metrics, confidence intervals and fairness gaps for prediction tables, without torch.

Example:
    >>> import auxface
    >>> list(auxface.texture.available())[0]
    'local_binary_pattern'
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from auxface import evaluation, texture
    from auxface.data.merge import merge_manifests
    from auxface.data.prepare.prepare import prepare
    from auxface.data.shards.writing import write_shards
    from auxface.data.show import show_data
    from auxface.data.texture_sheet import texture_sheet
    from auxface.demo import demo
    from auxface.doctor import doctor
    from auxface.evaluation.audit import audit
    from auxface.evaluation.audit_plan import plan_audit
    from auxface.inference.embed import embed
    from auxface.inference.evaluate import evaluate
    from auxface.inference.explain import explain
    from auxface.inference.export import export
    from auxface.inference.predict import predict
    from auxface.inference.predictor import Predictor
    from auxface.inference.search import search
    from auxface.inference.verify import verify
    from auxface.model import JointModel
    from auxface.objectives.reconstruction.learnable import texture_learnable
    from auxface.serve.server import serve_model
    from auxface.studies.power import study_power
    from auxface.studies.study import study
    from auxface.studies.study_report import study_report
    from auxface.training.plan import plan
    from auxface.training.train import train

__all__ = [
    "JointModel",
    "Predictor",
    "audit",
    "demo",
    "doctor",
    "embed",
    "evaluate",
    "evaluation",
    "explain",
    "export",
    "merge_manifests",
    "plan",
    "plan_audit",
    "predict",
    "prepare",
    "search",
    "serve_model",
    "show_data",
    "study",
    "study_power",
    "study_report",
    "texture",
    "texture_learnable",
    "texture_sheet",
    "train",
    "verify",
    "write_shards",
]

_PACKAGES = ("evaluation", "texture")
_MODULES = {
    "JointModel": "auxface.model",
    "Predictor": "auxface.inference.predictor",
    "audit": "auxface.evaluation.audit",
    "demo": "auxface.demo",
    "doctor": "auxface.doctor",
    "embed": "auxface.inference.embed",
    "evaluate": "auxface.inference.evaluate",
    "explain": "auxface.inference.explain",
    "export": "auxface.inference.export",
    "merge_manifests": "auxface.data.merge",
    "plan": "auxface.training.plan",
    "plan_audit": "auxface.evaluation.audit_plan",
    "predict": "auxface.inference.predict",
    "prepare": "auxface.data.prepare.prepare",
    "search": "auxface.inference.search",
    "serve_model": "auxface.serve.server",
    "show_data": "auxface.data.show",
    "study": "auxface.studies.study",
    "study_power": "auxface.studies.power",
    "study_report": "auxface.studies.study_report",
    "texture_learnable": "auxface.objectives.reconstruction.learnable",
    "texture_sheet": "auxface.data.texture_sheet",
    "train": "auxface.training.train",
    "verify": "auxface.inference.verify",
    "write_shards": "auxface.data.shards.writing",
}


def __getattr__(name: str) -> Any:
    """Import and return the object with the given public name."""
    if name in _PACKAGES:
        return import_module(f"auxface.{name}")
    if name not in _MODULES:
        raise AttributeError(f"module 'auxface' has no attribute '{name}'")
    found = getattr(import_module(_MODULES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """Return the names of the API, and not those that this module imports for its own use."""
    special = (name for name in globals() if name.startswith("__") and name.endswith("__"))
    return sorted({*special, *__all__})


class _Package(ModuleType):
    """The module type of this package, in which ``demo`` and ``doctor`` remain functions.

    When Python imports a submodule, it stores the submodule as an attribute of the package under the submodule's name,
    which would replace the function with the same name.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _MODULES and isinstance(value, ModuleType):
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
