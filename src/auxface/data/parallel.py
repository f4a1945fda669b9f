"""Apply a function to many items with a pool of threads, in order and with bounded memory."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    function: Callable[[Item], Result], items: Iterable[Item], *, workers: int | None = None
) -> Iterator[Result]:
    """Yield ``function(item)`` for each item, in order, from a pool of threads.

    Threads are sufficient, since decoding, resizing, detection and hashing release the global interpreter lock.

    Args:
        function: called in a thread; its exceptions are raised here.
        items: read as the pool has room, at most 8 per worker in advance, so it may be endless.
        workers: number of threads; by default one per processor core.

    Example:
        >>> list(in_order(str.upper, ["a", "b", "c"], workers=2))
        ['A', 'B', 'C']
    """
    count = workers or os.cpu_count() or 1
    items = iter(items)
    pool = ThreadPoolExecutor(count)
    waiting: deque[Future[Result]] = deque()
    try:
        waiting.extend(pool.submit(function, item) for item in islice(items, 8 * count))
        while waiting:
            yield waiting.popleft().result()
            waiting.extend(pool.submit(function, item) for item in islice(items, 1))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
