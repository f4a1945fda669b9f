"""One batch as the objectives see it."""

from dataclasses import dataclass, field

from torch import Tensor

from auxface.encoders import ColumnarEncoder


@dataclass
class Batch:
    """Views, labels and seeds of B pictures.

    Attributes:
        primary: float [B, 3, H, W] in [0, 1], what the classifier sees.
        clean: uint8 [B, 3, H, W], same geometry, no photometric change, no erasing; targets come from it.
        labels: per task; class: int64 [B], -1 unknown; binary: float [B]; multilabel: float [B, A]; NaN unknown.
        seeds: int64 [B], one per picture and epoch; masks are drawn from them.
    """

    primary: Tensor
    clean: Tensor
    labels: dict[str, Tensor]
    seeds: Tensor
    _embedded: dict[int, Tensor] = field(default_factory=dict, repr=False)

    def embedded(self, encoder: ColumnarEncoder) -> Tensor:
        """The primary view's patch embedding, computed once however many objectives ask for it."""
        if id(encoder) not in self._embedded:
            self._embedded[id(encoder)] = encoder.embed(self.primary)
        return self._embedded[id(encoder)]
