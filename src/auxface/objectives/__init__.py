"""What is learned: the primary tasks, and auxiliaries such as reconstruction, each a module from batch to loss."""

from auxface.objectives.base import (
    AuxiliaryObjective,
    Batch,
    Moment,
    Setting,
    Task,
    TrainingSet,
    expected_value,
    probabilities,
)
from auxface.objectives.classification import Classification
from auxface.objectives.reconstruction.reconstruction import Reconstruction
from auxface.recipe import AuxiliaryOptions, Objective

__all__ = [
    "AuxiliaryObjective", "AuxiliaryOptions", "Batch", "Classification", "Moment", "Objective", "Reconstruction",
    "Setting", "Task", "TrainingSet", "expected_value", "probabilities",
]  # fmt: skip
