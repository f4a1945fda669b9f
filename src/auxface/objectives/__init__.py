"""What is learned: the primary tasks, and auxiliaries such as reconstruction, each a module from batch to loss."""

from auxface.objectives.batch import Batch, Moment
from auxface.objectives.classification import Classification
from auxface.objectives.objective import AuxiliaryObjective, Setting, TrainingSet
from auxface.objectives.reconstruction import Reconstruction
from auxface.objectives.task import Task, expected_value, probabilities
from auxface.recipe import AuxiliaryOptions, Objective

__all__ = [
    "AuxiliaryObjective", "AuxiliaryOptions", "Batch", "Classification", "Moment", "Objective", "Reconstruction",
    "Setting", "Task", "TrainingSet", "expected_value", "probabilities",
]  # fmt: skip
