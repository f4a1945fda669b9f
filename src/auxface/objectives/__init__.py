"""What is learned: classification, reconstruction. Each is ``forward(encoder, batch) -> (loss, logs)``."""

from auxface.objectives.batch import Batch, Moment
from auxface.objectives.classification import Classification, Task
from auxface.objectives.reconstruction import Reconstruction

__all__ = ["Batch", "Classification", "Moment", "Reconstruction", "Task"]
