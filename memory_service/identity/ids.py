"""Ids as clients send them: placeholders, ids of temporary chats, and ids of any form.

An id that names a conversation or a user is whatever a client uses. The log accepts a set of
characters that is safe in paths, headers and log lines; every other id is stored under a hash.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any, Final

from memory_service.core.errors import InvalidRequest
from memory_service.items.fields import check_id, check_user_id

HASHED_ID_PREFIX: Final = "id-"
"""The beginning of the ids that stand for ids of another form."""

_HASH_CHARS: Final = 40

_PLACEHOLDER = re.compile(r"null|undefined|none|nil|nan|\[object \w+\]", re.IGNORECASE)
_NOBODY = re.compile(r"anonymous|unknown", re.IGNORECASE)
"""Users that programs name if they do not know the user: not one person with one memory."""

# A variable that was not replaced: {{CHAT_ID}}, ${USER}, {user_id}, <your user id>, %USER%.
_TEMPLATE = re.compile(r"\{\{.*\}\}|\$\{.*\}")
_WHOLE_TEMPLATE = re.compile(r"\{\w+\}|<[\w -]+>|%\w+%|\$[A-Z_]+")

_TEMPORARY = re.compile(r"(local|temporary|temp):", re.IGNORECASE)

# Ids made for one session: a UUID, a ULID, or random characters after a word for a session.
_SESSION_ID = re.compile(
    r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}"
    r"|\b[0-9A-HJKMNP-TV-Z]{26}\b"
    r"|^(?:ses|sess|session|conv|conversation|thread|thr|chat)[_:-]?[0-9A-Za-z_-]{16,}$",
    re.IGNORECASE,
)


def given(value: Any) -> str | None:
    """Return an id without the white space around it; None for an empty value or a placeholder.

    Numbers are ids too. Values of other types are left for the upstream to judge.
    """
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    text = str(value).strip()
    if not text or _PLACEHOLDER.fullmatch(text):
        return None
    if _TEMPLATE.search(text) or _WHOLE_TEMPLATE.fullmatch(text):
        return None
    return text


def given_user(value: Any) -> str | None:
    """Return the id of a user; None also for a name that stands for everybody."""
    text = given(value)
    return None if text is None or _NOBODY.fullmatch(text) else text


def is_temporary(conversation_id: str) -> bool:
    """Return whether a client's id says that its chat is not kept, such as `local:3f25…`."""
    return _TEMPORARY.match(conversation_id) is not None


def is_session_id(text: str) -> bool:
    """Return whether an id was made for one session, rather than for a program or a person."""
    return _SESSION_ID.search(text) is not None


def accepted_conversation_id(text: str) -> str:
    """Return the id under which the conversation is stored: the client's, or a hash of it."""
    try:
        return check_id(text, "conversation")
    except InvalidRequest:
        return _hashed(text)


def accepted_user_id(text: str) -> str:
    """Return the id under which the user is stored: the client's, or a hash of it."""
    try:
        return check_user_id(text, "user")
    except InvalidRequest:
        return _hashed(text)


def _hashed(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return HASHED_ID_PREFIX + digest[:_HASH_CHARS]
