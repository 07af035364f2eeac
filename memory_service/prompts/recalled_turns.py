"""The recalled turns of a prompt: recalled for a new user message, or taken from its last prompt.

A recalled block is made once for a user message and repeated byte for byte in later prompts for the
same message. So a loop of tool calls keeps its facts and the provider's prefix cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memory_service.core.errors import InvalidRequest
from memory_service.core.models import Dropped, DropReason, Recall
from memory_service.prompts.budget import recalled_share
from memory_service.prompts.frame import PromptFrame
from memory_service.prompts.question import query_text
from memory_service.prompts.recalled_block import HitChoice, choose_recalled
from memory_service.prompts.recent_window import RecentWindow
from memory_service.recall.query import Query
from memory_service.recall.recaller import Recaller
from memory_service.tokens.counting import TokenCounter
from memory_service.turn_log.log import TurnLog

LeftOut = tuple[tuple[int, DropReason], ...]
"""Turns that a recalled block leaves out, by key, each with the reason."""


@dataclass(frozen=True, slots=True)
class RecalledTurns:
    """The outcome of a recall for a prompt, and the hits that the recalled block may quote.

    A `reused` recalled block is that of the last prompt, which left out `left_out_before`.
    """

    recall: Recall
    choice: HitChoice
    reused: bool = False
    left_out_before: LeftOut = ()

    def left_out(self, dropped: Sequence[Dropped]) -> LeftOut:
        """Return the recalled turns that are left out, of those that the prompt drops."""
        keys = {hit.turn.id: hit.turn.key for hit in self.recall.hits}
        newly = ((keys[drop.item_id], drop.reason) for drop in dropped if drop.item_id in keys)
        return (*self.left_out_before, *newly)


class PromptRecaller:
    """Recalls turns for prompts."""

    def __init__(self, log: TurnLog, recaller: Recaller) -> None:
        self._log = log
        self._recaller = recaller

    def recall(self, frame: PromptFrame, counter: TokenCounter) -> RecalledTurns:
        """Return the turns for a frame: those of the last prompt if it was for the same message.

        Raises InvalidRequest if the scope is a user and the conversation has none.
        """
        window = frame.window(frame.summaries.max_tokens)
        if frame.is_repeated and _can_be_reused(frame, window):
            return self._of_last_prompt(frame)
        recall = self._recall(frame, window)
        room = recalled_share(frame.free_tokens - frame.summaries.max_tokens, window.tokens)
        return RecalledTurns(recall, choose_recalled(recall.hits, room, counter))

    def _of_last_prompt(self, frame: PromptFrame) -> RecalledTurns:
        """Return the turns that the last prompt quoted, without those deleted since."""
        project_key, left_out = frame.location.project_key, frame.state.left_out
        recall = self._recaller.restore(project_key, frame.state.recalled)
        with self._log.read() as snapshot:
            turns = snapshot.turns.by_keys(project_key, [key for key, _ in left_out])
        dropped = [Dropped(turns[key].id, reason) for key, reason in left_out if key in turns]
        choice = HitChoice(recall.hits, dropped)
        return RecalledTurns(recall, choice, reused=True, left_out_before=left_out)

    def _recall(self, frame: PromptFrame, window: RecentWindow) -> Recall:
        """Return what is recalled for the user message, without turns that the prompt has."""
        location, request = frame.location, frame.request
        user = location.conversation.user
        text, context = query_text(request.user_message, location.turns)
        if location.scope == "user" and user is None:
            raise InvalidRequest("This conversation has no user to recall over.", param="scope")
        if not text or frame.top_k == 0:
            return Recall([])
        query = Query(
            text=text,
            context=context,
            top_k=frame.top_k,
            exclude=window.turn_keys | {turn.key for turn in request.stored_input} | request.hidden,
            relevant_only=True,
            now=request.now,
            utc_offset_minutes=request.utc_offset_minutes,
        )
        if location.scope == "user":
            return self._recaller.of_user(location.project_key, str(user), query)
        return self._recaller.in_conversation(location.project_key, location.conversation.id, query)


def _can_be_reused(frame: PromptFrame, window: RecentWindow) -> bool:
    """Return whether the last prompt's recalled block has no turn of a window.

    A window that begins earlier, to include its tool calls, may contain a turn that was quoted.
    """
    return window.turn_keys.isdisjoint(span.turn_key for span in frame.state.recalled)
