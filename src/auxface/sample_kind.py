"""What the samples of a manifest are, faces or excerpts of music, and the words that describe them to the user.

Messages, pages and model cards get their nouns from here. The kind follows from the field ``crop`` of a manifest or of
a model's configuration, which records how the images were made.

Example:
    >>> kind_of({"spectrogram": {"seconds": 4.0}}).identities
    'tracks'
    >>> kind_of(None).identities
    'people'
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class SampleKind:
    """The words for one kind of sample.

    Attributes:
        sample: one sample, such as ``face``.
        samples: several samples.
        images: what progress bars count and what pairs consist of: ``images``, or ``excerpts`` of music.
        identity: what embeddings distinguish, such as ``person``.
        identities: several of them.
        model: noun phrase at the start of a model card.
        inputs: what the encoder receives.
        limits: limits of the scores, for a model card.
        consent: limits of comparing embeddings, for pages and model cards.
        contains_no: what a model with an embedding does not contain, for a model card.
    """

    sample: str
    samples: str
    images: str
    identity: str
    identities: str
    model: str
    inputs: str
    limits: str
    consent: str
    contains_no: str


FACES = SampleKind(
    sample="face",
    samples="faces",
    images="images",
    identity="person",
    identities="people",
    model="A face model",
    inputs="RGB images",
    limits=(
        "Scores are valid for images similar to the training images. Before using the model on people, evaluate it by "
        "group on your own data with `auxface evaluate`. A face model cannot determine what a person feels, who a "
        "person is, or whether an image is genuine; it returns scores."
    ),
    consent=(
        "This is face recognition technology. A false match can harm the person who is wrongly matched, and a high "
        "similarity does not prove identity. Obtain the consent of the people whose faces you compare."
    ),
    contains_no="The model contains no gallery and no names or proxies of the people in its training data.",
)
MUSIC = SampleKind(
    sample="excerpt",
    samples="excerpts",
    images="excerpts",
    identity="track",
    identities="tracks",
    model="A music model",
    inputs="log-mel images",
    limits=(
        "Scores are valid for recordings similar to the training recordings. Before using the model, evaluate it on "
        "your own recordings with `auxface evaluate`. Tags of training data are often incomplete, so a low score does "
        "not show that a tag does not apply."
    ),
    consent=(
        "A high similarity does not prove that two excerpts are from the same recording or that one track copies the "
        "other. A voice can identify a singer. Obtain the consent of the people whose voices you compare, and respect "
        "the licenses of the recordings."
    ),
    contains_no="The model contains no gallery and no names or proxies of the tracks in its training data.",
)


def kind_of(crop: Mapping[str, Any] | None) -> SampleKind:
    """Return the kind of the samples whose images were made as ``crop`` records.

    Args:
        crop: field ``crop`` of a manifest or of a model's configuration; None for images that were used unchanged.
    """
    return MUSIC if crop and "spectrogram" in crop else FACES
