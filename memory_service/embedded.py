"""The service inside a program, without HTTP: `open_memory`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from memory_service.conversations.idempotency import UNIDENTIFIED
from memory_service.conversations.requests import NewConversation
from memory_service.core import clock
from memory_service.core.errors import InvalidRequest, NotFound
from memory_service.core.models import Hit, Prompt, Turn
from memory_service.core.settings import load_settings
from memory_service.items.conversation_items import parse_item
from memory_service.items.fields import check_id, check_user_id
from memory_service.items.strict_json import dumps
from memory_service.prompts.request import PromptRequest
from memory_service.recall.query import Query
from memory_service.service import LOCAL_PROJECT, Service


def open_memory(
    data_dir: str | Path | None = None, *, project: str = LOCAL_PROJECT, **settings: object
) -> Memory:
    """Open a data folder in this process; `settings` are those of docs/settings.md, in lower case.

    Raises StartupError if another process holds the folder.
    """
    folder = None if data_dir is None else Path(data_dir)
    chosen = load_settings(data_dir=folder, **settings)
    return Memory(Service.open(chosen, purpose="open_memory"), project)


class Memory:
    """Conversations of one project; a context manager."""

    def __init__(self, service: Service, project: str) -> None:
        self._service = service
        with service.log.write() as transaction:
            self._project = transaction.projects.ensure(project, clock.now())

    def add(
        self,
        conversation: str,
        role: str,
        content: str | Sequence[Mapping[str, Any]],
        *,
        user: str | None = None,
        name: str | None = None,
        created_at: float | str | None = None,
    ) -> Turn:
        """Store one message; a new conversation is made, for `user` if one is given."""
        return self.add_items(
            conversation,
            [{"role": role, "content": content, "name": name, "created_at": created_at}],
            user=user,
        )[0]

    def add_items(
        self, conversation: str, items: Sequence[Mapping[str, Any]], *, user: str | None = None
    ) -> Sequence[Turn]:
        """Store items or chat messages, tool calls too; known ids are not stored again."""
        turns = [
            parse_item(item, dumps(item), {}, self._service.item_limits, f"items.{number}")
            for number, item in enumerate(items)
        ]
        writer = self._service.writer
        try:
            return writer.append(self._project, conversation, turns, UNIDENTIFIED).turns
        except NotFound:
            new = NewConversation(
                id=check_id(conversation, "conversation"),
                user=None if user is None else check_user_id(user, "user"),
                title=None,
                metadata={},
            )
            return writer.create_conversation(self._project, new, turns, UNIDENTIFIED).turns

    def search(
        self,
        query: str,
        *,
        conversation: str | None = None,
        user: str | None = None,
        top_k: int = 10,
    ) -> Sequence[Hit]:
        """Return the turns of a conversation, or of all of a user's, that a query is about."""
        recall_query = Query(query, top_k)
        if (conversation is None) == (user is None):
            raise InvalidRequest("Give exactly one of 'conversation' and 'user'.")
        recaller = self._service.recaller
        if conversation is not None:
            return recaller.in_conversation(self._project, conversation, recall_query).hits
        return recaller.of_user(self._project, str(user), recall_query).hits

    def build_prompt(
        self,
        conversation: str,
        input: str | Sequence[Mapping[str, Any]],  # noqa: A002 - the name of the HTTP field
        *,
        instructions: str | None = None,
        model: str | None = None,
        token_budget: int | None = None,
        max_output_tokens: int | None = None,
        tools: Sequence[Mapping[str, Any]] = (),
        recent_tokens: int | None = None,
        recent_turns: int | None = None,
        top_k: int | None = None,
    ) -> Prompt:
        """Return messages that fit: system, recent turns, recalled turns and the input."""
        new = [{"role": "user", "content": input}] if isinstance(input, str) else list(input)
        request = PromptRequest(
            input=new,
            instructions=instructions,
            model=model,
            token_budget=token_budget,
            max_output_tokens=max_output_tokens,
            tools=tools,
            recent_tokens=recent_tokens,
            recent_turns=recent_turns,
            top_k=top_k,
        )
        return self._service.prompts.build(self._project, conversation, request)

    def close(self) -> None:
        """Close the folder; what is not indexed yet is indexed at the next opening."""
        self._service.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
