"""A request for a response, as a request for a chat completion. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from memory_service.core.errors import InvalidRequest
from memory_service.items.chat_messages import Message
from memory_service.responses.chat.tools import chat_tools

_TRANSLATED = frozenset(
    {"input", "instructions", "max_output_tokens", "reasoning", "text", "tools", "tool_choice"}
)
# Fields of the Responses API that chat completions do not have, or that this service fulfils.
_NOT_FORWARDED = frozenset(
    {
        "access_programs",
        "background",
        "background_options",
        "context_management",
        "conversation",
        "image",
        "include",
        "max_tool_calls",
        "metadata",
        "previous_response_id",
        "prompt",
        "prompt_cache_options",
        "store",
        "stream_options",
        "truncation",
    }
)


def chat_body(
    body: Mapping[str, Any], messages: Sequence[Message], *, keeps_custom: bool = False
) -> dict[str, Any]:
    """Return the body of a chat completion with these messages.

    Unknown fields are kept, and custom tools become functions unless `keeps_custom`. Raises
    InvalidRequest that names what chat completions cannot do.
    """
    _check_prompt(body)
    fields = {
        name: value
        for name, value in body.items()
        if name not in _TRANSLATED and name not in _NOT_FORWARDED and value is not None
    }
    translated = {
        "messages": list(messages),
        **chat_tools(body, keeps_custom=keeps_custom),
        **_text_fields(body.get("text")),
        **_reasoning_fields(body.get("reasoning")),
        **_length_fields(body),
        **_logprob_fields(body),
    }
    if "tools" not in translated:
        fields.pop("parallel_tool_calls", None)
    if body.get("stream"):
        translated["stream_options"] = {"include_usage": True}
    return {**fields, **translated}


def _check_prompt(body: Mapping[str, Any]) -> None:
    if body.get("prompt") is not None:
        raise InvalidRequest(
            "'prompt' is a template that is stored on the model's server, and this server has only "
            "chat completions.",
            param="prompt",
            code="unsupported_parameter",
        )


def response_format(text: Any) -> Mapping[str, Any] | None:
    """Return the form of the answer that `text` asks for, as chat completions name it."""
    form = text.get("format") if isinstance(text, Mapping) else None
    if not isinstance(form, Mapping) or form.get("type") in (None, "text"):
        return None
    if form["type"] != "json_schema":
        return form
    return {
        "type": "json_schema",
        "json_schema": {name: value for name, value in form.items() if name != "type"},
    }


def _text_fields(text: Any) -> dict[str, Any]:
    form = response_format(text)
    fields: dict[str, Any] = {} if form is None else {"response_format": form}
    if isinstance(text, Mapping) and text.get("verbosity") is not None:
        fields["verbosity"] = text["verbosity"]
    return fields


def _reasoning_fields(reasoning: Any) -> dict[str, Any]:
    effort = reasoning.get("effort") if isinstance(reasoning, Mapping) else None
    return {} if effort is None else {"reasoning_effort": effort}


def _length_fields(body: Mapping[str, Any]) -> dict[str, Any]:
    # Servers with only chat completions know this name; `max_completion_tokens` is OpenAI's own.
    limit = body.get("max_output_tokens")
    return {} if limit is None else {"max_tokens": limit}


def _logprob_fields(body: Mapping[str, Any]) -> dict[str, Any]:
    include = body.get("include")
    wanted = isinstance(include, list) and "message.output_text.logprobs" in include
    return {"logprobs": True} if wanted or body.get("top_logprobs") else {}
