"""Faces that nobody owns, for trying the page: rendered when the server starts."""

import io
import threading

from PIL import Image

from auxface.data.synthetic import describe_face, render_face

_SEED = 20
_SIZE = 256


class Samples:
    """Synthetic faces as PNG, rendered one after the other in the background; all are there when first asked for.

    Args:
        count: how many.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._made: dict[int, bytes] = {}
        self._lock = threading.Lock()

    def __getitem__(self, number: int) -> bytes:
        """The face, or IndexError."""
        if not 0 <= number < self.count:
            raise IndexError(number)
        with self._lock:
            if number not in self._made:
                # Every thirteenth, so that people, light and mood differ.
                description, _ = describe_face(number * 13, seed=_SEED)
                buffer = io.BytesIO()
                Image.fromarray(render_face(description, _SIZE)).save(buffer, "PNG")
                self._made[number] = buffer.getvalue()
            return self._made[number]
