"""Fake models and embedders that fail, refuse or wait."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence

from memory_service.core.errors import ChatModelRefused, EmbedderDown, EmbedderRefused
from memory_service.core.models import ModelAnswer, Vector
from memory_service.testing import HashingEmbedder, RepeatingModel


class InterruptedModel(RepeatingModel):
    """A model that calls `meanwhile` during its first answer."""

    meanwhile: Callable[[], object] | None = None

    def answer(
        self, messages: Sequence[Mapping[str, str]], *, model: str, max_tokens: int
    ) -> ModelAnswer:
        """Call it, and answer."""
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        return super().answer(messages, model=model, max_tokens=max_tokens)


class RefusingModel(RepeatingModel):
    """A model that refuses prompts with a certain word; `refused` counts them."""

    def __init__(self, word: str) -> None:
        super().__init__()
        self.word, self.refused = word, 0

    def answer(
        self, messages: Sequence[Mapping[str, str]], *, model: str, max_tokens: int
    ) -> ModelAnswer:
        """Refuse, or answer."""
        if self.word in messages[-1]["content"]:
            self.refused += 1
            raise ChatModelRefused("The prompt is refused.")
        return super().answer(messages, model=model, max_tokens=max_tokens)


class FixedModel(RepeatingModel):
    """A model that always gives the same answer."""

    def __init__(self, text: str, *, is_whole: bool = True) -> None:
        super().__init__()
        self.fixed = ModelAnswer(text, is_whole)

    def answer(
        self,
        messages: Sequence[Mapping[str, str]],  # noqa: ARG002 - the answer is fixed
        *,
        model: str,  # noqa: ARG002
        max_tokens: int,  # noqa: ARG002
    ) -> ModelAnswer:
        """Return the answer."""
        return self.fixed


class SlowModel(RepeatingModel):
    """A model that answers once `go` is set; `waiting` counts the callers."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.waiting = 0

    def answer(
        self, messages: Sequence[Mapping[str, str]], *, model: str, max_tokens: int
    ) -> ModelAnswer:
        """Wait, and answer."""
        self.waiting += 1
        self.go.wait(30)
        return super().answer(messages, model=model, max_tokens=max_tokens)


class RemoteEmbedder(HashingEmbedder):
    """An embedder that does not embed with the write, and raises the given failures first."""

    embeds_with_write = False

    def __init__(self, *failures: EmbedderDown | EmbedderRefused) -> None:
        super().__init__()
        self.failures = list(failures)

    def embed_documents(self, texts: Sequence[str]) -> list[Vector | None]:
        """Fail, or embed."""
        if self.failures:
            raise self.failures.pop()
        return super().embed_documents(texts)
