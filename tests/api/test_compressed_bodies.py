"""Compressed request bodies: decompressed in bounded pieces, whatever their chunks are."""

from __future__ import annotations

import gzip
import json
import sys
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import anyio
import brotli
import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory_service.api.compressed_bodies import PIECE_BYTES, decompressed
from memory_service.core.errors import InvalidRequest
from tests.support.chatting import RunningGateway, gateway, user

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MAX_BODY = 300_000


def raw_deflate(content: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(content) + stream.flush()


def parts(compress: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """Return a compression that makes two members, or frames."""
    return lambda content: compress(content[:5]) + compress(content[5:])


COMPRESSIONS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "gzip in two members": ("X-Gzip", parts(gzip.compress)),
    "deflate": ("deflate", zlib.compress),
    "deflate without a header": ("deflate", raw_deflate),
    "br": ("br", brotli.compress),
    "zstd": ("zstd", zstd.compress),
    "zstd in two frames": ("zstd", parts(zstd.compress)),
    "none": ("identity", bytes),
    "two": ("gzip, br", lambda content: brotli.compress(gzip.compress(content))),
}


def unpack(encodings: list[str], content: bytes, chunk: int = 1_000_000) -> list[bytes]:
    """Return the pieces of a body that arrives in chunks of this size."""

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, max(1, len(content)), chunk):
            yield content[start : start + chunk]

    async def run() -> list[bytes]:
        return [piece async for piece in decompressed(encodings, chunks())]

    return anyio.run(run)


@settings(max_examples=30)
@given(
    st.sampled_from([name for name in COMPRESSIONS if name not in {"none", "two"}]),
    st.binary(max_size=200) | st.binary(max_size=20).map(lambda content: content * 9_000),
    st.integers(1, 50),
)
def test_content_is_the_same_for_all_chunks(name: str, content: bytes, chunk: int) -> None:
    encoding, compress = COMPRESSIONS[name]
    encodings = [encoding.lower()]
    assert b"".join(unpack(encodings, compress(content), chunk)) == content


@pytest.mark.parametrize("name", [name for name in COMPRESSIONS if name not in {"none", "two"}])
def test_pieces_are_bounded(name: str) -> None:
    encoding, compress = COMPRESSIONS[name]
    pieces = unpack([encoding.lower()], compress(b"x" * 5_000_000))
    assert max(map(len, pieces)) <= 2 * PIECE_BYTES


@pytest.mark.parametrize("name", ["gzip", "deflate", "br", "zstd"])
def test_truncated_or_damaged_content_is_refused(name: str) -> None:
    encoding, compress = COMPRESSIONS[name]
    content = compress(b"".join(b"%d" % (number * number) for number in range(500)))
    for damaged in (content[:-3], b"x" + content, content[:20]):
        with pytest.raises(InvalidRequest, match=f"not valid {encoding}"):
            unpack([encoding], damaged)


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    folder: Path = tmp_path_factory.mktemp("compressed")
    with gateway(folder, light=True, max_body_bytes=MAX_BODY) as running:
        yield running


def post(chat: RunningGateway, content: bytes, encoding: str) -> httpx2.Response:
    headers = {"content-encoding": encoding, "x-user-id": "ann"}
    return chat.http.post("/v1/chat/completions", content=content, headers=headers)


@pytest.mark.parametrize("name", COMPRESSIONS)
def test_compressed_chat_completion_is_answered(chat: RunningGateway, name: str) -> None:
    encoding, compress = COMPRESSIONS[name]
    content = json.dumps({"model": "m", "messages": user("hello")}).encode()
    answer = post(chat, compress(content), encoding).raise_for_status()
    assert answer.json()["choices"][0]["message"]["content"] == "You said: hello"
    assert "content-encoding" not in chat.upstream.last.headers


@pytest.mark.parametrize("name", ["gzip", "deflate", "br", "zstd"])
def test_small_body_that_decompresses_to_large_one_is_refused(
    chat: RunningGateway, name: str
) -> None:
    encoding, compress = COMPRESSIONS[name]
    bomb = compress(b'{"x":"' + b"x" * 50 * MAX_BODY + b'"}')
    assert len(bomb) < MAX_BODY
    answer = post(chat, bomb, encoding)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request_too_large")


@pytest.mark.parametrize(
    ("encoding", "status", "code"),
    [
        ("compress", 415, "unsupported_encoding"),
        ("gzip, lz4", 415, "unsupported_encoding"),
        ("gzip" + ", gzip" * 9, 415, "unsupported_encoding"),
        ("gzip", 400, "invalid_encoding"),
    ],
)
def test_unknown_encoding_and_other_content_are_refused(
    chat: RunningGateway, encoding: str, status: int, code: str
) -> None:
    answer = post(chat, b'{"model": "m"}', encoding)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
