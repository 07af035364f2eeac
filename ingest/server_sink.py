"""A running server as the place to store in."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Self

import httpx2
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential_jitter,
)

from ingest.runs import Run
from ingest.sinks import check_user
from ingest.transcripts import BadRecord, Transcript
from memory_service.conversations.preparation import PreparedTurns
from memory_service.core.errors import Conflict, NotFound, ServiceError, StartupError
from memory_service.items.strict_json import dumps
from memory_service.llm.openai_client import retry_after

_TRIES = 6
_LONGEST_WAIT_SECONDS = 300.0
_RETRIED_STATUSES = frozenset({408, 429, 500, 502, 503, 504})


class ServerSink:
    """A running server; failures that may pass are tried again, as it asks."""

    def __init__(self, url: str, api_key: str | None) -> None:
        headers = {} if api_key is None else {"authorization": f"Bearer {api_key}"}
        base = url.rstrip("/").removesuffix("/v1")
        self._client = httpx2.Client(base_url=base, headers=headers, timeout=60)

    def __enter__(self) -> Self:
        """Check that the server answers."""
        try:
            self._client.get("/readyz").raise_for_status()
        except httpx2.HTTPError as error:
            raise StartupError(
                f"No server answers at {self._client.base_url}: {error}. "
                "Start one with 'memory-service serve', or give --data-dir instead."
            ) from error
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections."""
        self._client.close()

    def wants_plan(self, transcript: Transcript) -> bool:  # noqa: ARG002 - of none
        """Return no: the server makes them."""
        return False

    def together(self) -> AbstractContextManager[None]:
        """Do nothing more than the block does: each request is durable when it is answered."""
        return nullcontext()

    def begin(self, transcript: Transcript, plan: PreparedTurns | None) -> bool:  # noqa: ARG002 - none
        """Make the conversation if it is not there; return whether it was made."""
        fields = {
            "id": transcript.id,
            "user": transcript.user,
            "title": transcript.title,
            "metadata": transcript.metadata,
            "created_at": transcript.created_at,
        }
        try:
            self._send("POST", "/v1/conversations", dumps(fields))
        except Conflict:
            found = self._send("GET", f"/v1/conversations/{transcript.id}").json()
            check_user(transcript, found["user"])
            return False
        return True

    def append(self, conversation_id: str, run: Run) -> int:
        """Store a run, each item's JSON as it is; return how many items are new."""
        raws = ",".join(item.raw for item in run.items)
        places = [item.stored_as for item in run.items]
        rest = dumps({"parent": run.parent, "gap_before": run.gap_before, "stored_as": places})
        body = f'{{"items":[{raws}],{rest[1:]}'
        response = self._send("POST", f"/v1/conversations/{conversation_id}/items", body)
        return int(response.headers.get("x-memory-items-new", len(run.items)))

    def set_head(self, conversation_id: str, item_id: str) -> None:
        """Make the branch that ends in an item the live one."""
        self._send("POST", f"/v1/conversations/{conversation_id}", dumps({"head": item_id}))

    def finish(self, on_lag: Callable[[int], bool]) -> None:
        """Leave the indexing to the server: it goes on after this command."""
        on_lag(0)

    def _send(self, method: str, path: str, body: str | None = None) -> httpx2.Response:
        attempts = Retrying(
            retry=retry_if_exception_type(_TryAgain),
            stop=stop_after_attempt(_TRIES),
            wait=_wait,
            reraise=True,
        )
        # One key for all tries: a server that has stored the body answers the same again.
        key = hashlib.sha256(f"{method} {path} {body} {time.time_ns()}".encode()).hexdigest()
        headers = {"content-type": "application/json", "idempotency-key": key} if body else {}
        return attempts(self._send_once, method, path, body, headers)

    def _send_once(
        self, method: str, path: str, body: str | None, headers: Mapping[str, str]
    ) -> httpx2.Response:
        try:
            response = self._client.request(method, path, content=body, headers=headers)
        except httpx2.TransportError as error:
            raise _TryAgain(f"The server does not answer: {error}.") from error
        if response.status_code in _RETRIED_STATUSES:
            raise _TryAgain(_message(response), retry_after(response.headers))
        if response.status_code in (401, 403):
            raise StartupError(f"{_message(response)} Give a key with --api-key.")
        if response.status_code == 404:
            raise NotFound(_message(response))
        if response.status_code == 409:
            raise Conflict(_message(response))
        if response.is_error:
            raise BadRecord(_message(response))
        return response


class _TryAgain(ServiceError):
    """A failure that may pass."""

    def __init__(self, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after_seconds if isinstance(error, _TryAgain) else None
    if asked is not None:
        return min(asked, _LONGEST_WAIT_SECONDS)
    return wait_exponential_jitter(initial=0.5, max=20)(state)


def _message(response: httpx2.Response) -> str:
    try:
        return str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"The server answered {response.status_code}."
