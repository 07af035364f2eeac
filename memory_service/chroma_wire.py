"""What Chroma's process and its parent say to each other: pickles with their length in front.

Apart from both, because the parent need not import chromadb: that takes 29 MB.
"""

from __future__ import annotations

import pickle
import struct
from typing import IO, Any

WRITES = frozenset({"upsert", "delete", "drop", "compact"})
"""What one thread of the child does in the order it comes; all else may overtake it."""

_LENGTH = struct.Struct(">Q")


def send(stream: IO[bytes], value: Any) -> None:
    """Write one value, whole."""
    content = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    stream.write(_LENGTH.pack(len(content)) + content)
    stream.flush()


def receive(stream: IO[bytes]) -> Any:
    """Read one value; raises EOFError at the end of the stream."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise EOFError
    (length,) = _LENGTH.unpack(head)
    content = stream.read(length)
    if len(content) < length:
        raise EOFError
    # The other end is this program: the parent that started the child, or the child it started.
    return pickle.loads(content)  # noqa: S301
