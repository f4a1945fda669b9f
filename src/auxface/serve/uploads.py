"""What a client sent: read within bounds of size and time, and told apart by its bytes, not by its name."""

import asyncio
import hashlib
from dataclasses import dataclass
from typing import Literal

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect, Request

from auxface.serve.security import Refusal
from auxface.serve.server import Settings

Kind = Literal["image", "video"]


@dataclass(frozen=True)
class Upload:
    """A file that arrived whole.

    Attributes:
        data: its bytes, in memory alone.
        kind: what its first bytes say it is.
    """

    data: bytes
    kind: Kind

    @property
    def mark(self) -> str:
        """SHA-256 of the bytes: all that is ever logged of an image."""
        return hashlib.sha256(self.data).hexdigest()


async def receive(request: Request, settings: Settings) -> Upload:
    """The one file of a request: its body, or the field ``file`` of a form.

    Raises:
        Refusal: 400, 408, 413, 415 or 422.
    """
    try:
        async with asyncio.timeout(settings.max_seconds):
            data = await _file(request, settings.max_bytes)
    except TimeoutError:
        raise Refusal(408, f"the upload did not arrive within {settings.max_seconds:g} s") from None
    except ClientDisconnect:
        raise Refusal(400, "the client left before the upload was whole") from None
    if not data:
        raise Refusal(422, "the file is empty")
    kind = kind_of(data)
    if kind is None:
        raise Refusal(415, "not an image (JPEG, PNG, WebP, BMP, GIF, TIFF) or video (MP4, WebM, Matroska, AVI)")
    return Upload(data, kind)


async def _file(request: Request, most: int) -> bytes:
    form = request.headers.get("content-type", "").lower().startswith("multipart/form-data")
    # A form's borders and headers come on top of the file.
    room = most + (8192 if form else 0)
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > room:
        raise Refusal(413, f"more than {most / 2**20:g} MiB")
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > room:
            raise Refusal(413, f"more than {most / 2**20:g} MiB")
    return await _field(request, bytes(body), most) if form else bytes(body)


async def _field(request: Request, body: bytes, most: int) -> bytes:
    sent = False

    async def again() -> dict:
        nonlocal sent
        sent, was = True, sent
        return {"type": "http.disconnect"} if was else {"type": "http.request", "body": body, "more_body": False}

    try:
        async with Request(request.scope, again).form(max_files=1, max_fields=8, max_part_size=4096) as form:
            file = form.get("file")
            if not isinstance(file, UploadFile):
                raise Refusal(422, "the form has no file in a field named 'file'")
            data = await file.read()
    except Refusal:
        raise
    except MultiPartException as error:
        raise Refusal(400, f"not a form that can be read ({error.message})") from None
    # Its parser meets bytes that nobody foresaw; a form that breaks it is a bad form.
    except Exception:
        raise Refusal(400, "not a form that can be read") from None
    if len(data) > most:
        raise Refusal(413, f"more than {most / 2**20:g} MiB")
    return data


def kind_of(data: bytes) -> Kind | None:
    """What a file's first bytes say it is."""
    head = data[:16]
    if head[:4] == b"RIFF":
        return {b"WEBP": "image", b"AVI ": "video"}.get(head[8:12])  # pyright: ignore[reportReturnType]
    if head[4:8] == b"ftyp" or head[:4] in (b"\x1aE\xdf\xa3", b"\x00\x00\x01\xba", b"\x00\x00\x01\xb3"):
        return "video"
    if head[4:8] in (b"moov", b"mdat", b"wide", b"free"):
        return "video"
    marks = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"BM", b"II*\x00", b"MM\x00*")
    if head.startswith(marks) or (head[:1] == b"P" and head[1:2] in b"123456" and head[2:3].isspace()):
        return "image"
    return None
