"""Which data of its project a request may reach.

A request acts as a user if its API key is bound to one, or if its path has the prefix `/u/{user}`.
It then reaches only what is this user's; everything else returns 404, as if it did not exist.
"""

from __future__ import annotations

from collections.abc import Mapping

from memory_service.conversations.lookup import find_conversation
from memory_service.core.errors import Forbidden, NotFound
from memory_service.core.models import Conversation, KeyAccess, StoredCompletion
from memory_service.turn_log.transactions import ReadTransaction


def check_path_ids(snapshot: ReadTransaction, access: KeyAccess, ids: Mapping[str, str]) -> None:
    """Raise NotFound if the path names something that the request cannot reach."""
    if "user_id" in ids:
        readable_user(access, ids["user_id"], param="user_id")
    if "conversation_id" in ids:
        readable_conversation(snapshot, access, ids["conversation_id"])
    if "completion_id" in ids:
        _check_completion(snapshot, access, ids["completion_id"])
    if "response_id" in ids:
        _check_response(snapshot, access, ids["response_id"])


def _check_completion(snapshot: ReadTransaction, access: KeyAccess, completion_id: str) -> None:
    completion = snapshot.completions.get(access.project_key, completion_id)
    if completion is not None:
        readable_completion(snapshot, access, completion, param="completion_id")


def readable_completion(
    snapshot: ReadTransaction, access: KeyAccess, completion: StoredCompletion, *, param: str
) -> StoredCompletion:
    """Return a stored completion if the request can reach it; raises NotFound otherwise."""
    if access.user is None:
        return completion
    key = completion.conversation_key
    conversation = None if key is None else snapshot.conversations.by_key(key)
    if conversation is None or conversation.user != access.user:
        raise NotFound(f"No stored chat completion {completion.id!r}.", param=param)
    return completion


def _check_response(snapshot: ReadTransaction, access: KeyAccess, response_id: str) -> None:
    response = snapshot.responses.get(access.project_key, response_id)
    if response is None:
        return  # The route says so.
    conversation = snapshot.conversations.by_key(response.conversation_key)
    if conversation is None or conversation.user != access.user:
        raise NotFound(f"Response with id {response_id!r} not found.", param="response_id")


def readable_conversation(
    snapshot: ReadTransaction,
    access: KeyAccess,
    conversation_id: str,
    *,
    param: str = "conversation_id",
) -> Conversation:
    """Return a conversation that the request can reach; raises NotFound that names `param`."""
    conversation = find_conversation(snapshot, access.project_key, conversation_id, param=param)
    if access.user is not None and conversation.user != access.user:
        raise NotFound(f"No conversation {conversation_id!r}.", param=param)
    return conversation


def readable_user(access: KeyAccess, user: str | None, *, param: str) -> str | None:
    """Return the user whose data a request reads, None for the whole project; raises NotFound."""
    if access.user is None or user is None:
        return user or access.user
    if user != access.user:
        raise NotFound(f"No user {user!r}.", param=param)
    return user


def owning_user(access: KeyAccess, user: str | None, *, param: str) -> str | None:
    """Return the user that new data belongs to; raises Forbidden for another than the acting."""
    if access.user is not None and user not in (None, access.user):
        raise Forbidden(f"This request acts as user {access.user!r}.", param=param)
    return user or access.user


def is_readable_key(snapshot: ReadTransaction, access: KeyAccess, user_key: int | None) -> bool:
    """Return whether data of the user with a key, None for no user, can be reached.

    Nobody's data are those of a user that was deleted: only whoever deleted them knows their ids.
    """
    if access.user is None:
        return True
    if user_key is None:
        return False
    owner = snapshot.users.by_key(user_key)
    return owner is None or owner == access.user
