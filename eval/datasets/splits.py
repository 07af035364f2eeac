"""The split: which conversations may be tuned on, and which are held back to report on. Pure.

A conversation's side follows from its name alone, so that it is the same in every version and part
of a set. LoCoMo and TMD ask about the same conversations, which have the same side in both.
"""

from __future__ import annotations

import hashlib
import re
from typing import Literal

Side = Literal["tuned_on", "held_back"]
SIDES: tuple[Side, ...] = ("tuned_on", "held_back")

_SALT = "split:"
# conv-26 of LoCoMo is tmd-26 of TMD.
_SHARED_CONVERSATION = re.compile(r"(?:conv|tmd)-(\d+)")


def side(group: str) -> Side:
    """Return the side of a conversation, or of a user where a set has users: by an even hash."""
    digest = hashlib.sha256(f"{_SALT}{_shared_name(group)}".encode()).digest()
    return SIDES[digest[0] % 2]


def _shared_name(group: str) -> str:
    """Return the name of a conversation (or a user) in every set that asks about it."""
    match = _SHARED_CONVERSATION.fullmatch(group)
    return match[1] if match else group
