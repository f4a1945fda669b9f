"""The joint model: one encoder, a primary objective, auxiliaries; and the directory that holds it."""

from auxface.model.joint import JointModel

__all__ = ["JointModel"]
