"""Read an uploaded file within size and time limits, and recognize its type by its content.

Example::

    upload = await read_upload(request, settings)
    upload.kind, upload.sha256
"""

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from auxface.data.media import HEAD_BYTES, Kind, media_kind
from auxface.serve.schemas import RequestError
from auxface.serve.settings import Settings

# Additional bytes that are allowed for the boundaries and headers of a form.
_FORM_BYTES = 8192


@dataclass(frozen=True)
class Upload:
    """A complete uploaded file.

    Attributes:
        data: content of the file, kept in memory only.
        kind: type of the file, recognized by its first bytes.
        sha256: SHA-256 hash of the content, which is the only information about an upload that is logged.
    """

    data: bytes
    kind: Kind
    sha256: str


async def read_upload(request: Request, settings: Settings) -> Upload:
    """Return the file uploaded by a request, which is its body or the form field ``file``.

    Raises:
        RequestError: the upload is rejected, with status 400, 408, 413, 415 or 422.
    """
    try:
        async with asyncio.timeout(settings.max_seconds):
            data = await _read_file(request, settings.max_bytes)
    except TimeoutError:
        raise RequestError(408, f"the upload took longer than {settings.max_seconds:g} s") from None
    except ClientDisconnect:
        raise RequestError(400, "the client closed the connection before the upload was complete") from None
    if not data:
        raise RequestError(422, "the file is empty")
    kind = media_kind(data[:HEAD_BYTES])
    if kind is None:
        raise RequestError(
            415, "not an image (JPEG, PNG, WebP, AVIF, BMP, GIF, TIFF) or video (MP4, WebM, Matroska, AVI, MPEG)"
        )
    # Hashing a large file takes tens of milliseconds.
    return Upload(data, kind, await asyncio.to_thread(lambda: hashlib.sha256(data).hexdigest()))


async def _read_file(request: Request, max_bytes: int) -> bytes:
    is_form = request.headers.get("content-type", "").lower().startswith("multipart/form-data")
    max_body = max_bytes + (_FORM_BYTES if is_form else 0)
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > max_body:
        raise _too_large(max_bytes)
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > max_body:
            raise _too_large(max_bytes)
    if not is_form:
        return bytes(body)
    # The parser runs in a thread with its own event loop, because an adversarial form can take seconds to parse.
    data = await asyncio.to_thread(lambda: asyncio.run(_form_file(request.headers, bytes(body))))
    if len(data) > max_bytes:
        raise _too_large(max_bytes)
    return data


class _MemoryParser(MultiPartParser):
    # Files are kept in memory, because their size has already been limited.
    spool_max_size = 2**62


async def _form_file(headers: Headers, body: bytes) -> bytes:
    async def parts() -> AsyncGenerator[bytes, None]:
        yield body

    try:
        form = await _MemoryParser(headers, parts(), max_files=1, max_fields=8, max_part_size=4096).parse()
        file = form.get("file")
        data = await file.read() if isinstance(file, UploadFile) else None
        await form.close()
    except MultiPartException as error:
        raise RequestError(400, f"the form cannot be read ({error.message})") from None
    # For some malformed forms, the parser raises other exceptions.
    except Exception:
        raise RequestError(400, "the form cannot be read") from None
    if data is None:
        raise RequestError(422, "the form has no file in a field named 'file'")
    return data


def _too_large(max_bytes: int) -> RequestError:
    return RequestError(413, f"the file is larger than {max_bytes / 2**20:g} MiB")
