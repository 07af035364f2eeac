"""How families of servers refuse a prompt that does not fit their window.

Each refusal is a function of the window, the prompt's tokens and the reserved answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from tests.support.upstream.replies import Reply

Refusal = Callable[[int, int, int], Reply]


def too_long(limit: int, tokens: int, _reserved: int = 0) -> Reply:
    """Refuse a prompt with OpenAI's message."""
    message = (
        f"This model's maximum context length is {limit} tokens. "
        f"However, your messages resulted in {tokens} tokens."
    )
    return _refusal(400, message, param="messages", code="context_length_exceeded")


def _vllm(limit: int, tokens: int, reserved: int) -> Reply:
    message = (
        f"This model's maximum context length is {limit} tokens. However, you requested "
        f"{tokens + reserved} tokens ({tokens} in the messages, {reserved} in the completion). "
        "Please reduce the length of the messages or completion."
    )
    body = {"object": "error", "message": message, "type": "BadRequestError", "code": 400}
    return Reply(status=400, body=body)


def _llama_cpp(limit: int, tokens: int, _: int) -> Reply:
    message = "the request exceeds the available context size, try increasing it"
    error = {"code": 400, "message": message, "type": "exceed_context_size_error"}
    return Reply(status=400, body={"error": {**error, "n_prompt_tokens": tokens, "n_ctx": limit}})


def _tgi(limit: int, tokens: int, reserved: int) -> Reply:
    message = (
        f"Input validation error: `inputs` tokens + `max_new_tokens` must be <= {limit}. "
        f"Given: {tokens} `inputs` tokens and {reserved} `max_new_tokens`"
    )
    return Reply(status=422, body={"error": message, "error_type": "validation"})


def _gemini(limit: int, tokens: int, _: int) -> Reply:
    message = (
        f"The input token count ({tokens}) exceeds the maximum number of tokens allowed ({limit})."
    )
    error = {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}
    return Reply(status=400, body=[{"error": error}])


def _anthropic(limit: int, tokens: int, _: int) -> Reply:
    message = f"prompt is too long: {tokens} tokens > {limit} maximum"
    return _refusal(400, message, type="invalid_request_error")


def _openrouter(limit: int, tokens: int, reserved: int) -> Reply:
    inner = too_long(limit, tokens, reserved).body
    metadata = {"raw": json.dumps(inner), "provider_name": "Azure"}
    error = {"message": "Provider returned error", "code": 400, "metadata": metadata}
    return Reply(status=400, body={"error": error})


def _groq(_limit: int, _tokens: int, _: int) -> Reply:
    message = "Please reduce the length of the messages or completion."
    return _refusal(413, message, type="invalid_request_error", code="context_length_exceeded")


def _mistral(limit: int, tokens: int, _: int) -> Reply:
    message = (
        f"Prompt contains {tokens} tokens and 0 draft tokens, too large for model with {limit} "
        "maximum context length"
    )
    body = {"object": "error", "message": message, "type": "invalid_request_error", "code": "3051"}
    return Reply(status=400, body=body)


def _refusal(status: int, message: str, **fields: Any) -> Reply:
    error: Mapping[str, Any] = {"type": "error", "param": None, "code": None, **fields}
    return Reply(status=status, body={"error": {"message": message, **error}})


REFUSALS: Final[Mapping[str, Refusal]] = {
    "openai": too_long,
    "vllm": _vllm,
    "llama.cpp": _llama_cpp,
    "tgi": _tgi,
    "gemini": _gemini,
    "anthropic": _anthropic,
    "openrouter": _openrouter,
    "groq": _groq,
    "mistral": _mistral,
}
"""The refusals by the name of the family."""
