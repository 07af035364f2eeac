"""The use case that builds a prompt: system, recent turns, recalled turns and the new message."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from memory_service.errors import ContextLengthExceeded, InvalidRequest, NotFound
from memory_service.interfaces import TurnLog
from memory_service.items import text_of_parts
from memory_service.messages import Block, Message, blocks, call_ids
from memory_service.prompt import (
    RECENT_SHARE,
    Budget,
    FixedParts,
    block_tokens,
    choose_recalled,
    fixed_parts,
    recent_window,
    with_recalled,
)
from memory_service.recall import Query, Recaller
from memory_service.records import (
    Conversation,
    Dropped,
    Hit,
    Prompt,
    PromptTokens,
    Recall,
    Turn,
)
from memory_service.tokens import TokenCounter, count_message
from memory_service.turn_log.log import Reader

MIN_QUERY_WORDS = 4
"""A shorter question ("and then?") is searched together with what was said just before."""

_UNIT_MARGIN = 64
_SYSTEM_ROLES = frozenset({"system", "developer"})


@dataclass(frozen=True, slots=True)
class PromptRequest:
    """What a caller wants a prompt for; None takes the service's default."""

    input: Sequence[Message]
    instructions: str | None
    model: str | None
    token_budget: int | None
    max_output_tokens: int | None
    tools: Sequence[Mapping[str, Any]]
    recent_turns: int | None
    top_k: int | None
    scope: Literal["user", "conversation"] | None


@dataclass(frozen=True, slots=True)
class PromptDefaults:
    """What settings say about prompts; `window` gives a model's context window in tokens."""

    token_budget: int | None
    reserved_output_tokens: int
    recent_turns: int
    top_k: int
    window: Callable[[str | None], int]


