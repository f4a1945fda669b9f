"""The joint model of encoder, primary objective and auxiliaries, and the directory that stores it."""

from auxface.model.joint import JointModel

__all__ = ["JointModel"]
