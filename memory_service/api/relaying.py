"""Relaying: a response that passes an upstream's answer on as it arrives."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Protocol

import anyio
from starlette.responses import Response
from starlette.types import Receive, Scope, Send


class RelayedAnswer(Protocol):
    """An answer that is passed on while it arrives; it must be closed."""

    @property
    def status(self) -> int:
        """The HTTP status."""

    @property
    def headers(self) -> Mapping[str, str] | Sequence[tuple[str, str]]:
        """The headers of the response; a name may come more than once."""

    def chunks(self) -> AsyncGenerator[bytes]:
        """Yield the body as it arrives."""

    async def close(self) -> None:
        """Close the connection to the upstream."""


class RelayResponse(Response):
    """Passes a stream on until it ends or the caller disconnects; then the relay is closed."""

    def __init__(self, relay: RelayedAnswer, more_headers: Mapping[str, str] | None = None) -> None:
        self.status_code = relay.status
        self.background = None
        pairs = relay.headers.items() if isinstance(relay.headers, Mapping) else relay.headers
        self.raw_headers = [
            (name.lower().encode("latin-1"), value.encode("latin-1"))
            for name, value in (*pairs, *(more_headers or {}).items())
        ]
        self._relay = relay

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream."""
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(_wait_for_disconnect, receive, group.cancel_scope)
                await send(
                    {
                        "type": "http.response.start",
                        "status": self.status_code,
                        "headers": self.raw_headers,
                    }
                )
                async with aclosing(self._relay.chunks()) as chunks:
                    async for chunk in chunks:
                        await send({"type": "http.response.body", "body": chunk, "more_body": True})
                await self.send_end(send)
                group.cancel_scope.cancel()
        finally:
            await self._relay.close()

    async def send_end(self, send: Send) -> None:
        """Send the end of the body."""
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _wait_for_disconnect(receive: Receive, scope: anyio.CancelScope) -> None:
    message: dict[str, Any] = {}
    while message.get("type") != "http.disconnect":
        message = dict(await receive())
    scope.cancel()
