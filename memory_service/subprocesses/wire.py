"""The format of messages between a parent and its child process: a length and a pickle."""

from __future__ import annotations

import os
import pickle
import struct
import sys
from typing import IO, Any

NICENESS = 5
"""Of a child process: the parent, which serves requests, gets the processor first."""

_LENGTH = struct.Struct(">Q")


def send(stream: IO[bytes], value: Any) -> None:
    """Write one value."""
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
    # The other end is this program too: the parent that started this child, or its child.
    return pickle.loads(content)  # noqa: S301


def own_stdout() -> IO[bytes]:
    """Return standard output for answers; what libraries print goes to standard error instead."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return answers
