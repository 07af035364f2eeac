"""The recent window: the last turns before the input, within a number of tokens and turns. Pure.

The window is cut in steps, not one turn at a time. So most prompts begin exactly like the previous
prompt, and a provider's prefix cache covers them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from memory_service.core.errors import ContextLengthExceeded
from memory_service.core.models import Dropped, Turn
from memory_service.items.chat_messages import (
    Message,
    MessageGroup,
    PlacedMessage,
    call_ids,
    tool_call_ids,
)
from memory_service.prompts.request import (
    MAX_RECENT_TOKENS,
    PromptRequest,
    WindowSize,
)
from memory_service.tokens.counting import TokenCounter, count_message

_CUT_PART = 2
"""A window that no longer fits is cut to one part in two of its limits."""
_SMALLEST_PART = 4
"""A window below one part in four of its limits is chosen again: the limits were raised."""
_SUMMARY_PART = 2
"""Summaries take at most one part in two of the free tokens; recent turns keep the rest."""


@dataclass(frozen=True, slots=True)
class CountedGroups:
    """The message groups at the end of a branch, oldest first, and the tokens of each."""

    groups: Sequence[MessageGroup]
    tokens: Sequence[int]

    @classmethod
    def of(cls, groups: Sequence[MessageGroup], counter: TokenCounter) -> Self:
        """Return the groups with their tokens counted."""
        return cls(groups, [group_tokens(group, counter) for group in groups])

    def __len__(self) -> int:
        return len(self.groups)

    def tokens_from(self, start: int) -> int:
        """Return the tokens of the groups from number `start` on."""
        return sum(self.tokens[start:])

    def turns_from(self, start: int) -> int:
        """Return the number of turns of the groups from number `start` on."""
        return sum(len(group.turns) for group in self.groups[start:])


def group_tokens(group: MessageGroup, counter: TokenCounter) -> int:
    """Return the tokens of a group's messages."""
    return sum(count_message(message, counter) for message in group.messages)


@dataclass(frozen=True, slots=True)
class WindowLimits:
    """The largest size of a recent window; it contains the group `must_hold` even beyond it.

    `max_tokens` are the tokens that the prompt has left, and `recent_tokens` the most that a window
    takes of them. A limit that does not depend on the other parts cuts the window less often: these
    differ from one prompt to the next.

    A `steady` window belongs to a later prompt for the same user message. It keeps its beginning,
    even if it is small, because the recalled block of the prompt was made for it.
    """

    max_turns: int
    max_tokens: int
    must_hold: int | None = None
    steady: bool = False
    recent_tokens: int = MAX_RECENT_TOKENS

    @property
    def window_tokens(self) -> int:
        """The most tokens of the window."""
        return min(self.max_tokens, self.recent_tokens)

    def without(self, tokens: int) -> WindowLimits:
        """Return the limits when other parts take `tokens`."""
        return replace(self, max_tokens=self.max_tokens - tokens)


@dataclass(frozen=True, slots=True)
class RecentWindow:
    """The recent window of a prompt: the groups of a branch from number `start` on."""

    start: int
    groups: Sequence[MessageGroup]
    tokens: int

    @property
    def turns(self) -> list[Turn]:
        """The turns, oldest first."""
        return [turn for group in self.groups for turn in group.turns]

    @property
    def turn_keys(self) -> frozenset[int]:
        """The keys of the turns."""
        return frozenset(turn.key for turn in self.turns)

    @property
    def messages(self) -> list[Message]:
        """The chat messages of the turns."""
        return [message for group in self.groups for message in group.messages]

    @property
    def placed(self) -> list[PlacedMessage]:
        """The messages, with their positions as the client sent them."""
        return [placed for group in self.groups for placed in group.placed]

    @property
    def dropped(self) -> list[Dropped]:
        """The turns of the window that have no message, and why."""
        return [dropped for group in self.groups for dropped in group.dropped]

    @property
    def first_seq(self) -> int | None:
        """The `seq` at which the window begins; None if it is empty."""
        return self.groups[0].first_seq if self.groups else None

    @property
    def last_seq(self) -> int | None:
        """The `seq` at which the window ends; None if it is empty."""
        return self.groups[-1].turns[-1].seq if self.groups else None


