"""Metrics of embeddings: TAR at FAR for verification, recall at k for retrieval.

>>> tar_at_far(np.array([1, 1, 0, 0]), np.array([0.9, 0.4, 0.5, 0.1]), far=0.5)
1.0
"""

import numpy as np
from sklearn.metrics import roc_auc_score

_BLOCK = 8_000_000  # Number of similarities in memory at a time


def pair_similarity(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the cosine similarity of pairs of embeddings.

    Args:
        first: embeddings, float [N, D].
        second: embeddings, float [N, D].

    Returns:
        The similarities in [-1, 1], float64 [N].

    Raises:
        ValueError: the shapes differ, or an embedding is zero or not finite.
    """
    one, other = _unit(first), _unit(second)
    if one.shape != other.shape:
        raise ValueError(f"first and second must have the same shape; they have {one.shape} and {other.shape}")
    return np.einsum("nd,nd->n", one, other)


def all_pairs(identity: np.ndarray, *, most: int = 1500, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return the row numbers of both images for all pairs, int64 [P] each.

    Args:
        identity: person of each image, [N].
        most: maximum number of images; if there are more, people are sampled at random together with all their images.
        seed: seed of the sampling.
    """
    identity = np.asarray(identity)
    rows = np.arange(len(identity))
    if len(rows) > most:
        people, number = np.unique(identity, return_inverse=True)
        order = np.random.default_rng(seed).permutation(len(people))
        rank = np.argsort(order)[number]
        rows = np.sort(np.argsort(rank, kind="stable")[:most])
    first, second = np.triu_indices(len(rows), 1)
    return rows[first], rows[second]


def verification_auc(embeddings: np.ndarray, identity: np.ndarray) -> float | None:
    """Return the probability that a genuine pair is more similar than an impostor pair; chance level is 0.5.

    All pairs of images are compared; with more than 1,500 images, only the images of randomly sampled people are
    compared.

    Args:
        embeddings: embeddings, float [N, D].
        identity: person of each image, [N].

    Returns:
        The probability; None if there are no genuine or no impostor pairs.
    """
    identity = np.asarray(identity)
    first, second = all_pairs(identity)
    same = identity[first] == identity[second]
    if not len(same) or same.all() or not same.any():
        return None
    similarity = pair_similarity(np.asarray(embeddings)[first], np.asarray(embeddings)[second])
    return float(roc_auc_score(same, similarity))


def validation_recall(embeddings: np.ndarray, identity: np.ndarray) -> float | None:
    """Return recall at 1 with every image as a query among all others; None if no person has two images."""
    if np.unique(np.asarray(identity), return_counts=True)[1].max(initial=0) < 2:
        return None
    return recall_at_k(embeddings, identity)[0]


def tar_at_far(same: np.ndarray, similarity: np.ndarray, far: float) -> float:
    """Return the true accept rate at the threshold with a false accept rate of at most ``far``.

    Pairs whose similarity is at or above the threshold are accepted, so pairs of equal similarity are accepted
    together.

    Args:
        same: whether each pair shows the same person, 0 or 1, [N].
        similarity: similarity of each pair, [N].
        far: maximum false accept rate, in [0, 1].

    Raises:
        ValueError: all pairs are of one kind, there are too few impostor pairs to measure ``far``, or the lengths
            differ.
    """
    same, similarity = np.asarray(same).astype(int), np.asarray(similarity, dtype=float)
    if same.ndim != 1 or same.shape != similarity.shape or not np.isfinite(similarity).all():
        raise ValueError("expected finite similarities [N] and labels [N] of 0 and 1")
    if not 0 <= far <= 1:
        raise ValueError(f"far must lie in [0, 1], not {far:g}")
    genuine, impostor = similarity[same == 1], np.sort(similarity[same == 0])[::-1]
    if not len(genuine) or not len(impostor):
        raise ValueError("expected genuine and impostor pairs (same and different person)")
    if 0 < far < 1 / len(impostor):
        raise ValueError(
            f"a false accept rate of {far:g} needs at least {1 / far:.0f} impostor pairs; there are {len(impostor)}"
        )
    allowed = int(np.floor(far * len(impostor) + 1e-9))
    if allowed >= len(impostor):
        return 1.0
    return float((genuine > impostor[allowed]).mean())


def recall_at_k(
    embeddings: np.ndarray,
    identity: np.ndarray,
    *,
    k: int = 1,
    gallery: np.ndarray | None = None,
    gallery_identity: np.ndarray | None = None,
) -> tuple[float, int]:
    """Return recall at k: the fraction of queries with an image of the same person among the ``k`` most similar images.

    The similarity measure is the cosine.

    Args:
        embeddings: embeddings of the queries, float [N, D].
        identity: person of each query, [N].
        k: number of most similar images to consider per query.
        gallery: embeddings to search, float [M, D]; by default the queries, each of which is excluded from its own
            results.
        gallery_identity: person of each gallery embedding, [M].

    Returns:
        The fraction, and its denominator, which is the number of queries whose person is in the gallery. Gallery
        entries of equal similarity are ranked in gallery order.

    Raises:
        ValueError: the lengths differ, ``k`` is less than 1, or no query has an image of its person in the gallery.
    """
    queries, identity = _unit(embeddings), np.asarray(identity)
    alone = gallery is None
    others = queries if gallery is None else _unit(gallery)
    named = identity if gallery is None else np.asarray(gallery_identity)
    if identity.shape != queries.shape[:1] or named.shape != others.shape[:1] or queries.shape[1] != others.shape[1]:
        raise ValueError("expected one identity per embedding, and embeddings of the same dimension")
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")
    hits = known = 0
    step = max(1, _BLOCK // max(len(others), 1))
    for start in range(0, len(queries), step):
        rows = np.arange(start, min(start + step, len(queries)))
        similarity = queries[rows] @ others.T
        own = identity[rows, None] == named[None]
        if alone:
            similarity[np.arange(len(rows)), rows] = -np.inf
            own[np.arange(len(rows)), rows] = False
        first = np.argsort(-similarity, axis=1, kind="stable")[:, : min(k, len(others) - alone)]
        known += int(own.any(axis=1).sum())
        hits += int(np.take_along_axis(own, first, axis=1).any(axis=1).sum())
    if not known:
        raise ValueError("no query has a gallery image of the same person")
    return hits / known, known


def _unit(embeddings: np.ndarray) -> np.ndarray:
    found = np.asarray(embeddings, dtype=float)
    if found.ndim != 2 or not len(found):
        raise ValueError(f"embeddings must have shape [N, D] with N > 0, not {found.shape}")
    length = np.linalg.norm(found, axis=1, keepdims=True)
    if not np.isfinite(length).all() or (length == 0).any():
        raise ValueError("embeddings must be finite and not zero")
    return found / length
