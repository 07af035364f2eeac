"""Event streams: the data of server-sent events, from bytes that are split anywhere.

Format: https://html.spec.whatwg.org/multipage/server-sent-events.html, section 9.2.6. A line ends
with CR LF, LF or CR. An empty line ends an event; the `data` lines of an event are joined with LF.
"""

from __future__ import annotations

import re
from typing import NamedTuple

DONE = b"[DONE]"
"""The data of the event that ends a complete stream of chat completions."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_DONE_LINES = (b"data: " + DONE, b"data:" + DONE)
# A CR at the end of what has arrived may be followed by its LF: it is read with the next chunk.
_LINE_END = re.compile(rb"\r\n|\n|\r(?=[^\n])")


class StreamPiece(NamedTuple):
    """What a chunk adds to a stream.

    `events` are the data of the events that it completes. `before_end` are the bytes to pass on
    before the last event of the stream, `end` are the bytes of that event and after it.
    """

    events: list[bytes]
    before_end: bytes
    end: bytes = b""


class EventStreamReader:
    """Reads the events of one stream, and finds where its last event begins.

    Bytes that may begin the last event are held back until the next chunk, so that no part of that
    event is passed on early.
    """

    def __init__(self) -> None:
        self._line = b""
        self._passed_on = 0  # so many bytes of the line
        self._data: list[bytes] = []
        self._is_first_line = True
        self._has_ended = False

    def feed(self, chunk: bytes) -> StreamPiece:
        """Read the next bytes."""
        if self._has_ended:
            return StreamPiece([], b"", chunk)
        events: list[bytes] = []
        text, start = self._line + chunk, 0
        for line_end in _LINE_END.finditer(text):
            line = text[start : line_end.start()]
            if self._is_last(line):
                return self._ended(events, text, start)
            events += self._read_line(line)
            start = line_end.end()
        passed_on, self._line = self._passed_on, text[start:]
        holds_back = any(line.startswith(self._line.rstrip(b"\r")) for line in _DONE_LINES)
        self._passed_on = 0 if holds_back else len(self._line)
        return StreamPiece(events, text[passed_on:start] if holds_back else text[passed_on:])

    def finish(self) -> StreamPiece:
        """Read the end of the stream: a last line and a last event may lack their line ends."""
        line, passed_on = self._line, self._passed_on
        self._line, self._passed_on = b"", 0
        if self._is_last(line.rstrip(b"\r")):
            return self._ended([], line[passed_on:], 0)
        events = [*self._read_line(line.rstrip(b"\r")), *self._read_line(b"")]
        return StreamPiece(events, line[passed_on:])

    def _ended(self, events: list[bytes], text: bytes, start: int) -> StreamPiece:
        """Return the piece in which the stream ends: its last event begins at `start`."""
        passed_on, self._line, self._passed_on = self._passed_on, b"", 0
        self._has_ended = True
        return StreamPiece([*events, DONE], text[passed_on:start], text[start:])

    def _is_last(self, line: bytes) -> bool:
        return not self._data and not self._has_ended and line.rstrip(b" ") in _DONE_LINES

    def _read_line(self, line: bytes) -> list[bytes]:
        """Read a line; return the event that it ends, if it ends one."""
        if self._is_first_line:
            self._is_first_line = False
            line = line.removeprefix(_BYTE_ORDER_MARK)
        if line.startswith(b"data:"):
            self._data.append(line[5:].removeprefix(b" "))
        if line or not self._data:
            return []
        event, self._data = b"\n".join(self._data), []
        return [event]
