"""Store chat completions whose requests ask for it (`store: true`), as OpenAI does."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from memory_service.core import clock
from memory_service.core.errors import InvalidRequest
from memory_service.gateway.answers import AnswerCollector
from memory_service.gateway.event_stream import DONE
from memory_service.gateway.request import ChatRequest
from memory_service.items.fields import check_metadata
from memory_service.items.media import cut_media, leave_out_media
from memory_service.items.strict_json import dumps, escaped_surrogates
from memory_service.turn_log.log import TurnLog

_CHUNK = "chat.completion.chunk"


class CompletionRecorder(AnswerCollector):
    """Collects an answer, and keeps its completion."""

    def __init__(self) -> None:
        super().__init__()
        self._body: dict[str, Any] = {}
        self._finish_reasons: dict[Any, str] = {}

    def add_events(self, events: Iterable[bytes]) -> None:
        """Add the data of events of a stream."""
        data = list(events)
        super().add_events(data)
        for chunk in (_object(event) for event in data if event != DONE):
            self._body |= {name: value for name, value in chunk.items() if value is not None}
            for choice in chunk.get("choices") or ():
                if isinstance(choice, Mapping) and choice.get("finish_reason"):
                    self._finish_reasons[choice.get("index", 0)] = choice["finish_reason"]

    def take_body(self, content: bytes) -> None:
        """Add the body of an answer that is not a stream."""
        super().take_body(content)
        self._body = _object(content)

    def completion(self) -> Mapping[str, Any] | None:
        """Return the whole completion, with an id; None if there is none."""
        if not self.is_complete or not isinstance(self._body.get("choices"), list):
            return None
        completion = {"id": f"chatcmpl-{uuid.uuid4().hex}", **self._body}
        if completion.get("object") != _CHUNK:
            return completion
        choices = [
            {
                "index": number,
                "message": {"refusal": None, **message},
                "logprobs": None,
                "finish_reason": self._finish_reasons.get(number, "stop"),
            }
            for number, message in enumerate(self.messages())
        ]
        return {**completion, "object": "chat.completion", "choices": choices}


class CompletionStore:
    """Stores the completions of requests that ask for it."""

    def __init__(self, log: TurnLog) -> None:
        self._log = log

    def add(
        self,
        project_key: int,
        conversation_key: int | None,
        chat: ChatRequest,
        recorder: CompletionRecorder,
    ) -> None:
        """Store a completion, with the messages of its request without their media.

        It is deleted with the conversation `conversation_key`.
        """
        completion = recorder.completion()
        if completion is None:
            return
        sent = chat.body.get("messages")
        raw = escaped_surrogates(dumps(sent if isinstance(sent, list) else []))
        cut = cut_media(raw)
        starts = [medium.start for medium in cut.media]
        messages = leave_out_media(cut.raw, starts) if starts else raw
        with self._log.write() as transaction:
            key = conversation_key
            if key is not None and transaction.conversations.by_key(key) is None:
                # The conversation was deleted while the model answered.
                return
            transaction.completions.add(
                project_key,
                conversation_key,
                completion,
                messages,
                _metadata(chat.body.get("metadata")),
                clock.now(),
            )


def wants_storing(chat: ChatRequest) -> bool:
    """Return whether a request asks to store its completion, and memory is not off."""
    return chat.body.get("store") is True and chat.headers.mode != "off"


def _metadata(value: Any) -> dict[str, str]:
    """Return the metadata of a request; none if the upstream would have to refuse them."""
    try:
        return dict(check_metadata(value, "metadata"))
    except InvalidRequest:
        return {}


def _object(content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content, parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
