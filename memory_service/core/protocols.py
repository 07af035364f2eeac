"""Protocols of the adapters: embedder, chat model, vector index, upstream."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Mapping, Sequence
from typing import Literal, Protocol

from memory_service.core.models import CallerKey, Matrix, ModelAnswer, Vector


class Embedder(Protocol):
    """Makes vectors of texts. Every vector is finite and of unit length, shape (dimension,).

    Raises EmbedderDown for failures that may pass and EmbedderRefused for others; both may name the
    texts they are about, so that the others can be embedded without them. No text is cut.
    """

    @property
    def name(self) -> str:
        """A name that changes whenever the vectors of texts change."""

    @property
    def dimension(self) -> int:
        """The length of every vector."""

    @property
    def embeds_with_write(self) -> bool:
        """Whether it is fast, in this process and never fails: it then embeds with each write."""

    def embed_documents(self, texts: Sequence[str]) -> list[Vector | None]:
        """Return a vector for each text, or None for a text without anything to embed."""

    def embed_query(
        self, text: str, weights: Sequence[tuple[int, int, float]] = ()
    ) -> Vector | None:
        """Return the vector of a query.

        `weights` are (start, end, weight) spans of the text in characters: tokens in a span count
        by its weight, all others not at all. Embedders without access to single tokens ignore
        them.
        """

    def word_vectors(self, words: Sequence[str]) -> Matrix | None:
        """Return the vectors of single words, shape (words, dimension), at most of unit length.

        None from embedders that would need a request to a model.
        """

    def close(self) -> None:
        """Release connections; waiting calls of other threads end with EmbedderDown."""


class ChatModel(Protocol):
    """A model that answers one prompt. Safe for several threads.

    Raises ChatModelDown for failures that may pass and ChatModelRefused for others.
    """

    def answer(
        self, messages: Sequence[Mapping[str, str]], *, model: str, max_tokens: int
    ) -> ModelAnswer:
        """Return the model's answer to chat-completions messages, at least one character.

        `max_tokens` is sent to the server, which may exceed it: callers count again.
        """

    def close(self) -> None:
        """Release connections and end waits between tries; calls then raise ChatModelDown."""


class VectorIndex(Protocol):
    """Vectors by internal key, in numbered collections; it can be rebuilt from the log at any time.

    A key is a passage, a group is the conversation it belongs to. Every method raises
    VectorIndexDown if it cannot do its work now.
    """

    def upsert(
        self, collection: int, keys: Sequence[int], groups: Sequence[int], vectors: Matrix
    ) -> None:
        """Add or replace vectors; durable on return."""

    def delete(self, collection: int, keys: Sequence[int]) -> None:
        """Remove vectors; unknown keys are ignored."""

    def load(self, collection: int) -> None:
        """Load a collection into memory, which may take long; an unknown one is ignored."""

    def drop(self, collection: int) -> None:
        """Remove a collection; an unknown one is ignored."""

    def query(
        self, collection: int, vector: Vector, groups: Sequence[int] | None, limit: int
    ) -> Mapping[int, float]:
        """Return the cosine similarities of the nearest keys of some groups; None means all."""

    def collections(self) -> set[int]:
        """Return the numbers of all collections."""

    def count(self, collection: int) -> int:
        """Return how many vectors a collection holds; an unknown one is empty."""

    def keys(self, collection: int) -> set[int]:
        """Return all keys of a collection; an unknown one is empty."""

    def vectors(self, collection: int, keys: Sequence[int]) -> Mapping[int, Vector]:
        """Return the vectors of the keys that a collection holds."""

    def compact(self) -> None:
        """Remove vectors of dropped collections from the files.

        A collection's own files may keep vectors that were deleted from it until it is dropped.
        """

    def reset(self) -> None:
        """Remove everything, readable or not, and continue empty."""

    def close(self) -> None:
        """Release files and threads."""


class UpstreamAnswer(Protocol):
    """A model's answer whose status and headers have arrived."""

    @property
    def status(self) -> int:
        """The HTTP status."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers that concern the caller, their names in lower case."""

    def chunks(self) -> AsyncGenerator[bytes]:
        """Yield the body's bytes as they come; raises UpstreamDown if it breaks off."""

    async def read(self) -> bytes:
        """Return the whole body; raises UpstreamDown if it breaks off."""

    async def close(self) -> None:
        """Release the connection; an unfinished answer is cancelled."""


class RawUpstreamAnswer(UpstreamAnswer, Protocol):
    """An answer with everything that came with it; its body stays compressed if it was."""

    @property
    def passed_headers(self) -> Sequence[tuple[str, str]]:
        """All headers but those of the connection and of the upstream's own host."""


class Upstream(Protocol):
    """A model server behind the gateway.

    A path begins with a slash and is below the upstream's base URL. A `query` is percent-encoded
    and has no question mark.
    Raises UpstreamDown, and UpstreamTimeout, if no answer begins.
    """

    @property
    def name(self) -> str:
        """Its name in the settings, or its base URL without credentials, query and final slash."""

    @property
    def has_path_by_model(self) -> bool:
        """Whether the model decides the path of some requests."""

    def uses_key_of(self, caller: CallerKey) -> bool:
        """Return whether a request would be sent with the caller's key, not with ours or none."""

    async def complete(
        self,
        content: bytes,
        caller: CallerKey,
        headers: Mapping[str, str],
        *,
        model: str | None = None,
    ) -> UpstreamAnswer:
        """Send a chat completion's body."""

    async def respond(
        self,
        content: bytes,
        caller: CallerKey,
        headers: Mapping[str, str],
        *,
        model: str | None = None,
    ) -> UpstreamAnswer:
        """Send the body of a request for a response."""

    async def models(self, caller: CallerKey, headers: Mapping[str, str]) -> UpstreamAnswer:
        """Ask for the list of models."""

    async def request(
        self,
        method: str,
        path: str,
        caller: CallerKey,
        headers: Mapping[str, str],
        *,
        query: str = "",
        content: bytes | AsyncIterable[bytes] | None = None,
        model: str | None = None,
    ) -> RawUpstreamAnswer:
        """Send any request."""

    async def close(self) -> None:
        """Close all connections."""


ListKind = Literal["openai", "lm_studio", "ollama"]
"""The form of a list of models: OpenAI's `GET /v1/models`, or a local server's own route."""


class ModelLists(Protocol):
    """The lists of models of one server, which are asked for in the background."""

    @property
    def is_nearby(self) -> bool:
        """Whether the server is on this machine or a private network."""

    @property
    def kinds(self) -> Sequence[ListKind]:
        """The lists that may be asked for, the likeliest first."""

    async def fetch(self, kind: ListKind) -> bytes | None:
        """Return a list's body, None if the server does not have it or cannot be reached."""

    async def close(self) -> None:
        """Close all connections."""
