"""Where transcripts go: a local data folder, or a running server. Both store the same way."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any, Protocol, Self

import httpx2
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential_jitter,
)

from ingest.runs import Run
from ingest.transcripts import BadRecord, Transcript
from memory_service import clock
from memory_service.errors import NotFound, ServiceError, StartupError
from memory_service.items import check_id, check_metadata, parse_item
from memory_service.remember import Attempt, Below, NewConversation
from memory_service.service import Service
from memory_service.settings import Settings
from memory_service.strict_json import dumps, loads

_NO_RETRY = Attempt(key=None, request_hash=b"", is_retry=False)
_TRIES = 6
_RETRIED_STATUSES = frozenset({408, 429, 500, 502, 503, 504})


class Sink(Protocol):
    """Stores conversations; what is stored already is found again by its ids."""

    def begin(self, transcript: Transcript) -> bool:
        """Make the conversation if it is not there; return whether it was made."""

    def append(self, conversation_id: str, run: Run) -> int:
        """Store a run; return how many of its items are new."""

    def set_head(self, conversation_id: str, item_id: str) -> None:
        """Make the branch that ends in an item the live one."""

    def finish(self, on_lag: Callable[[int], None]) -> None:
        """Wait until everything can be found by its vectors."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class LocalSink:
    """A data folder that this process owns while it ingests."""

    def __init__(self, settings: Settings, project: str) -> None:
        self._settings = settings
        self._project = project
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Open the folder; raises StartupError if a server holds it."""
        self._service = self._stack.enter_context(
            Service.open(self._settings, purpose="memory-ingest")
        )
        with self._service.log.write() as log:
            self._key = log.ensure_project(self._project, clock.now())
        return self

    def __exit__(self, *_: object) -> None:
        """Close the folder."""
        self._stack.close()

    def begin(self, transcript: Transcript) -> bool:
        """Make the conversation if it is not there; return whether it was made."""
        with self._service.log.read() as log:
            if log.conversation(self._key, transcript.id) is not None:
                return False
        created_at = transcript.created_at
        new = NewConversation(
            id=check_id(transcript.id, "id"),
            user=None if transcript.user is None else check_id(transcript.user, "user"),
            title=transcript.title,
            metadata=check_metadata(transcript.metadata, "metadata"),
            created_at=None
            if created_at is None
            else clock.parse_time(created_at, "created_at")[0],
        )
        self._service.remember.create_conversation(self._key, new, [], _NO_RETRY)
        return True

    def append(self, conversation_id: str, run: Run) -> int:
        """Store a run; return how many of its items are new."""
        turns = [
            parse_item(
                loads(item.raw, max_nesting=self._settings.max_nesting),
                item.raw,
                place,
                self._service.item_limits,
                item.id,
            )
            for item, place in zip(run.items, _places(run), strict=True)
        ]
        stored = self._service.remember.append(
            self._key,
            conversation_id,
            turns,
            _NO_RETRY,
            below=Below.ROOT if run.parent is None else run.parent,
            gap_before=run.gap_before,
        )
        return stored.new

    def set_head(self, conversation_id: str, item_id: str) -> None:
        """Make the branch that ends in an item the live one."""
        self._service.remember.update_conversation(
            self._key,
            conversation_id,
            metadata=None,
            title=None,
            head_id=item_id,
            attempt=_NO_RETRY,
        )

    def finish(self, on_lag: Callable[[int], None]) -> None:
        """Wait until the vector index has everything that does not keep failing."""
        while True:
            status = self._service.index_status()
            on_lag(status.lag - status.parked)
            if status.lag <= status.parked:
                return
            time.sleep(0.05)


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

    def begin(self, transcript: Transcript) -> bool:
        """Make the conversation if it is not there; return whether it was made."""
        try:
            self._send("GET", f"/v1/conversations/{transcript.id}")
        except NotFound:
            fields = {
                "id": transcript.id,
                "user": transcript.user,
                "title": transcript.title,
                "metadata": transcript.metadata,
                "created_at": transcript.created_at,
            }
            self._send("POST", "/v1/conversations", dumps(fields))
            return True
        return False

    def append(self, conversation_id: str, run: Run) -> int:
        """Store a run, each item's JSON as it is; return how many items are new."""
        raws = ",".join(item.raw for item in run.items)
        rest = dumps(
            {"parent": run.parent, "gap_before": run.gap_before, "stored_as": _places(run)}
        )
        body = f'{{"items":[{raws}],{rest[1:]}'
        response = self._send("POST", f"/v1/conversations/{conversation_id}/items", body)
        return int(response.headers.get("x-memory-items-new", len(run.items)))

    def set_head(self, conversation_id: str, item_id: str) -> None:
        """Make the branch that ends in an item the live one."""
        self._send("POST", f"/v1/conversations/{conversation_id}", dumps({"head": item_id}))

    def finish(self, on_lag: Callable[[int], None]) -> None:
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
            raise _TryAgain(_message(response), response.headers.get("retry-after"))
        if response.status_code in (401, 403):
            raise StartupError(f"{_message(response)} Give a key with --api-key.")
        if response.status_code == 404:
            raise NotFound(_message(response))
        if response.is_error:
            raise BadRecord(_message(response))
        return response


class _TryAgain(ServiceError):
    """A failure that may pass."""

    def __init__(self, message: str, retry_after: str | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after if isinstance(error, _TryAgain) else None
    if asked is not None and asked.isascii() and asked.isdigit():
        return min(float(asked), 60.0)
    return wait_exponential_jitter(initial=0.5, max=20)(state)


def _message(response: httpx2.Response) -> str:
    try:
        return str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"The server answered {response.status_code}."


def _places(run: Run) -> list[dict[str, Any]]:
    return [
        {
            key: value
            for key, value in (
                ("id", item.id),
                ("created_at", item.created_at),
                ("name", item.name),
                ("metadata", item.metadata),
            )
            if value is not None
        }
        for item in run.items
    ]
