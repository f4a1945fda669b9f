"""How the losses are weighed against each other, and in which order the objectives are trained."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from auxface.recipe.strict import Fraction, Strict

PRETRAIN_FRACTION = 0.5


class WeightSchedule(Strict):
    """A primary weight that changes over the training."""

    start: Fraction
    """Weight of the first step."""
    end: Fraction
    """Weight that the last step comes to."""
    shape: Literal["linear", "cosine"] = "linear"


PrimaryWeight = Fraction | Literal["learned"] | WeightSchedule


class Scheme(Strict):
    """The order of the objectives; ``scheme: NAME`` will do."""

    kind: Literal["joint", "sequential", "alternating", "frozen"] = "joint"
    """``joint``: all at every step. ``sequential``: the auxiliaries, then the primary. ``alternating``: in turn, step
    by step. ``frozen``: as sequential, but the encoder learns nothing from the primary (a probe)."""
    pretrain_fraction: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Share of the steps spent on the auxiliaries alone; empty: a half (sequential and frozen only)."""

    @property
    def pretraining(self) -> float:
        """Share of the steps spent on the auxiliaries alone."""
        if self.kind not in ("sequential", "frozen"):
            return 0.0
        return PRETRAIN_FRACTION if self.pretrain_fraction is None else self.pretrain_fraction

    @model_validator(mode="after")
    def _check(self) -> "Scheme":
        if self.pretrain_fraction is not None and self.kind not in ("sequential", "frozen"):
            raise ValueError(f"scheme {self.kind} has no pre-training; remove pretrain_fraction")
        return self