def window_limits(
    branch: CountedGroups,
    request: PromptRequest,
    size: WindowSize,
    free_tokens: int,
    *,
    steady: bool,
) -> WindowLimits:
    """Return the limits; raises ContextLengthExceeded if what must be in the window does not fit.

    The window must hold the tool calls that the input answers. It also holds the user message of a
    loop of tool calls, with its recalled block, if that fits. The turns of the loop are not counted
    against the size: a cut in the middle of a loop would lose the provider's cache.
    """
    answered = _first_answered(branch.groups, call_ids(request.input))
    if branch.tokens_from(answered) > free_tokens:
        raise ContextLengthExceeded(
            f"The tool calls that the input answers take {branch.tokens_from(answered)} tokens "
            f"with what follows them, and the budget leaves {free_tokens}. Raise 'token_budget'.",
            param="input",
        )
    loop = len(branch) if request.user_message is not None else _last_user_group(branch.groups)
    held = min(answered, loop) if branch.tokens_from(loop) <= free_tokens else answered
    return WindowLimits(
        max_turns=size.turns + branch.turns_from(loop),
        max_tokens=free_tokens,
        recent_tokens=size.tokens + branch.tokens_from(loop),
        must_hold=held if held < len(branch) else None,
        steady=steady,
    )


def summary_room(branch: CountedGroups, limits: WindowLimits) -> int:
    """Return the most tokens that summaries may take."""
    held = 0 if limits.must_hold is None else branch.tokens_from(limits.must_hold)
    return min(limits.max_tokens // _SUMMARY_PART, limits.max_tokens - held)


def recent_window(
    branch: CountedGroups, limits: WindowLimits, kept_seq: int | None, *, not_before: int = 0
) -> RecentWindow:
    """Return the recent window, which begins at the group `not_before` or later."""
    start = max(not_before, window_start(branch, limits, kept_seq))
    return RecentWindow(start, branch.groups[start:], branch.tokens_from(start))


def window_start(branch: CountedGroups, limits: WindowLimits, kept_seq: int | None) -> int:
    """Return the number of the window's first group; len(branch) means an empty window.

    A window that began at `kept_seq` keeps its beginning while it fits; then it is cut to about
    half. A window below a quarter of its limits is chosen again, unless it is steady. A steady
    window without a beginning stays empty.
    """
    longest = _first_within(branch, limits.max_turns, limits.window_tokens)
    kept = _kept_start(branch, limits, kept_seq, longest)
    if kept is not None:
        start = kept
    else:
        start = 0 if longest == 0 else _first_within_part(branch, limits, _CUT_PART, longest)
    return start if limits.must_hold is None else min(start, limits.must_hold)


def _kept_start(
    branch: CountedGroups, limits: WindowLimits, kept_seq: int | None, longest: int
) -> int | None:
    """Return where the last prompt's window began; None if the window must begin elsewhere.

    `longest` is the first group of the longest window within the limits.
    """
    if kept_seq is None and not limits.steady:
        return None
    kept = next(
        (n for n, group in enumerate(branch.groups) if kept_seq and group.first_seq >= kept_seq),
        len(branch),
    )
    if kept < longest:
        return None
    # The other parts of a prompt, and so the window's room, differ from one prompt to the next.
    if limits.steady or kept <= _first_within_part(branch, limits, _SMALLEST_PART, longest):
        return kept
    return None


def _first_within_part(branch: CountedGroups, limits: WindowLimits, part: int, longest: int) -> int:
    """Return the first group of the longest window within one part in `part` of the limits.

    A single group that is larger than that is kept if it is within the limits themselves.
    """
    first = _first_within(branch, limits.max_turns // part, limits.window_tokens // part)
    return max(longest, min(first, len(branch) - 1))


def _first_within(branch: CountedGroups, max_turns: int, max_tokens: int) -> int:
    """Return the first group of the longest window within both limits."""
    turns = tokens = 0
    for number in range(len(branch) - 1, -1, -1):
        turns += len(branch.groups[number].turns)
        tokens += branch.tokens[number]
        if turns > max_turns or tokens > max_tokens:
            return number + 1
    return 0


def _last_user_group(groups: Sequence[MessageGroup]) -> int:
    """Return the number of the group with the last user message; len(groups) if there is none."""
    numbers = (
        number
        for number in range(len(groups) - 1, -1, -1)
        if any(turn.role == "user" for turn in groups[number].turns)
    )
    return next(numbers, len(groups))


def _first_answered(groups: Sequence[MessageGroup], answered: frozenset[str]) -> int:
    """Return the number of the first group with calls that the input answers, else len(groups).

    Of two calls with the same id the newer one is answered.
    """
    first, open_calls = len(groups), answered
    for number in range(len(groups) - 1, -1, -1):
        calls = _call_ids_made(groups[number])
        if calls & open_calls:
            first, open_calls = number, open_calls - calls
    return first


def _call_ids_made(group: MessageGroup) -> frozenset[str]:
    return frozenset(call_id for message in group.messages for call_id in tool_call_ids(message))