class PromptBuilder:
    """Builds prompts from the log and a recall."""

    def __init__(
        self,
        log: TurnLog,
        recaller: Recaller,
        counter: Callable[[str | None], TokenCounter],
        defaults: PromptDefaults,
    ) -> None:
        self._log = log
        self._recaller = recaller
        self._counter = counter
        self._defaults = defaults

    def build(self, project_key: int, conversation_id: str, request: PromptRequest) -> Prompt:
        """Return the prompt; raises NotFound, or ContextLengthExceeded if it cannot fit."""
        counter = self._counter(request.model)
        budget = self._budget(request)
        max_turns = _or(request.recent_turns, self._defaults.recent_turns)
        with self._log.read() as log:
            conversation = log.conversation(project_key, conversation_id)
            if conversation is None:
                raise NotFound(f"No conversation {conversation_id!r}.", param="conversation_id")
            path = log.recent_turns(conversation.key, max_turns + _UNIT_MARGIN)
            system = _system(log, conversation, request.instructions)
        fixed = fixed_parts(system, request.input, request.tools, budget, counter)
        path = [turn for turn in path if turn.role not in _SYSTEM_ROLES]
        answered = call_ids(request.input)
        found = blocks(path, answered)
        costs = [block_tokens(block, counter) for block in found]
        free = budget.total - budget.reserved - fixed.tokens
        held = _first_answered(found, answered)
        if sum(costs[held:]) > free:
            raise ContextLengthExceeded(
                f"The tool calls that the input answers take {sum(costs[held:])} tokens with what "
                f"follows them, and the budget of {budget.total} leaves {free}. Raise "
                "'token_budget'.",
                param="input",
            )
        start = recent_window(
            found, costs, max_turns=max_turns, max_tokens=int(free * RECENT_SHARE)
        )
        start = min(start, held)
        recall = self._recall(project_key, conversation, request, path, found[start:])
        chosen, dropped = choose_recalled(recall.hits, free - sum(costs[start:]), counter)
        while self._recalled_tokens(fixed, chosen, counter) > free - sum(costs[start:]):
            # The parts were counted one by one; joined, they can take a token or two more.
            dropped.append(Dropped(chosen.pop().turn.id, "budget"))
        # What recall left over, the recent turns may use.
        spare = free - self._recalled_tokens(fixed, chosen, counter)
        start = min(start, recent_window(found, costs, max_turns=max_turns, max_tokens=spare))
        recent = found[start:]
        inside = {turn.key for block in recent for turn in block.turns}
        chosen = [hit for hit in chosen if hit.turn.key not in inside]
        return self._assemble(fixed, recent, chosen, recall, dropped, budget, counter)

    def _budget(self, request: PromptRequest) -> Budget:
        total = (
            request.token_budget
            or self._defaults.token_budget
            or self._defaults.window(request.model)
        )
        reserved = request.max_output_tokens
        if reserved is None:
            reserved = min(self._defaults.reserved_output_tokens, total // 4)
        return Budget(total, reserved)

    def _recall(
        self,
        project_key: int,
        conversation: Conversation,
        request: PromptRequest,
        path: Sequence[Turn],
        recent: Sequence[Block],
    ) -> Recall:
        text = _query_text(request.input, path)
        top_k = _or(request.top_k, self._defaults.top_k)
        if not text or top_k == 0:
            return Recall([])
        query = Query(
            text=text,
            top_k=top_k,
            exclude=frozenset(turn.key for block in recent for turn in block.turns),
        )
        scope = request.scope or ("user" if conversation.user else "conversation")
        if scope == "conversation":
            return self._recaller.in_conversation(project_key, conversation.id, query)
        if conversation.user is None:
            raise InvalidRequest("This conversation has no user to recall over.", param="scope")
        return self._recaller.of_user(project_key, conversation.user, query)

    def _recalled_tokens(
        self, fixed: FixedParts, chosen: Sequence[Hit], counter: TokenCounter
    ) -> int:
        """Return what the block adds to the input, counted as it will be sent."""
        filled = with_recalled(fixed.input, chosen)
        return sum(count_message(message, counter) for message in filled) - fixed.input_tokens

    def _assemble(
        self,
        fixed: FixedParts,
        recent: Sequence[Block],
        chosen: Sequence[Hit],
        recall: Recall,
        dropped: Sequence[Dropped],
        budget: Budget,
        counter: TokenCounter,
    ) -> Prompt:
        recent_messages = [message for block in recent for message in block.messages]
        recent_tokens = sum(count_message(message, counter) for message in recent_messages)
        recalled_tokens = self._recalled_tokens(fixed, chosen, counter)
        turns = [turn for block in recent for turn in block.turns]
        return Prompt(
            messages=[*fixed.system, *recent_messages, *with_recalled(fixed.input, chosen)],
            tokens=PromptTokens(
                system=fixed.system_tokens,
                summary=0,
                recent=recent_tokens,
                recalled=recalled_tokens,
                input=fixed.input_tokens,
                tools=fixed.tools_tokens,
                total=fixed.tokens + recent_tokens + recalled_tokens,
                reserved_output=budget.reserved,
                budget=budget.total,
                counter=counter.name,
            ),
            recalled=[replace(hit, rank=rank) for rank, hit in enumerate(chosen, start=1)],
            recent_first_seq=turns[0].seq if turns else None,
            recent_last_seq=turns[-1].seq if turns else None,
            dropped=[*dropped, *(drop for block in recent for drop in block.dropped)],
            degraded=recall.degraded,
        )


def _or(value: int | None, default: int) -> int:
    return default if value is None else value


def _system(log: Reader, conversation: Conversation, instructions: str | None) -> list[Message]:
    """Return the system message: the request's, else the conversation's own first ones."""
    if instructions is not None:
        return [{"role": "system", "content": instructions}]
    found: list[Message] = []
    for turn in log.path_page(conversation.key, None, _UNIT_MARGIN, "asc").data:
        if turn.role not in _SYSTEM_ROLES:
            break
        found.extend(blocks([turn])[0].messages)
    return found


def _first_answered(found: Sequence[Block], answered: frozenset[str]) -> int:
    """Return where the calls begin that the input answers, the newest of each id; else the end."""
    first, open_calls = len(found), set(answered)
    for number in range(len(found) - 1, -1, -1):
        made = {
            call["id"]
            for message in found[number].messages
            for call in message.get("tool_calls", ())
        }
        if made & open_calls:
            first = number
            open_calls -= made
    return first


def _query_text(new: Sequence[Message], path: Sequence[Turn]) -> str:
    """Return what to look for: the new user text, with the last two turns if it is short."""
    users = [message for message in new if message.get("role") == "user"]
    text = text_of_parts(users[-1].get("content")) if users else ""
    if not text or len(text.split()) >= MIN_QUERY_WORDS:
        return text
    return "\n".join([*(turn.text for turn in path[-2:]), text])
