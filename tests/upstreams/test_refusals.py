"""Refusals of prompts that are too long, in the bodies that servers send."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_service.core.data_files import read_toml
from memory_service.upstreams.refusals import STATUSES, Refusal, refusal_of


def openai(message: str, code: str | None = "context_length_exceeded", **fields: Any) -> Any:
    """Return an error in OpenAI's envelope."""
    kind = "invalid_request_error"
    return {"error": {"message": message, "type": kind, "param": "messages", "code": code} | fields}


def vllm(message: str) -> Any:
    """Return an error as vLLM and SGLang send it."""
    return {
        "object": "error",
        "message": message,
        "type": "BadRequestError",
        "param": None,
        "code": 400,
    }


LIMIT = "This model's maximum context length is"

BODIES: dict[str, tuple[int, Any, Refusal]] = {
    "OpenAI": (
        400,
        openai(
            f"{LIMIT} 8192 tokens. However, you requested 8256 tokens (64 in the messages, 8192 in "
            "the completion). Please reduce the length of the messages or completion."
        ),
        Refusal(8192, 64, 8192),
    ),
    "OpenAI with functions": (
        400,
        openai(
            f"{LIMIT} 8192 tokens. However, you requested 8213 tokens (6683 in the messages, 730 in"
            " the functions, and 800 in the completion). Please reduce the length of the messages, "
            "functions, or completion."
        ),
        Refusal(8192, 7413, 800),
    ),
    "Azure": (
        400,
        openai(
            f"{LIMIT} 128000 tokens. However, your messages resulted in 202868 tokens (202767 in "
            "the messages, 101 in the functions). Please reduce the length of the messages."
        ),
        Refusal(128_000, 202_868),
    ),
    "OpenAI completions": (
        400,
        openai(
            f"{LIMIT} 4097 tokens, however you requested 4569 tokens (3545 in your prompt; 1024 "
            "for the completion). Please reduce your prompt; or completion length.",
            code=None,
        ),
        Refusal(4097, 3545, 1024),
    ),
    "OpenAI configured limit": (
        400,
        openai(
            "Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in "
            "300001 tokens. Please reduce the length of the messages."
        ),
        Refusal(272_000, 300_001, counts_answer=False),
    ),
    "OpenAI without counts": (
        400,
        openai(
            "Your input exceeds the context window of this model. Please adjust your input and try "
            "again."
        ),
        Refusal(),
    ),
    "DeepSeek": (
        400,
        openai(
            f"{LIMIT} 65536 tokens. However, you requested 87731 tokens (87731 in the messages, 0 "
            "in the completion). Please reduce the length of the messages or completion.",
            code="invalid_request_error",
        ),
        Refusal(65_536, 87_731, 0),
    ),
    "vLLM before 0.9": (
        400,
        vllm(
            f"{LIMIT} 16384 tokens. However, you requested 122946 tokens (112946 in the messages, "
            "10000 in the completion). Please reduce the length of the messages or completion. None"
        ),
        Refusal(16_384, 112_946, 10_000),
    ),
    "vLLM": (
        400,
        {
            "error": {
                "message": f"{LIMIT} 128000 tokens. However, you requested 65535 output tokens and "
                "your prompt contains at least 62466 input tokens, for a total of at least 128001 "
                "tokens. Please reduce the length of the input prompt or the number of requested "
                "output tokens. (parameter=input_tokens, value=62466)",
                "type": "BadRequestError",
                "param": "input_tokens",
                "code": 400,
            }
        },
        Refusal(128_000, 62_466, 65_535),
    ),
    "vLLM max_tokens": (
        400,
        vllm(
            "'max_tokens' or 'max_completion_tokens' is too large: 64000. This model's maximum "
            "context length is 64001 tokens and your request has 24235 input tokens (64000 > 64001 "
            "- 24235). None"
        ),
        Refusal(64_001, 24_235, 64_000),
    ),
    "vLLM prompt alone": (
        400,
        vllm(
            "The decoder prompt (length 5000) is longer than the maximum model length of 4096. "
            "Make sure that `max_model_len` is no smaller than the number of text tokens."
        ),
        Refusal(4096, 5000),
    ),
    "vLLM renderer": (
        400,
        vllm(
            "You passed 4001 input tokens and requested 128 output tokens. However, the model's "
            "context length is only 4096 tokens, resulting in a maximum input length of 3968 tokens"
        ),
        Refusal(4096, 4001, 128),
    ),
    "vLLM 0.4": (400, vllm("max_tokens must be at least 1, got -186."), Refusal()),
    "llama.cpp": (
        400,
        {
            "error": {
                "code": 400,
                "message": "request (66202 tokens) exceeds the available context size (65536 "
                "tokens), try increasing it",
                "type": "exceed_context_size_error",
                "n_prompt_tokens": 66202,
                "n_ctx": 65536,
            }
        },
        Refusal(65_536, 66_202),
    ),
    "llama.cpp behind status 500": (
        500,
        openai(
            "the request exceeds the available context size. try increasing the context size or "
            "enable context shift",
            type="exceed_context_size_error",
            n_prompt_tokens=1407,
            n_ctx=256,
        ),
        Refusal(256, 1407),
    ),
    "llama.cpp with status 200": (
        200,
        openai(
            "the request exceeds the available context size. try increasing the context size",
            n_prompt_tokens=14429,
            n_ctx=8192,
        ),
        Refusal(8192, 14_429),
    ),
    "llama-cpp-python": (
        500,
        {
            "error": {
                "message": "Requested tokens (5160) exceed context window of 512",
                "type": "internal_server_error",
                "param": None,
                "code": None,
            }
        },
        Refusal(512, 5160),
    ),
    "Ollama": (
        400,
        {"error": "prompt too long; exceeded max context length by 100918 tokens"},
        Refusal(over=100_918),
    ),
    "Ollama without counts": (
        500,
        openai("the input length exceeds the context length", code=None),
        Refusal(),
    ),
    "LM Studio": (
        400,
        {
            "error": "Trying to keep the first 10136 tokens when context the overflows. However, "
            "the model is loaded with context length of only 7866 tokens, which is not enough. Try "
            "to load the model with a larger context length, or provide a shorter input"
        },
        Refusal(7866, 10_136),
    ),
    "LM Studio engine": (
        400,
        {"error": "Cannot truncate prompt with n_keep (15028) >= n_ctx (7424)"},
        Refusal(7424, 15_028),
    ),
    "LM Studio 0.4": (
        400,
        {
            "error": "The number of tokens to keep from the initial prompt is greater than the "
            "context length (n_keep: 10247 >= n_ctx: 4096). Try to load the model with a larger "
            "context length, or provide a shorter prompt."
        },
        Refusal(4096, 10_247),
    ),
    "LM Studio MLX": (400, {"error": "Context size has been exceeded."}, Refusal()),
    "SGLang": (
        400,
        vllm(
            "Requested token count exceeds the model's maximum context length of 64000 tokens. You "
            "requested a total of 71897 tokens: 7897 tokens from the input messages and 64000 "
            "tokens for the completion. Please reduce the number of tokens in the input messages."
        ),
        Refusal(64_000, 7897, 64_000),
    ),
    "SGLang prompt alone": (
        400,
        vllm("The input (61709 tokens) is longer than the model's context length (40960 tokens)."),
        Refusal(40_960, 61_709),
    ),
    "SGLang memory": (
        400,
        vllm("Input length (160062 tokens) exceeds the maximum allowed length (59862 tokens)."),
        Refusal(59_862, 160_062, counts_answer=False),
    ),
    "Text Generation Inference": (
        422,
        {
            "error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 2048. "
            "Given: 1244 `inputs` tokens and 1000 `max_new_tokens`",
            "error_type": "validation",
        },
        Refusal(2048, 1244, 1000),
    ),
    "Text Generation Inference prompt alone": (
        422,
        {
            "error": "Input validation error: `inputs` must have less than 1024 tokens. Given: "
            "1168",
            "error_type": "validation",
        },
        Refusal(1024, 1168, counts_answer=False),
    ),
    "Together": (
        400,
        openai(
            "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4097. Given: "
            "80125 `inputs` tokens and 4096 `max_new_tokens`",
            code=None,
        ),
        Refusal(4097, 80_125, 4096),
    ),
    "Groq": (
        400,
        openai("Please reduce the length of the messages or completion."),
        Refusal(),
    ),
    "Groq tokens a minute": (
        413,
        openai(
            "Request too large for model `llama-3.3-70b-versatile` in organization `org_01` service"
            " tier `on_demand` on tokens per minute (TPM): Limit 12000, Requested 14137, please "
            "reduce your message size and try again.",
            code="rate_limit_exceeded",
            type="tokens",
        ),
        Refusal(12_000, 14_137, is_quota=True),
    ),
    "Cerebras": (
        400,
        {
            "message": "Please reduce the length of the messages or completion. Current length is "
            "42328 while limit is 40000",
            "type": "invalid_request_error",
            "param": "messages",
            "code": "context_length_exceeded",
        },
        Refusal(40_000, 42_328),
    ),
    "Mistral": (
        400,
        {
            "object": "error",
            "message": "Prompt contains 140000 tokens and 0 draft tokens, too large for model with "
            "131072 maximum context length",
            "type": "invalid_request_invalid_args",
            "param": None,
            "code": "3051",
        },
        Refusal(131_072, 140_000),
    ),
    "Gemini": (
        400,
        [
            {
                "error": {
                    "code": 400,
                    "message": "The input token count (1200293) exceeds the maximum number of "
                    "tokens allowed (1048576).",
                    "status": "INVALID_ARGUMENT",
                }
            }
        ],
        Refusal(1_048_576, 1_200_293, counts_answer=False),
    ),
    "Anthropic": (
        400,
        {
            "type": "error",
            "error": {
                "type": "invalid_request_error",
                "message": "prompt is too long: 233153 tokens > 200000 maximum",
            },
        },
        Refusal(200_000, 233_153, counts_answer=False),
    ),
    "Anthropic max_tokens": (
        400,
        {
            "type": "error",
            "error": {
                "type": "invalid_request_error",
                "message": "input length and `max_tokens` exceed context limit: 178959 + 64000 > "
                "200000, decrease input length or `max_tokens` and try again",
            },
        },
        Refusal(200_000, 178_959, 64_000),
    ),
    "Anthropic body size": (
        413,
        {
            "type": "error",
            "error": {
                "type": "request_too_large",
                "message": "Request exceeds the maximum size",
            },
        },
        Refusal(),
    ),
    "OpenRouter": (
        400,
        {
            "error": {
                "message": "This endpoint's maximum context length is 204800 tokens. However, you "
                "requested about 205432 tokens (81684 of text input, 3748 of tool input, 120000 in "
                'the output). Please reduce the length of either one, or use the "middle-out" '
                "transform to compress your prompt automatically.",
                "code": 400,
                "metadata": {"provider_name": None},
            }
        },
        Refusal(204_800, 85_432, 120_000),
    ),
    "OpenRouter without output": (
        400,
        {
            "error": {
                "message": "This endpoint's maximum context length is 16384 tokens. However, you "
                "requested about 94307 tokens (94307 of text input). Please reduce the length of "
                "either one.",
                "code": 400,
            }
        },
        Refusal(16_384, 94_307),
    ),
    "OpenRouter metadata.raw": (
        400,
        {
            "error": {
                "message": "Provider returned error",
                "code": 400,
                "metadata": {
                    "raw": json.dumps(
                        vllm(
                            "The input (516368 tokens) is longer than the model's context length "
                            "(262144 tokens)."
                        )
                    ),
                    "provider_name": "Together",
                },
            },
            "user_id": "user_1",
        },
        Refusal(262_144, 516_368),
    ),
    "xAI": (
        400,
        {
            "code": "Client specified an invalid argument",
            "error": "This model's maximum prompt length is 131072 but the request contains 136973 "
            "tokens.",
        },
        Refusal(131_072, 136_973, counts_answer=False),
    ),
    "Moonshot": (
        400,
        {
            "error": {
                "message": "Invalid request: Your request exceeded model token limit: 262144 "
                "(requested: 269030)",
                "type": "invalid_request_error",
            }
        },
        Refusal(262_144, 269_030),
    ),
    "Zhipu": (400, {"error": {"code": "1261", "message": "Prompt exceeds max length"}}, Refusal()),
    "Zhipu in Chinese": (400, {"error": {"code": "1261", "message": "Prompt 超长"}}, Refusal()),
    "Qwen": (
        400,
        openai(
            "<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 30720]",
            code="invalid_parameter_error",
        ),
        Refusal(30_720, counts_answer=False),
    ),
    "Copilot": (
        400,
        {
            "error": {
                "message": "prompt token count of 138898 exceeds the limit of 64000",
                "code": "model_max_prompt_tokens_exceeded",
            }
        },
        Refusal(64_000, 138_898, counts_answer=False),
    ),
    "Amazon Bedrock": (
        400,
        {"message": "ValidationException: Input is too long for requested model."},
        Refusal(),
    ),
    "MiniMax": (
        400,
        openai("invalid params, context window exceeds limit (2013)", code=None),
        Refusal(),
    ),
    "plain text": (503, "maximum context length is 4,096 tokens", Refusal(4096)),
}


