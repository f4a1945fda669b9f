"""Same person or not, and who it is, from embeddings: TAR at FAR, and retrieval at rank k."""

import numpy as np

_BLOCK = 8_000_000  # similarities held at a time


def pair_similarity(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Cosine similarity of pairs of embeddings.

    Args:
        first: float [N, D].
        second: float [N, D].

    Returns:
        float64 [N] in [-1, 1].

    Raises:
        ValueError: shapes that differ, or an embedding that is all zero or not finite.
    """
    one, other = _unit(first), _unit(second)
    if one.shape != other.shape:
        raise ValueError(f"pairs need as many first as second embeddings, of one length: {one.shape}, {other.shape}")
    return np.einsum("nd,nd->n", one, other)


def tar_at_far(same: np.ndarray, similarity: np.ndarray, far: float) -> float:
    """The share of same-person pairs accepted when at most ``far`` of the other pairs are (true, false accept rate).

    Pairs are accepted from a similarity upwards, equal ones together.

    Args:
        same: whether each pair is of one person, 0 or 1, [N].
        similarity: the higher, the more alike, [N].
        far: false accept rate in [0, 1].

    Raises:
        ValueError: only one kind of pair, too few other pairs to measure ``far`` with, lengths that differ.
    """
    same, similarity = np.asarray(same).astype(int), np.asarray(similarity, dtype=float)
    if same.ndim != 1 or same.shape != similarity.shape or not np.isfinite(similarity).all():
        raise ValueError("verification needs finite similarities [N] and as many truths")
    if not 0 <= far <= 1:
        raise ValueError(f"a false accept rate lies in [0, 1], not {far:g}")
    genuine, impostor = similarity[same == 1], np.sort(similarity[same == 0])[::-1]
    if not len(genuine) or not len(impostor):
        raise ValueError("verification needs pairs of one person and pairs of two")
    if 0 < far < 1 / len(impostor):
        raise ValueError(f"{len(impostor)} pairs of two people: a false accept rate of {far:g} needs {1 / far:.0f}")
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
    """R@k: the share of queries with one of their own person among the ``k`` most alike (cosine).

    Args:
        embeddings: of the queries, float [N, D].
        identity: who they are, [N].
        k: rank.
        gallery: what is searched, float [M, D]; None: the queries themselves, each without itself.
        gallery_identity: who they are, [M].

    Returns:
        The share, and the queries behind it: those whose person is in the gallery at all. Of equally alike entries the
        one that stands first is taken.

    Raises:
        ValueError: lengths that differ, ``k`` below 1, no query whose person is in the gallery.
    """
    queries, identity = _unit(embeddings), np.asarray(identity)
    alone = gallery is None
    others = queries if gallery is None else _unit(gallery)
    named = identity if gallery is None else np.asarray(gallery_identity)
    if identity.shape != queries.shape[:1] or named.shape != others.shape[:1] or queries.shape[1] != others.shape[1]:
        raise ValueError("retrieval needs an identity per embedding, and embeddings of one length")
    if k < 1:
        raise ValueError("k must be at least 1")
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
        raise ValueError("no query has its person in the gallery")
    return hits / known, known


def _unit(embeddings: np.ndarray) -> np.ndarray:
    found = np.asarray(embeddings, dtype=float)
    if found.ndim != 2 or not len(found):
        raise ValueError("embeddings must be an array [N, D]")
    length = np.linalg.norm(found, axis=1, keepdims=True)
    if not np.isfinite(length).all() or (length == 0).any():
        raise ValueError("an embedding is all zero or not finite")
    return found / length
