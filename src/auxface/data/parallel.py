"""Many independent pieces of work on all cores, results in order, little of it in memory at once."""

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

    Threads are enough: decoding, resizing, detection and hashing all let go of the interpreter.

    Args:
        function: called in a thread; what it raises is raised here.
        items: read only as far as the pool has room, so it may be endless.
        workers: threads; default one per core.
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
