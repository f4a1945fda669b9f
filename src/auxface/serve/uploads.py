"""Read an uploaded file within limits of size and time, and recognize its type by its content.

Example::

    upload = await read_upload(request, settings)
    upload.kind, upload.sha256
"""

import asyncio
import hashlib
from dataclasses import dataclass
from typing import Literal

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect, Request

from auxface.serve.schemas import RequestError
from auxface.serve.settings import Settings

Kind = Literal["image", "video"]
# Room for a form's boundaries and headers, on top of the file.
_FORM_BYTES = 8192


@dataclass(frozen=True)
class Upload:
    """A complete uploaded file.

    Attributes:
        data: its bytes, kept in memory only.
        kind: its type, recognized by its first bytes.
    """

    data: bytes
    kind: Kind

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes: the only part of an upload that is logged."""
        return hashlib.sha256(self.data).hexdigest()


async def read_upload(request: Request, settings: Settings) -> Upload:
    """Return the file of a request: its body, or the form field ``file``.

    Raises:
        RequestError: with status 400, 408, 413, 415 or 422.
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
    kind = file_kind(data)
    if kind is None:
        raise RequestError(415, "not an image (JPEG, PNG, WebP, BMP, GIF, TIFF) or video (MP4, WebM, Matroska, AVI)")
    return Upload(data, kind)


def file_kind(data: bytes) -> Kind | None:
    """Return the type of a file from its first bytes; None if it is neither an image nor a video."""
    head = data[:16]
    if head[:4] == b"RIFF":
        return {b"WEBP": "image", b"AVI ": "video"}.get(head[8:12])  # pyright: ignore[reportReturnType]
    if head[4:8] == b"ftyp" or head[:4] in (b"\x1aE\xdf\xa3", b"\x00\x00\x01\xba", b"\x00\x00\x01\xb3"):
        return "video"
    if head[4:8] in (b"moov", b"mdat", b"wide", b"free"):
        return "video"
    signatures = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"BM", b"II*\x00", b"MM\x00*")
    if head.startswith(signatures) or (head[:1] == b"P" and head[1:2] in b"123456" and head[2:3].isspace()):
        return "image"
    return None


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
    return await _read_form_file(request, bytes(body), max_bytes) if is_form else bytes(body)


async def _read_form_file(request: Request, body: bytes, max_bytes: int) -> bytes:
    sent = False

    async def receive() -> dict:
        nonlocal sent
        sent, was_sent = True, sent
        return {"type": "http.disconnect"} if was_sent else {"type": "http.request", "body": body, "more_body": False}

    try:
        async with Request(request.scope, receive).form(max_files=1, max_fields=8, max_part_size=4096) as form:
            file = form.get("file")
            if not isinstance(file, UploadFile):
                raise RequestError(422, "the form has no file in a field named 'file'")
            data = await file.read()
    except RequestError:
        raise
    except MultiPartException as error:
        raise RequestError(400, f"the form cannot be read ({error.message})") from None
    # On some malformed forms, the parser fails with other exceptions.
    except Exception:
        raise RequestError(400, "the form cannot be read") from None
    if len(data) > max_bytes:
        raise _too_large(max_bytes)
    return data


def _too_large(max_bytes: int) -> RequestError:
    return RequestError(413, f"the file is larger than {max_bytes / 2**20:g} MiB")
