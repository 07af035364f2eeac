"""A running server as a sink."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Self

import httpx2
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential_jitter,
)

from ingest.sinks.sink import ConversationSink, RefusedTranscript, SinkBatch, check_user
from ingest.transcripts import Transcript
from ingest.trees.runs import ItemRun
from memory_service.conversations.preparation import PreparedTurns
from memory_service.core.errors import Conflict, NotFound, ServiceError, StartupError
from memory_service.items.strict_json import dumps
from memory_service.llm.openai_client import retry_after

_MAX_ATTEMPTS = 6
_MAX_WAIT_SECONDS = 300.0
_RETRIED_STATUSES = frozenset({408, 429, 500, 502, 503, 504})


class ServerSink:
    """Stores conversations in a server; retries temporary failures when the server allows it."""

    def __init__(self, url: str, api_key: str | None) -> None:
        """Prepare the connection; raises StartupError for a URL or key that cannot be sent."""
        headers = {} if api_key is None else {"authorization": f"Bearer {api_key}"}
        base_url = url.rstrip("/").removesuffix("/v1")
        if not url.startswith(("http://", "https://")):
            raise StartupError(f"--url: {url!r} is not a URL such as http://127.0.0.1:8000.")
        if api_key is not None and not (api_key.isascii() and api_key.isprintable()):
            raise StartupError("--api-key must be printable ASCII characters.")
        try:
            self._client = httpx2.Client(base_url=base_url, headers=headers, timeout=60)
        except (httpx2.InvalidURL, ValueError) as error:
            raise StartupError(f"--url: {url!r} is not a URL: {error}.") from error

    def __enter__(self) -> Self:
        """Check that a memory service answers."""
        try:
            response = self._client.get("/readyz").raise_for_status()
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise StartupError(
                f"No server answers at {self._client.base_url}: {error}. "
                "Start one with 'memory-service serve', or give --data-dir instead."
            ) from error
        _json_object(response)
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections."""
        self._client.close()

    def wants_preparation(self, transcript: Transcript) -> bool:  # noqa: ARG002 - the protocol's
        """Return False: the server prepares turns itself."""
        return False

    def together(self) -> AbstractContextManager[SinkBatch]:
        """Return the sink itself: each request is durable when it is answered."""
        return nullcontext(self)

    def conversation(
        self,
        transcript: Transcript,
        prepared: PreparedTurns | None,  # noqa: ARG002 - the protocol's
    ) -> ConversationSink:
        """Create the conversation if it does not exist."""
        fields = {
            "id": transcript.id,
            "user": transcript.user,
            "title": transcript.title,
            "metadata": transcript.metadata,
            "created_at": transcript.created_at,
        }
        try:
            self.send("POST", "/v1/conversations", dumps(fields))
        except Conflict:
            response = self.send("GET", f"/v1/conversations/{transcript.id}")
            check_user(transcript, _json_object(response).get("user"))
            return _ServerConversation(self, transcript.id, is_new=False)
        return _ServerConversation(self, transcript.id, is_new=True)

    def finish(self, on_lag: Callable[[int], bool]) -> None:
        """Leave the indexing to the server: it continues after this command."""
        on_lag(0)

    def send(self, method: str, path: str, body: str | None = None) -> httpx2.Response:
        """Return the answer to a request, tried several times; raises the error of a refusal."""
        attempts = Retrying(
            retry=retry_if_exception_type(_TemporaryFailure),
            stop=stop_after_attempt(_MAX_ATTEMPTS),
            wait=_wait_seconds,
            reraise=True,
        )
        # One key for all attempts: a server that has stored the body gives the same answer again.
        key = hashlib.sha256(f"{method} {path} {body} {time.time_ns()}".encode()).hexdigest()
        headers = {"content-type": "application/json", "idempotency-key": key} if body else {}
        return attempts(self._send_once, method, path, body, headers)

    def _send_once(
        self, method: str, path: str, body: str | None, headers: Mapping[str, str]
    ) -> httpx2.Response:
        try:
            response = self._client.request(method, path, content=body, headers=headers)
        except httpx2.RequestError as error:
            raise _TemporaryFailure(f"The server does not answer: {error}.") from error
        if response.status_code in _RETRIED_STATUSES:
            raise _TemporaryFailure(_message(response), retry_after(response.headers))
        if response.status_code in (401, 403):
            raise StartupError(f"{_message(response)} Give a key with --api-key.")
        if response.status_code == 404:
            raise NotFound(_message(response))
        if response.status_code == 409:
            raise Conflict(_message(response))
        if not response.is_success:
            raise RefusedTranscript(_message(response))
        _json_object(response)
        return response


class _ServerConversation:
    """One conversation of a server."""

    def __init__(self, sink: ServerSink, conversation_id: str, *, is_new: bool) -> None:
        self.is_new = is_new
        self._sink = sink
        self._path = f"/v1/conversations/{conversation_id}"

    def append(self, run: ItemRun) -> int:
        """Store a run, each item's JSON unchanged; return how many items are new."""
        items = ",".join(item.raw for item in run.items)
        stored_as = [item.stored_as for item in run.items]
        others = dumps({"parent": run.parent, "gap_before": run.gap_before, "stored_as": stored_as})
        body = f'{{"items":[{items}],{others[1:]}'
        response = self._sink.send("POST", f"{self._path}/items", body)
        new = response.headers.get("x-memory-items-new", "")
        return int(new) if new.isascii() and new.isdigit() else len(run.items)

    def set_head(self, item_id: str) -> None:
        """Make the branch that ends in an item the active one."""
        self._sink.send("POST", self._path, dumps({"head": item_id}))


class _TemporaryFailure(ServiceError):
    """A failure after which the same request may succeed."""

    def __init__(self, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


def _wait_seconds(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after_seconds if isinstance(error, _TemporaryFailure) else None
    if asked is not None:
        return min(asked, _MAX_WAIT_SECONDS)
    return wait_exponential_jitter(initial=0.5, max=20)(state)


def _json_object(response: httpx2.Response) -> dict[str, Any]:
    """Return the JSON object of an answer; raises StartupError for anything else, such as HTML."""
    try:
        value = response.json()
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise StartupError(
            f"The server at {response.url.copy_with(path='/')} is not a memory service: "
            f"{response.url.path} answers with something other than a JSON object."
        )
    return value


def _message(response: httpx2.Response) -> str:
    try:
        return str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"The server answered with status {response.status_code}."
