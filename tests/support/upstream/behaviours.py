"""Behaviours of the stand-in: functions from a request's body to a reply."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from tests.support.upstream.prompts import text_of
from tests.support.upstream.replies import NUMBERS, Behaviour, Body, Message, Reply

ECHO: Final = "You said: "
PACED_CHUNKS: Final = 20


def echo(body: Body) -> Reply:
    """Repeat the last message."""
    return Reply([{"role": "assistant", "content": ECHO + text_of(body["messages"][-1])}])


def says(*texts: str | Message) -> Behaviour:
    """Answer with one choice per text or message."""
    messages = [
        {"role": "assistant", "content": text} if isinstance(text, str) else text for text in texts
    ]
    return lambda _: Reply(messages)


def calls(*functions: tuple[str, Mapping[str, Any]], content: str | None = None) -> Behaviour:
    """Call tools, in parallel if there are several: (name, arguments) each."""

    def behave(_: Body) -> Reply:
        tool_calls = [
            {
                "id": f"call_{next(NUMBERS)}",
                "type": "function",
                "function": {"name": name, "arguments": json.dumps(arguments)},
            }
            for name, arguments in functions
        ]
        message = {"role": "assistant", "content": content, "tool_calls": tool_calls}
        return Reply([message], finish_reason="tool_calls")

    return behave


def speaks(transcript: str) -> Behaviour:
    """Answer with a spoken message."""

    def behave(_: Body) -> Reply:
        audio = {
            "id": f"audio_{next(NUMBERS)}",
            "data": base64.b64encode(transcript.encode() * 9).decode(),
            "expires_at": 1_900_000_000,
            "transcript": transcript,
        }
        return Reply([{"role": "assistant", "content": None, "audio": audio}])

    return behave


def thinks(thought: str, text: str) -> Behaviour:
    """Answer with a thought in the text, as servers without a parser for it do."""
    return says(f"<think>\n{thought}\n</think>\n\n{text}")


def fails(status: int, message: str = "no", code: str | None = None, **headers: str) -> Behaviour:
    """Refuse with a status, in OpenAI's envelope."""
    envelope = {"error": {"message": message, "type": "error", "param": None, "code": code}}
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: Reply(status=status, body=envelope, headers=sent)


def paced(body: Body) -> Reply:
    """Repeat the last line, slowly: with the model `paced-50`, 50 ms pass before each chunk."""
    seconds = int(str(body["model"]).rpartition("-")[2]) / 1000
    text = text_of(body["messages"][-1]).splitlines()[-1]
    size = max(1, len(text) // PACED_CHUNKS)
    return Reply(
        [{"role": "assistant", "content": text}], chunk_chars=size, between_seconds=seconds
    )


def raw(content: bytes, status: int = 200, content_type: str = "application/json") -> Behaviour:
    """Answer with these bytes."""
    headers = {"content-type": content_type}
    return lambda _: Reply(status=status, body=content, headers=headers)


def but(behaviour: Behaviour, **changes: Any) -> Behaviour:
    """Answer like another behaviour with changed fields of the reply."""
    return lambda body: replace(behaviour(body), **changes)
