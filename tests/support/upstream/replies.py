"""What the stand-in answers: the value that a behaviour returns for a request."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final, Literal

Body = Mapping[str, Any]
Message = Mapping[str, Any]

CallIndex = Literal["numbered", "absent", "zero"]

NUMBERS: Final = count(1)
"""Numbers for ids; no two are equal."""


@dataclass(frozen=True)
class Reply:
    """A response: one message per choice, or a status with any body.

    Without `usage`, the tokens are counted. `first_byte_seconds` and `between_seconds` are waits
    before the first byte and between chunks of a stream. After `stall_after` chunks the stream
    stops until the server is released. After `cut_after` chunks (0: after the headers) the
    connection breaks; after `error_after` chunks the stream ends with an error event.

    `call_index` is how the pieces of tool calls are marked in a stream: with the number of their
    call, with no index, or all with index 0. `media_type` is the type of a stream. With `gzip` the
    response is compressed.
    """

    messages: Sequence[Message] = ()
    status: int = 200
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)
    finish_reason: str = "stop"
    usage: Mapping[str, Any] | None = None
    chunk_chars: int = 8
    first_byte_seconds: float = 0.0
    between_seconds: float = 0.0
    stall_after: int | None = None
    cut_after: int | None = None
    error_after: int | None = None
    call_index: CallIndex = "numbered"
    media_type: str = "text/event-stream"
    gzip: bool = False


Behaviour = Callable[[Body], Reply]
