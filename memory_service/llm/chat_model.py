"""The chat model: one answer of any server that speaks OpenAI's chat completions.

It is used in the background only; `upstream` streams answers to callers. Messages of the server are
not passed on: some repeat the texts they were sent, and errors are logged.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

import httpx2
from openai import APIConnectionError, APIStatusError, APITimeoutError, Omit
from pydantic import BaseModel, Field, ValidationError
from tenacity import sleep_using_event, stop_after_attempt

from memory_service.core.errors import ChatModelDown, ChatModelRefused
from memory_service.core.models import ModelAnswer
from memory_service.llm.endpoint import AUTHORIZATION, Endpoint
from memory_service.llm.openai_client import codes, may_pass, plain_client, retry_after
from memory_service.llm.retries import Pause, retrying

THINKING_TOKENS = 4_000
"""Added to the limit of reasoning models, whose limit covers their reasoning and their answer."""

_PATH = "/chat/completions"
_TRIES = 3
_HINTS = {
    401: " Check MEMORY_UPSTREAM_API_KEY.",
    403: " Check MEMORY_UPSTREAM_API_KEY.",
    404: " Check MEMORY_SUMMARY_MODEL and MEMORY_UPSTREAM_BASE_URL.",
}


class _Message(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Completion(BaseModel):
    choices: list[_Choice] = Field(min_length=1)


class OpenAIChatModel:
    """The models behind one endpoint; safe for several threads."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        api_key: str | None,
        timeout_seconds: float,
        headers: Mapping[str, str] | None = None,
        pause: Pause | None = None,
    ) -> None:
        """Open no connection yet.

        `timeout_seconds` is for one try; `pause` waits between two tries; `headers` are sent with
        each request.
        """
        self._endpoint = endpoint
        # The client sends the key as Authorization unless that is left out.
        key = endpoint.key_headers(f"Bearer {api_key}") if api_key else {}
        self._headers: dict[str, str | Omit] = {AUTHORIZATION: Omit(), **(headers or {}), **key}
        self._client = plain_client(endpoint.root, api_key)
        self._timeout_seconds = timeout_seconds
        self._closing = threading.Event()
        self._pause: Pause = pause or sleep_using_event(self._closing)
        # Models that refused `max_tokens`: they know their limit by its newer name only.
        self._thinking: set[str] = set()

    def answer(
        self, messages: Sequence[Mapping[str, str]], *, model: str, max_tokens: int
    ) -> ModelAnswer:
        """Return the model's answer; a failure that may pass is tried again a few times."""
        retries = retrying(
            ChatModelDown, stop_after_attempt(_TRIES), pause=self._pause, closing=self._closing
        )
        return _read(retries(self._ask, messages, model, max_tokens))

    def close(self) -> None:
        """End waits between tries with ChatModelDown and release connections."""
        self._closing.set()
        self._client.close()

    def _ask(
        self, messages: Sequence[Mapping[str, str]], model: str, max_tokens: int
    ) -> _Completion:
        try:
            return self._send(messages, model, max_tokens)
        except APIStatusError as error:
            if model not in self._thinking and _refuses_max_tokens(error):
                self._thinking.add(model)
                return self._ask(messages, model, max_tokens)
            raise self._failure(error) from error
        except APITimeoutError as error:
            raise ChatModelDown(
                f"{self._endpoint.name} did not answer within {self._timeout_seconds:.3g} s."
            ) from error
        except APIConnectionError as error:
            raise ChatModelDown(f"{self._endpoint.name} cannot be reached.") from error
        except RuntimeError as error:
            # The HTTP client raises it if another thread has closed it.
            raise ChatModelDown("The model is closed.") from error
        except ValidationError as error:
            raise ChatModelDown(
                f"{self._endpoint.name} sent something else than an answer."
            ) from error

    def _send(
        self, messages: Sequence[Mapping[str, str]], model: str, max_tokens: int
    ) -> _Completion:
        limit = (
            {"max_completion_tokens": max_tokens + THINKING_TOKENS}
            if model in self._thinking
            else {"max_tokens": max_tokens}
        )
        # Not by the client's own method: Azure has a path for each model.
        answer = self._client.post(
            self._endpoint.url(_PATH, model=model),
            cast_to=httpx2.Response,
            body={"messages": [dict(message) for message in messages], "model": model, **limit},
            options={"timeout": self._timeout_seconds, "headers": self._headers},
        )
        return _Completion.model_validate_json(answer.content)

    def _failure(self, error: APIStatusError) -> ChatModelDown | ChatModelRefused:
        """Return the error for a status: a failure that may pass, or a refusal."""
        message = f"{self._endpoint.name} answered {error.status_code}{codes(error)}."
        if may_pass(error):
            return ChatModelDown(message, retry_after_seconds=retry_after(error.response.headers))
        return ChatModelRefused(message + _HINTS.get(error.status_code, ""))


def _refuses_max_tokens(error: APIStatusError) -> bool:
    """Return whether a model refuses `max_tokens`, as reasoning models do."""
    return error.status_code == 400 and error.param == "max_tokens"


def _read(completion: _Completion) -> ModelAnswer:
    choice = completion.choices[0]
    text = (choice.message.content or "").strip()
    if not text:
        raise ChatModelRefused(f"The model gave no answer ({_reason(choice)}).")
    return ModelAnswer(text, is_whole=choice.finish_reason != "length")


def _reason(choice: _Choice) -> str:
    """Return why an answer is empty."""
    if choice.message.refusal or choice.finish_reason == "content_filter":
        return "it refused"
    return "it reached its limit" if choice.finish_reason == "length" else "it is empty"
