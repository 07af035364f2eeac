"""Middleware that decompresses request bodies: gzip, deflate, br and zstd.

The application reads the decompressed body in pieces of bounded size. So its own limit on the size
of bodies also stops a small body that decompresses to a large one.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Final, Protocol

import anyio.lowlevel
import brotli
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from memory_service.core.errors import InvalidRequest, UnsupportedEncoding

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PIECE_BYTES: Final = 64 * 1024
MAX_ENCODINGS: Final = 4
"""The most encodings of one body; each may multiply the work of the next."""

_ZSTD_WINDOW_LOG: Final = 23
"""8 MiB, the largest window that RFC 9659 allows; the format itself allows 2 GiB of memory."""


class CompressedBodies:
    """Decompresses the body of a request that has a Content-Encoding.

    Reading the body raises UnsupportedEncoding for an unknown encoding, and InvalidRequest for a
    body that cannot be decompressed.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] == "http":
            encodings = _encodings(Headers(scope=scope).getlist("content-encoding"))
            if encodings:
                headers = MutableHeaders(scope=scope)
                del headers["content-encoding"]
                del headers["content-length"]
                receive = _DecompressedBody(encodings, receive).receive
        await self._app(scope, receive, send)


def _encodings(headers: Sequence[str]) -> list[str]:
    """Return the encodings in the order in which they were applied."""
    names = [name.strip().lower() for header in headers for name in header.split(",")]
    return [name for name in names if name not in {"", "identity"}]


class _DecompressedBody:
    """The messages of a request, with the body in them decompressed."""

    def __init__(self, encodings: Sequence[str], receive: Receive) -> None:
        self._receive = receive
        self._pieces = decompressed(encodings, _chunks(receive))
        self._is_read = False

    async def receive(self) -> Message:
        """Return the next message."""
        if self._is_read:
            return await self._receive()
        async for piece in self._pieces:
            return {"type": "http.request", "body": piece, "more_body": True}
        self._is_read = True
        return {"type": "http.request", "body": b"", "more_body": False}


async def _chunks(receive: Receive) -> AsyncIterator[bytes]:
    """Yield the body of a request as it arrives."""
    more_body = True
    while more_body:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        yield message.get("body", b"")
        more_body = message.get("more_body", False)


def decompressed(encodings: Sequence[str], chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Return the pieces of a body to which the encodings were applied in this order."""
    if len(encodings) > MAX_ENCODINGS:
        return _decoded("more than four encodings", None, chunks)
    for name in reversed(encodings):
        chunks = _decoded(name, _DECODERS.get(name), chunks)
    return chunks


async def _decoded(
    name: str, decoder: Callable[[], _Decoder] | None, chunks: AsyncIterator[bytes]
) -> AsyncIterator[bytes]:
    """Yield the pieces of a body without one encoding."""
    if decoder is None:
        raise UnsupportedEncoding(
            f"The Content-Encoding {name[:40]!r} is not supported: use gzip, deflate, br or zstd."
        )
    decoding, is_empty = decoder(), True
    try:
        async for chunk in chunks:
            is_empty = is_empty and not chunk
            for piece in decoding.pieces(chunk):
                # One chunk may have hundreds of pieces: other requests continue in between.
                await anyio.lowlevel.checkpoint()
                yield piece
    except (zlib.error, zstd.ZstdError, brotli.error, EOFError) as error:
        raise _invalid(name) from error
    if not (is_empty or decoding.is_complete):
        raise _invalid(name)


def _invalid(name: str) -> InvalidRequest:
    return InvalidRequest(
        f"The body cannot be decompressed: it is not valid {name}.", code="invalid_encoding"
    )


class _Decoder(Protocol):
    """Decompresses a body that arrives in chunks."""

    @property
    def is_complete(self) -> bool:
        """Whether the compressed data has ended."""

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        """Yield what a chunk decompresses to, in pieces of about `PIECE_BYTES` at most."""


class _Zlib:
    """Decodes gzip, also of several members."""

    def __init__(self, window_bits: int) -> None:
        self._window_bits = window_bits
        self._stream = zlib.decompressobj(window_bits)

    @property
    def is_complete(self) -> bool:
        return self._stream.eof

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        rest = chunk
        while True:
            if self._stream.eof and rest:
                self._stream = zlib.decompressobj(self._window_bits)
            piece = self._stream.decompress(rest, PIECE_BYTES)
            if piece:
                yield piece
            rest = self._stream.unused_data if self._stream.eof else self._stream.unconsumed_tail
            if not piece and not rest:
                return


class _Deflate:
    """Decodes deflate, with zlib's header as the standard says, or without as some clients do."""

    def __init__(self) -> None:
        self._beginning = b""
        self._zlib: _Zlib | None = None

    @property
    def is_complete(self) -> bool:
        return self._zlib is not None and self._zlib.is_complete

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        if self._zlib is None:
            self._beginning += chunk
            if len(self._beginning) < 2:
                return
            has_header = self._beginning[0] & 15 == zlib.DEFLATED and (
                int.from_bytes(self._beginning[:2]) % 31 == 0
            )
            self._zlib = _Zlib(zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS)
            chunk = self._beginning
        yield from self._zlib.pieces(chunk)


class _Brotli:
    """Decodes br."""

    def __init__(self) -> None:
        self._stream = brotli.Decompressor()

    @property
    def is_complete(self) -> bool:
        return bool(self._stream.is_finished())

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        piece = self._stream.process(chunk, output_buffer_limit=PIECE_BYTES) if chunk else b""
        while piece:
            yield piece
            if self._stream.is_finished():
                return
            # Output may still wait, although the stream would take more input.
            piece = self._stream.process(b"", output_buffer_limit=PIECE_BYTES)


class _Zstd:
    """Decodes zstd, also of several frames."""

    def __init__(self) -> None:
        self._stream = self._new_stream()

    @staticmethod
    def _new_stream() -> zstd.ZstdDecompressor:
        limit: dict[int, int] = {zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG}
        return zstd.ZstdDecompressor(options=limit)

    @property
    def is_complete(self) -> bool:
        return self._stream.eof

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        rest = chunk
        while rest or not (self._stream.eof or self._stream.needs_input):
            if self._stream.eof:
                self._stream = self._new_stream()
            yield self._stream.decompress(rest, PIECE_BYTES)
            rest = self._stream.unused_data if self._stream.eof else b""


_DECODERS: Final[Mapping[str, Callable[[], _Decoder]]] = {
    "gzip": lambda: _Zlib(16 + zlib.MAX_WBITS),
    "x-gzip": lambda: _Zlib(16 + zlib.MAX_WBITS),
    "deflate": _Deflate,
    "br": _Brotli,
    "zstd": _Zstd,
}
