"""Identify a request: its conversation, its user, and whether it is conversation.

Where sources name different conversations or users, the first of this order counts:

1. the user of the API key;
2. the headers of this service, `x-conversation-id` and `x-user-id`;
3. the path prefix, `/u/{user}` and `/c/{conversation}`;
4. fields of OpenAI's API;
5. what known clients send (`clients`);
6. the default user of the settings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from memory_service.core.errors import Forbidden
from memory_service.identity.clients import KnownClient, known_clients
from memory_service.identity.ids import (
    accepted_conversation_id,
    accepted_user_id,
    given,
    given_user,
    is_session_id,
    is_temporary,
)
from memory_service.identity.sent_request import SentRequest

CONVERSATION_HEADER: Final = "x-conversation-id"
USER_HEADER: Final = "x-user-id"
KEY_SOURCE: Final = "API key"
PATH_SOURCE: Final = "path"
DEFAULT_SOURCE: Final = "default user"
TEMPORARY: Final = "temporary"

_CONVERSATION_FIELDS = (
    *("metadata.conversation_id", "conversation", "conversation.id"),
    *("metadata.session_id", "metadata.thread_id", "metadata.chat_id"),
)
_USER_FIELDS = ("user", "safety_identifier", "metadata.user_id")
_CACHE_KEY_FIELD = "prompt_cache_key"


@dataclass(frozen=True, slots=True)
class Caller:
    """What says who sent a request, beside its body. Names of headers are in lower case."""

    headers: Mapping[str, str] = field(default_factory=dict)
    key_user: str | None = None
    path_user: str | None = None
    path_conversation: str | None = None
    default_user: str | None = None


class NamedId(NamedTuple):
    """An id as a client sent it, and the source that named it."""

    text: str
    source: str


@dataclass(frozen=True, slots=True)
class Identity:
    """Who sent a request, and in which conversation.

    `skipped` says why a request is no conversation ("title", "temporary", …), None if it is one.
    The sources say what named the conversation and the user.
    """

    conversation_id: str | None = None
    user: str | None = None
    conversation_source: str | None = None
    user_source: str | None = None
    previous_response_id: str | None = None
    skipped: str | None = None

    @property
    def is_bound(self) -> bool:
        """Whether the API key decides the user: nothing of others may be read or written."""
        return self.user_source == KEY_SOURCE

    def may_continue(self, owner: str | None) -> bool:
        """Return whether a conversation of `owner` (None: of nobody) may be the user's too."""
        return owner == self.user or (owner is None and not self.is_bound)

    @property
    def is_default_user(self) -> bool:
        """Whether nothing named the user, so that the settings' default user is meant."""
        return self.user_source == DEFAULT_SOURCE


def identify(caller: Caller, body: Mapping[str, Any]) -> Identity:
    """Return the identity of a request; raises Forbidden if the key is bound to another user."""
    request = SentRequest(caller.headers, body)
    clients = [client for client in known_clients() if client.sent(request)]
    conversation = next(_conversations(caller, request, clients), None)
    user = next(_users(caller, request, clients), None)
    if user is not None and user.source == KEY_SOURCE:
        _check_bound_user(caller, user.text)
    skipped = _skip_reason(request, conversation)
    return Identity(
        conversation_id=conversation and accepted_conversation_id(conversation.text),
        user=user and accepted_user_id(user.text),
        conversation_source=conversation and conversation.source,
        user_source=user and user.source,
        previous_response_id=given(body.get("previous_response_id")),
        skipped=skipped,
    )


def _conversations(
    caller: Caller, request: SentRequest, clients: list[KnownClient]
) -> Iterator[NamedId]:
    """Yield the conversations that a request names, the one that counts first."""
    yield from _given(caller.headers.get(CONVERSATION_HEADER), CONVERSATION_HEADER)
    yield from _given(caller.path_conversation, PATH_SOURCE)
    for path in _CONVERSATION_FIELDS:
        yield from _given(request.field(path), path)
    for client in clients:
        for source in client.conversation:
            yield from _given(source.read(request), str(source))
    for named in _given(request.field(_CACHE_KEY_FIELD), _CACHE_KEY_FIELD):
        # Many programs send one constant for all their users. It would mix their conversations.
        if is_session_id(named.text) and named.text != given(request.field("user")):
            yield named


def _users(caller: Caller, request: SentRequest, clients: list[KnownClient]) -> Iterator[NamedId]:
    """Yield the users that a request names, the one that counts first."""
    yield from _given_user(caller.key_user, KEY_SOURCE)
    yield from _given_user(caller.headers.get(USER_HEADER), USER_HEADER)
    yield from _given_user(caller.path_user, PATH_SOURCE)
    conversation_fields = {
        source.name
        for client in clients
        for source in client.conversation
        if source.kind == "field"
    }
    for path in _USER_FIELDS:
        if path not in conversation_fields:
            yield from _given_user(request.field(path), path)
    for client in clients:
        for source in client.user:
            yield from _given_user(source.read(request), str(source))
    yield from _given_user(caller.default_user, DEFAULT_SOURCE)


def _check_bound_user(caller: Caller, bound_user: str) -> None:
    """Raise Forbidden if the header or the path names another user than the key's.

    Fields that clients fill in by themselves, such as `user`, are ignored with such a key.
    """
    for user, param in ((caller.headers.get(USER_HEADER), USER_HEADER), (caller.path_user, "path")):
        if given_user(user) not in (None, bound_user):
            raise Forbidden("This API key acts as another user.", param=param)


def _skip_reason(request: SentRequest, conversation: NamedId | None) -> str | None:
    """Return why a request is no conversation, None if it is one.

    The rules of all clients are tried, since most clients cannot be recognised otherwise.
    """
    if conversation is not None and is_temporary(conversation.text):
        return TEMPORARY
    for client in known_clients():
        for rule in client.skipped:
            if rule.pattern.matches(request):
                return rule.reason
    return None


def _given(value: Any, source: str) -> Iterator[NamedId]:
    text = given(value)
    if text is not None:
        yield NamedId(text, source)


def _given_user(value: Any, source: str) -> Iterator[NamedId]:
    text = given_user(value)
    if text is not None:
        yield NamedId(text, source)
