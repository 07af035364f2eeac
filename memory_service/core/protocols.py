"""What the use cases ask of the outside world, and what each of these promises in return."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Protocol

from memory_service.core.models import Matrix, ModelAnswer, Vector


class Embedder(Protocol):
    """Text to vectors. Every vector is finite and of unit length, shape (dimension,).

    Raises EmbedderDown for what may pass, EmbedderRefused for what will not; both may name the
    texts they are about, and the others can then be asked for without them. No text is cut.
    """

    @property
    def name(self) -> str:
        """A name that changes whenever vectors of one text do."""

    @property
    def dimension(self) -> int:
        """The length of every vector."""

    @property
    def embeds_with_write(self) -> bool:
        """Whether it is in this process, never fails and is fast enough to embed with the write."""

    def embed_documents(self, texts: Sequence[str]) -> list[Vector | None]:
        """Return a vector for each text, or None where a text holds nothing to embed."""

    def embed_query(
        self, text: str, weights: Sequence[tuple[int, int, float]] = ()
    ) -> Vector | None:
        """Return the vector of a query.

        `weights` are (start, end, weight) stretches of the text in characters: what lies in one
        counts by its weight, the rest not at all. Embedders without access to single tokens
        ignore them.
        """

    def word_vectors(self, words: Sequence[str]) -> Matrix | None:
        """Return the vectors of single words, shape (words, dimension), at most of unit length.

        None from embedders that would have to ask a model for them.
        """

    def close(self) -> None:
        """Release connections; calls that wait elsewhere end with EmbedderDown."""


class ChatModel(Protocol):
    """A model that answers one prompt. Safe for several threads.

    Raises ChatModelDown for what may pass, ChatModelRefused for what will not.
    """

    def answer(
        self, messages: Sequence[Mapping[str, str]], *, model: str, max_tokens: int
    ) -> ModelAnswer:
        """Return what the model says to chat-completions messages, at least one character.

        `max_tokens` is asked of the model; a server may not hold it, so count again.
        """

    def close(self) -> None:
        """Release connections and end waits between tries; calls then raise ChatModelDown."""


class VectorIndex(Protocol):
    """Vectors by internal key, in numbered collections; it can be rebuilt from the log at any time.

    A key is a passage, a group is the conversation it belongs to. Every method raises
    VectorIndexDown when it cannot do its work now, whatever the reason.
    """

    def upsert(
        self, collection: int, keys: Sequence[int], groups: Sequence[int], vectors: Matrix
    ) -> None:
        """Add or replace vectors; durable on return."""

    def delete(self, collection: int, keys: Sequence[int]) -> None:
        """Remove vectors; unknown keys are no error."""

    def load(self, collection: int) -> None:
        """Bring a collection into memory, however long that takes; an unknown one is no error."""

    def drop(self, collection: int) -> None:
        """Remove a collection; an unknown one is no error."""

    def query(
        self, collection: int, vector: Vector, groups: Sequence[int] | None, limit: int
    ) -> Mapping[int, float]:
        """Return the cosine similarity of the nearest keys; `groups` None means all of them."""

    def collections(self) -> set[int]:
        """Return the collections that there are."""

    def count(self, collection: int) -> int:
        """Return how many vectors a collection holds; an unknown one is empty."""

    def keys(self, collection: int) -> set[int]:
        """Return all keys of a collection; an unknown one is empty."""

    def vectors(self, collection: int, keys: Sequence[int]) -> Mapping[int, Vector]:
        """Return the vectors of those keys that a collection holds."""

    def compact(self) -> None:
        """Remove the bytes of vectors that belong to no collection any more from the files.

        A collection's own files may keep vectors that were deleted from it until it is dropped.
        """

    def reset(self) -> None:
        """Remove everything, readable or not, and go on empty."""

    def close(self) -> None:
        """Release files and threads."""


class UpstreamAnswer(Protocol):
    """A model's answer whose beginning has come: its status and its headers."""

    @property
    def status(self) -> int:
        """The HTTP status."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers that concern the caller, their names in lower case."""

    def chunks(self) -> AsyncGenerator[bytes]:
        """Yield the body's bytes as they come; raises UpstreamDown when it breaks off."""

    async def read(self) -> bytes:
        """Return the whole body; raises UpstreamDown when it breaks off."""

    async def close(self) -> None:
        """Give the connection back; an answer that is not at its end is broken off."""


class Upstream(Protocol):
    """The one server of models that is configured. `authorization` is the header's whole value.

    Raises UpstreamDown, and UpstreamTimeout, if no answer begins.
    """

    @property
    def has_key(self) -> bool:
        """Whether the server has a key of its own; it is used where none is given."""

    async def complete(
        self, content: bytes, authorization: str | None, headers: Mapping[str, str]
    ) -> UpstreamAnswer:
        """Send a chat completion's body."""

    async def models(self, authorization: str | None, headers: Mapping[str, str]) -> UpstreamAnswer:
        """Ask for the list of models."""

    async def close(self) -> None:
        """Close all connections."""
