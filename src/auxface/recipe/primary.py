"""The ``primary`` section of a recipe: how the labels are learned from the encoder's features of the whole image."""

from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from auxface.recipe.auxiliaries import Input
from auxface.recipe.validation import Positive, Strict, Width

_METRIC_KEYS = ("loss", "margin", "scale", "attribute_scale", "embedding_width")


class Primary(Strict):
    """Options of the primary objective: classification or metric learning; the short form is ``primary: NAME``."""

    kind: Literal["classification", "metric_learning"] = "classification"
    """``classification``: a head for each label. ``metric_learning``: one embedding of unit length for all labels; a
    class or attribute is a proxy, a learned vector that embeddings are compared with by the cosine. Labels of kind
    identity need it."""
    input: Input = "rgb"
    """Input of the encoder for the primary objective: the image, or its texture map (see ``texture_input``)."""
    view: Literal["augmented", "clean"] = "augmented"
    """``augmented``: the view of ``train.augment``. ``clean``: the same crop and mirroring without photometric change
    or erasing; with ``train.augment`` none the image itself. Auxiliaries keep their own views."""
    freeze: bool = False
    """Do not train the encoder on the labels: heads or proxies are trained on its features, and only auxiliaries, if
    there are any, train the encoder."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Classification: fraction of the target that is spread evenly over the classes (class and binary tasks; not
    the attributes of multilabel tasks, which are mostly rare)."""
    loss: Literal["cosface", "arcface", "proxy_anchor", "normalized_softmax"] = "cosface"
    """Metric learning: loss of identity and class labels: CosFace (Wang et al., 2018), ArcFace (Deng et al., 2019),
    ProxyAnchor (Kim et al., 2020) or the normalized softmax (Zhai and Wu, 2019). Binary labels and attributes have the
    binary cross-entropy of a scaled cosine plus a bias."""
    margin: Annotated[float, Field(ge=0, le=1.5)] | None = None
    """Metric learning: margin of the loss; ArcFace: in radians. Empty: CosFace 0.35, ArcFace 0.5, ProxyAnchor 0.1. The
    normalized softmax has none."""
    scale: Positive | None = None
    """Metric learning: factor of the cosines. Empty: CosFace and ArcFace 64, ProxyAnchor 32, normalized softmax 20."""
    attribute_scale: Positive = 16.0
    """Metric learning: factor of the cosines of binary labels and attributes."""
    embedding_width: Width = 128
    """Metric learning: length of the embedding."""

    @model_validator(mode="before")
    @classmethod
    def _name(cls, value: Any) -> Any:
        return {"kind": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check(self) -> "Primary":
        for name in self.model_fields_set:
            if name not in self._used() and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{self.kind} does not use {name}; remove it")
        if self.kind == "metric_learning" and self.loss == "normalized_softmax" and self.margin is not None:
            raise ValueError("loss normalized_softmax has no margin; remove margin")
        return self

    def _used(self) -> tuple[str, ...]:
        shared = ("kind", "input", "view", "freeze")
        return (*shared, *(_METRIC_KEYS if self.kind == "metric_learning" else ("label_smoothing",)))

    @model_serializer(mode="wrap")
    def _without_unused(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # A stored recipe must stay valid when a default that it does not use changes.
        return {name: value for name, value in serialize(self).items() if name in self._used()}
