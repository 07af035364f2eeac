"""The use case that builds a prompt: system, summaries, recent turns, recalled turns, new message.

Three things are remembered of a conversation's last prompt, all for the sake of prefix caches. The
recent window keeps its beginning while it fits and is then cut by half. The summaries of what lies
before it are chosen when it is cut, and stay until it is cut again. The recalled block is made once
for a user message and repeated to the byte until the next one, so that a loop of tool calls keeps
its facts and its cache.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from memory_service.core.errors import ContextLengthExceeded, InvalidRequest, NotFound
from memory_service.core.models import (
    Conversation,
    Dropped,
    DropReason,
    Hit,
    Prompt,
    PromptState,
    PromptTokens,
    Recall,
    RecalledSpan,
    Turn,
)
from memory_service.items.chat_messages import Message, MessageGroup, blocks, call_ids
from memory_service.items.conversation_items import (
    SYSTEM_ROLES,
    content_hash,
    new_id,
    text_of_parts,
)
from memory_service.prompts.assembly import (
    Budget,
    FixedParts,
    Window,
    block_tokens,
    choose_recalled,
    fixed_parts,
    recalled_share,
    recent_window,
    with_recalled,
)
from memory_service.prompts.state import PromptStates
from memory_service.prompts.summary_block import SummaryPart, summary_tokens, with_summaries
from memory_service.prompts.summary_choice import SummaryChooser
from memory_service.prompts.traces import Traces
from memory_service.recall.query import Query
from memory_service.recall.recaller import Recaller
from memory_service.text.terms import terms
from memory_service.tokens.counting import TokenCounter, count_message
from memory_service.turn_log.log import TurnLog
from memory_service.turn_log.transactions import ReadTransaction

MIN_QUERY_WORDS = 4
"""A shorter question ("and then?") is searched together with what was said just before."""

_UNIT_MARGIN = 64
_LOOP_MARGIN = 256

ScopeName = Literal["user", "conversation"]


@dataclass(frozen=True, slots=True)
class UnstoredPath:
    """A conversation that the log does not have, and what was said in it before the input."""

    conversation: Conversation
    turns: Sequence[Turn]


@dataclass(frozen=True, slots=True)
class PromptRequest:
    """What a caller wants a prompt for; None takes the service's default.

    `system` are whole messages, and go before `instructions`. `stored_input` are the turns of the
    input if it is stored already: what is recent then ends before them. Of an `unstored`
    conversation nothing is remembered. `correction` is how many tokens the upstream counts for one
    of ours.
    """

    input: Sequence[Message]
    instructions: str | None = None
    model: str | None = None
    token_budget: int | None = None
    max_output_tokens: int | None = None
    tools: Sequence[Mapping[str, Any]] = ()
    recent_turns: int | None = None
    top_k: int | None = None
    scope: ScopeName | None = None
    now: int | None = None
    utc_offset_minutes: int | None = None
    system: Sequence[Message] | None = None
    stored_input: Sequence[Turn] = ()
    unstored: UnstoredPath | None = None
    correction: float = 1.0


@dataclass(frozen=True, slots=True)
class PromptDefaults:
    """What settings say about prompts; `window` gives a model's context window in tokens."""

    token_budget: int | None
    reserved_output_tokens: int
    recent_turns: int
    top_k: int
    window: Callable[[str | None], int]


@dataclass(frozen=True, slots=True)
class _Draft:
    """What is settled before anything is recalled."""

    project_key: int
    conversation: Conversation
    path: Sequence[Turn]
    state: PromptState
    fixed: FixedParts
    blocks: Sequence[MessageGroup]
    costs: Sequence[int]
    window: Window
    summaries: SummaryPart
    scope: ScopeName
    top_k: int
    model: str | None

    @property
    def free(self) -> int:
        """Tokens that the fixed parts and the summaries leave."""
        return self.window.max_tokens - self.summaries.most_tokens

    def start(self, taken: int = 0) -> int:
        """Return where the recent window begins if `taken` tokens go elsewhere."""
        window = replace(self.window, max_tokens=self.free - taken)
        return recent_window(self.blocks, self.costs, window, self.state.window_seq)

    def keys_from(self, start: int) -> frozenset[int]:
        """Return the turns in a recent window that begins at `start`."""
        return frozenset(turn.key for block in self.blocks[start:] for turn in block.turns)

    def seq_at(self, start: int) -> int | None:
        """Return the first `seq` of a window that begins there; None if it is empty."""
        return self.blocks[start].first_seq if start < len(self.blocks) else None