@pytest.mark.parametrize("server", list(BODIES))
def test_refusal_of_each_server(server: str) -> None:
    status, body, expected = BODIES[server]
    content = body if isinstance(body, str) else json.dumps(body)
    assert refusal_of(status, content.encode()) == expected
    assert expected.is_consistent


OTHERS: dict[str, tuple[int, Any]] = {
    "too many requests": (429, openai(f"{LIMIT} 8192 tokens.")),
    "largest output": (
        400,
        openai(
            "max_tokens is too large: 131072. This model supports at most 16384 completion tokens, "
            "whereas you provided 131072.",
            code=None,
        ),
    ),
    "largest output of Groq": (
        400,
        openai(
            "`max_completion_tokens` must be less than or equal to `16384`, the maximum value for "
            "`max_completion_tokens` is less than the `context_window` for this model",
            code=None,
        ),
    ),
    "throttling": (503, openai("ThrottlingException: Too many tokens, please wait", code=None)),
    "request repeated in the error": (
        422,
        {"detail": [{"msg": "Field required", "input": {"messages": f"{LIMIT} 10 tokens."}}]},
    ),
    "answer with status 200": (
        200,
        {"choices": [{"message": {"content": f"{LIMIT} 10 tokens."}}]},
    ),
    "an unknown model": (400, openai("The model `m` does not exist", code="model_not_found")),
    "nothing": (400, ""),
}


@pytest.mark.parametrize("kind", list(OTHERS))
def test_other_errors_are_no_refusals_for_length(kind: str) -> None:
    status, body = OTHERS[kind]
    content = body if isinstance(body, str) else json.dumps(body)
    assert refusal_of(status, content.encode()) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.just(LIMIT + " 9 tokens"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["error", "message", "n_ctx", "raw", "x"]), inner)
    ),
    max_leaves=8,
)


@given(st.sampled_from(sorted(STATUSES)), st.binary(max_size=50) | json_values)
def test_any_body_is_read(status: int, body: Any) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    refusal = refusal_of(status, content)
    assert refusal is None or refusal.window is None or refusal.window >= 0


def test_deeply_nested_body_is_read() -> None:
    assert refusal_of(400, b"[" * 100_000) is None


def test_data_file_is_valid() -> None:
    content = read_toml("memory_service.upstreams", "refusals.toml")
    groups = {"window", "input_window", "total", "prompt", "output", "over", "quota"}
    for wording in content["wordings"]:
        assert set(wording) == {"server", "source", "pattern"}
        names = set(re.compile(wording["pattern"]).groupindex)
        assert names, wording
        assert names <= groups, wording
        assert len(names & {"window", "input_window", "quota", "over"}) == 1, wording
