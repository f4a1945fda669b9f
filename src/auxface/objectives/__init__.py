"""Objectives: modules that compute a loss on the shared encoder from a batch."""

from auxface.objectives.batch import Batch
from auxface.objectives.classification import Classification
from auxface.objectives.contrast.cluster_contrast import ClusterContrast
from auxface.objectives.contrast.lafs import LAFS
from auxface.objectives.contrast.nt_xent import NTXent
from auxface.objectives.metric_learning import MetricLearning
from auxface.objectives.objective import (
    BuildContext,
    LearnedTask,
    Objective,
    PrimaryLoss,
    PrimaryObjective,
    StepContext,
    TrainingSet,
    TrainProgress,
    expected_value,
    probabilities,
)
from auxface.objectives.reconstruction.masked_autoencoder import Reconstruction
from auxface.objectives.registry import ObjectiveSpec, check_auxiliaries, register
from auxface.objectives.resume_only import ResumeOnly
from auxface.recipe import AuxiliaryOptions

__all__ = [
    "AuxiliaryOptions", "Batch", "BuildContext", "Classification", "ClusterContrast", "LAFS", "LearnedTask",
    "MetricLearning", "NTXent", "Objective", "ObjectiveSpec", "PrimaryLoss", "PrimaryObjective", "Reconstruction",
    "ResumeOnly", "StepContext", "TrainProgress", "TrainingSet", "check_auxiliaries", "expected_value",
    "probabilities", "register",
]  # fmt: skip