class PromptBuilder:
    """Builds prompts from the log and a recall."""

    def __init__(
        self,
        log: TurnLog,
        recaller: Recaller,
        counter: Callable[[str | None], TokenCounter],
        states: PromptStates,
        traces: Traces,
        defaults: PromptDefaults,
        summaries: SummaryChooser,
    ) -> None:
        self._log = log
        self._recaller = recaller
        self._counter = counter
        self._states = states
        self._traces = traces
        self._defaults = defaults
        self._summaries = summaries

    def build(self, project_key: int, conversation_id: str, request: PromptRequest) -> Prompt:
        """Return the prompt; raises NotFound, or ContextLengthExceeded if it cannot fit."""
        counter = self._counter(request.model)
        budget = self._budget(request)
        draft = self._draft(project_key, conversation_id, request, budget, counter)
        asked = _asked(request, draft)
        is_same = asked is not None and asked == (
            draft.state.input_parent_key,
            draft.state.input_hash,
        )
        draft = replace(draft, window=replace(draft.window, steady=is_same))
        start = draft.start()
        # A window that has to reach back further for its tool calls may hold a turn of the block.
        reused = is_same and draft.keys_from(start).isdisjoint(
            one.turn_key for one in draft.state.recalled
        )
        if reused:
            recall = self._recaller.again(project_key, draft.state.recalled)
            chosen, dropped = list(recall.hits), self._dropped_before(project_key, draft.state)
        else:
            recall = self._recall(draft, request, start)
            room = recalled_share(draft.free, sum(draft.costs[start:]))
            chosen, dropped = choose_recalled(recall.hits, room, counter)
        chosen, start = self._fit(draft, chosen, dropped, counter)
        if draft.seq_at(start) is None or draft.seq_at(start) != draft.state.window_seq:
            draft = self._with_new_summaries(draft, start, budget, counter)
            chosen, start = self._fit(draft, chosen, dropped, counter, at_least=start)
        prompt = self._assemble(draft, start, chosen, recall, dropped, budget, counter)
        known = draft.state.left_out if reused else ()
        if request.unstored is None:
            self._remember(draft, asked, start, chosen, (*known, *_left_out(recall.hits, dropped)))
        self._traces.add_prompt(project_key, draft.conversation.key, prompt, recall, reused=reused)
        return prompt

    def check(self, request: PromptRequest) -> None:
        """Raise ContextLengthExceeded if system, input, tools and the answer alone do not fit."""
        counter, system = self._counter(request.model), request.system or ()
        fixed_parts(system, request.input, request.tools, self._budget(request), counter)

    def _draft(
        self,
        project_key: int,
        conversation_id: str,
        request: PromptRequest,
        budget: Budget,
        counter: TokenCounter,
    ) -> _Draft:
        max_turns = _or(request.recent_turns, self._defaults.recent_turns)
        with self._log.read() as snapshot:
            conversation, path = _where(snapshot, project_key, conversation_id, request, max_turns)
            system = _system(snapshot, conversation, request)
            state = PromptState()
            if request.unstored is None:
                state = self._states.get(snapshot, conversation.key)
            remembered = self._summaries.remembered(snapshot, conversation, state)
        fixed = fixed_parts(system, request.input, request.tools, budget, counter)
        said = [turn for turn in path if turn.role not in SYSTEM_ROLES]
        found = blocks(said, call_ids(request.input))
        costs = [block_tokens(block, counter) for block in found]
        free = budget.total - budget.reserved - fixed.tokens
        window = _window(max_turns, free, found, costs, request.input)
        room = _summary_room(window, costs)
        return _Draft(
            project_key=project_key,
            conversation=conversation,
            path=said,
            state=state,
            fixed=fixed,
            blocks=found,
            costs=costs,
            window=window,
            summaries=SummaryPart.of(remembered, room, counter),
            scope=request.scope or ("user" if conversation.user else "conversation"),
            top_k=_or(request.top_k, self._defaults.top_k),
            model=request.model or state.model,
        )

    def _budget(self, request: PromptRequest) -> Budget:
        total = (
            request.token_budget
            or self._defaults.token_budget
            or self._defaults.window(request.model)
        )
        reserved = request.max_output_tokens
        if reserved is None:
            reserved = min(self._defaults.reserved_output_tokens, total // 4)
        return Budget(reserved + int((total - reserved) / request.correction), reserved)

    def _dropped_before(self, project_key: int, state: PromptState) -> list[Dropped]:
        with self._log.read() as snapshot:
            turns = snapshot.turns.by_keys(project_key, [key for key, _ in state.left_out])
        return [Dropped(turns[key].id, why) for key, why in state.left_out if key in turns]

    def _recall(self, draft: _Draft, request: PromptRequest, start: int) -> Recall:
        conversation = draft.conversation
        text, context = _query_text(request.input, draft.path)
        if draft.scope == "user" and conversation.user is None:
            raise InvalidRequest("This conversation has no user to recall over.", param="scope")
        if not text or draft.top_k == 0:
            return Recall([])
        query = Query(
            text=text,
            context=context,
            top_k=draft.top_k,
            exclude=draft.keys_from(start) | {turn.key for turn in request.stored_input},
            relevant_only=True,
            now=request.now,
            utc_offset_minutes=request.utc_offset_minutes,
        )
        if draft.scope == "user":
            return self._recaller.of_user(draft.project_key, str(conversation.user), query)
        return self._recaller.in_conversation(draft.project_key, conversation.id, query)

    def _with_new_summaries(
        self, draft: _Draft, start: int, budget: Budget, counter: TokenCounter
    ) -> _Draft:
        """Return the draft with what there is to say now of the turns before a new window."""
        found = self._summaries.before(draft.conversation, draft.seq_at(start), budget, counter)
        room = _summary_room(draft.window, draft.costs)
        return replace(draft, summaries=SummaryPart.of(found, room, counter))

    def _fit(
        self,
        draft: _Draft,
        chosen: list[Hit],
        dropped: list[Dropped],
        counter: TokenCounter,
        at_least: int = 0,
    ) -> tuple[list[Hit], int]:
        """Return the hits and the window's beginning that fit together; the window gives way.

        It does not begin before the block `at_least`: summaries speak of what comes before that.
        """
        while True:
            taken = _recalled_tokens(draft, 0, chosen, counter)
            start = max(at_least, draft.start(taken))
            taken = _recalled_tokens(draft, start, chosen, counter)
            if taken + sum(draft.costs[start:]) <= draft.free:
                return chosen, start
            # The parts were counted one by one; joined, they can take a token or two more.
            dropped.append(Dropped(chosen.pop().turn.id, "budget"))

    def _assemble(
        self,
        draft: _Draft,
        start: int,
        chosen: Sequence[Hit],
        recall: Recall,
        dropped: Sequence[Dropped],
        budget: Budget,
        counter: TokenCounter,
    ) -> Prompt:
        recent = draft.blocks[start:]
        recent_tokens = sum(draft.costs[start:])
        recalled_tokens = _recalled_tokens(draft, start, chosen, counter)
        said = with_recalled(_conversation(draft, start), chosen)
        shown = draft.summaries.shown
        told_tokens = summary_tokens(said, shown, counter)
        turns = [turn for block in recent for turn in block.turns]
        return Prompt(
            messages=[*draft.fixed.system, *with_summaries(said, shown)],
            tokens=PromptTokens(
                system=draft.fixed.system_tokens,
                summary=told_tokens,
                recent=recent_tokens,
                recalled=recalled_tokens,
                input=draft.fixed.input_tokens,
                tools=draft.fixed.tools_tokens,
                total=draft.fixed.tokens + told_tokens + recent_tokens + recalled_tokens,
                reserved_output=budget.reserved,
                budget=budget.total,
                counter=counter.name,
            ),
            recalled=[replace(hit, rank=rank) for rank, hit in enumerate(chosen, start=1)],
            recent_first_seq=turns[0].seq if turns else None,
            recent_last_seq=turns[-1].seq if turns else None,
            summaries=shown,
            dropped=[*dropped, *(drop for block in recent for drop in block.dropped)],
            degraded=recall.degraded,
            trace_id=new_id("trace"),
        )

    def _remember(
        self,
        draft: _Draft,
        asked: tuple[int | None, bytes] | None,
        start: int,
        chosen: Sequence[Hit],
        left_out: Sequence[tuple[int, DropReason]],
    ) -> None:
        parent, digest = asked or (None, None)
        state = PromptState(
            window_seq=draft.seq_at(start),
            input_parent_key=parent,
            input_hash=digest,
            recalled=tuple(RecalledSpan.of(hit) for hit in chosen),
            left_out=tuple(left_out),
            model=draft.model,
            summaries=tuple(one.key for one in draft.summaries.remembered),
        )
        if state == draft.state:
            return
        self._states.set(draft.conversation.key, state)
        if state.window_seq not in {None, 1, draft.state.window_seq}:
            self._summaries.on_cut(draft.conversation)


def _or(value: int | None, default: int) -> int:
    return default if value is None else value


def _left_out(hits: Sequence[Hit], dropped: Sequence[Dropped]) -> list[tuple[int, DropReason]]:
    keys = {hit.turn.id: hit.turn.key for hit in hits}
    return [(keys[one.item_id], one.reason) for one in dropped if one.item_id in keys]


def _conversation(draft: _Draft, start: int) -> list[Message]:
    recent = [message for block in draft.blocks[start:] for message in block.messages]
    return [*recent, *draft.fixed.input]


def _recalled_tokens(
    draft: _Draft, start: int, chosen: Sequence[Hit], counter: TokenCounter
) -> int:
    """Return what the block adds to the message it is put in, counted as it will be sent."""
    messages = _conversation(draft, start)
    filled = with_recalled(messages, chosen)
    return sum(
        count_message(after, counter) - count_message(before, counter)
        for before, after in zip(messages, filled, strict=True)
        if after is not before
    )


def _asked(request: PromptRequest, draft: _Draft) -> tuple[int | None, bytes] | None:
    """Return what tells one user message from the next: what it follows, and what it says.

    It is the same while the message is new input and once it is stored, and another where the
    caller wants another prompt for it.
    """
    users = [message for message in request.input if message.get("role") == "user"]
    if users and not request.stored_input:
        place = draft.conversation.head_key, content_hash(users[-1], "message")
    else:
        stored = [turn for turn in (*draft.path, *request.stored_input) if turn.role == "user"]
        if not stored:
            return None
        place = stored[-1].parent_key, stored[-1].content_hash
    limits = draft.scope, draft.top_k, request.recent_turns, request.token_budget
    return place[0], hashlib.sha256(place[1] + repr(limits).encode()).digest()


def _window(
    max_turns: int,
    free: int,
    found: Sequence[MessageGroup],
    costs: Sequence[int],
    new: Sequence[Message],
) -> Window:
    """Return the limits of the recent window; the calls that the input answers must be in it.

    So must the user message of a loop of tool calls, with the block, if it fits. The turns of the
    loop count beside the others: a window that is cut in the middle of it costs the cache.
    """
    held = _first_answered(found, call_ids(new))
    if sum(costs[held:]) > free:
        raise ContextLengthExceeded(
            f"The tool calls that the input answers take {sum(costs[held:])} tokens with what "
            f"follows them, and the budget leaves {free}. Raise 'token_budget'.",
            param="input",
        )
    loop = len(found) if any(one.get("role") == "user" for one in new) else _last_user(found)
    if sum(costs[loop:]) <= free:
        held = min(held, loop)
    turns = max_turns + sum(len(block.turns) for block in found[loop:])
    return Window(turns, free, held if held < len(found) else None)


def _last_user(found: Sequence[MessageGroup]) -> int:
    """Return where the last user message is; the end if there is none."""
    places = (
        number
        for number in range(len(found) - 1, -1, -1)
        if any(turn.role == "user" for turn in found[number].turns)
    )
    return next(places, len(found))


def _summary_room(window: Window, costs: Sequence[int]) -> int:
    """Return the most tokens that summaries may have in a prompt: recent turns keep half."""
    held = 0 if window.must_hold is None else sum(costs[window.must_hold :])
    return min(window.max_tokens // 2, window.max_tokens - held)


def _first_answered(found: Sequence[MessageGroup], answered: frozenset[str]) -> int:
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


def _where(
    snapshot: ReadTransaction,
    project_key: int,
    conversation_id: str,
    request: PromptRequest,
    max_turns: int,
) -> tuple[Conversation, Sequence[Turn]]:
    """Return the conversation and the end of its path before the input; raises NotFound."""
    if request.unstored is not None:
        return request.unstored.conversation, request.unstored.turns
    conversation = snapshot.conversations.get(project_key, conversation_id)
    if conversation is None:
        raise NotFound(f"No conversation {conversation_id!r}.", param="conversation_id")
    return conversation, _path(snapshot, conversation, request, max_turns)


def _path(
    snapshot: ReadTransaction, conversation: Conversation, request: PromptRequest, max_turns: int
) -> list[Turn]:
    """Return the last turns before the input, and before them what completes a unit cut short.

    One turn more than is asked for says whether there are more; those of a loop of tool calls come
    on top.
    """
    in_loop = not any(message.get("role") == "user" for message in request.input)
    margin = _LOOP_MARGIN if in_loop else 1
    path = _last_turns(snapshot, conversation, request, max_turns + margin)
    if not in_loop and any(
        turn.tool_group_key is not None and turn.tool_group_key < path[0].key for turn in path
    ):
        return _last_turns(snapshot, conversation, request, max_turns + _UNIT_MARGIN)
    return path


def _last_turns(
    snapshot: ReadTransaction, conversation: Conversation, request: PromptRequest, limit: int
) -> list[Turn]:
    if request.stored_input:
        return snapshot.turns.before(request.stored_input[0], limit)
    return snapshot.turns.newest(conversation.key, limit)


def _system(
    snapshot: ReadTransaction, conversation: Conversation, request: PromptRequest
) -> list[Message]:
    """Return the system messages: the request's, else the conversation's own first ones."""
    if request.system:
        return list(request.system)
    if request.instructions is not None:
        return [{"role": "system", "content": request.instructions}]
    found: list[Message] = []
    first = snapshot.turns.page(conversation.key, None, 1, "asc").data
    if not first or first[0].role not in SYSTEM_ROLES:
        return found
    for turn in snapshot.turns.page(conversation.key, None, _UNIT_MARGIN, "asc").data:
        if turn.role not in SYSTEM_ROLES:
            break
        found.extend(blocks([turn])[0].messages)
    return found


def _query_text(new: Sequence[Message], path: Sequence[Turn]) -> tuple[str, str]:
    """Return what to look for: the new user text, and the last two turns if it is short."""
    users = [message for message in new if message.get("role") == "user"]
    if users:
        text, before = text_of_parts(users[-1].get("content")), list(path)
    else:
        # In a loop of tool calls the question is stored already.
        last = max((n for n, turn in enumerate(path) if turn.role == "user"), default=None)
        text, before = ("", []) if last is None else (path[last].text, list(path[:last]))
    # Without a language every word counts, and a text without spaces has its pairs of characters.
    if not text or len(terms(text, None)) >= MIN_QUERY_WORDS:
        return text, ""
    return text, "\n".join(turn.text for turn in before[-2:])
