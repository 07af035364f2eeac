"""Distractors: any number of turns that no question is about, with hardly any repetition.

The public sets have some ten thousand turns of talk among people, so most of a million must be
made. Excerpts of other conversations are used once unchanged. After that half of their names,
numbers and longer words are exchanged for others that are as frequent there and look alike. So the
distractors are sentences of people, of the same kinds, about other subjects. Copies are not used: a
hundred copies of one turn would take all places among the candidates at once.

The distractors do not repeat the measured conversations: turns that equal one of theirs are left
out, and so are conversations that repeat many of their turns (two sets may publish the same talk).

Three things differ from real talk of that length. No new words occur after the first round, so all
terms are more frequent than they would be. The distractors are of other speakers than the measured
conversations, which helps wherever a question names its speaker. Turns without a word that can be
exchanged ("Me too!") occur again unchanged, as they do among people.

Which turns come, and in which order, follows from the seed alone.
"""

from __future__ import annotations

import math
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from eval.datasets.models import DatasetTurn
from eval.errors import DatasetError
from memory_service.text.folding import folded

VERSION = 1
"""Raised when one seed gives other turns than before: older stores can then not be used again."""
EXCERPT_TURNS = 20
"""Turns that are taken from a conversation in one piece, a minute apart."""
EXCHANGED_SHARE = 0.5
"""Of the words that can be exchanged, in all rounds but the first."""
LONGEST_SPAN = timedelta(days=20 * 365)

_MAX_SHARED_TURNS = 0.05
"""The share of repeated turns from which on a conversation counts as the same talk."""
_WORD = re.compile(r"[^\W_]+")
_MIN_WORD_CHARS = 4
_COMMON_WORDS = 150
_ENDINGS = ("ing", "ed", "ly", "s")


class _WordKind(NamedTuple):
    """Words of one kind can be exchanged: same shape and ending, and about as frequent."""

    shape: str
    ending: str
    log2_count: int


class Distractors:
    """An endless sequence of excerpts from conversations that no question is about."""

    def __init__(
        self,
        targets: Sequence[DatasetTurn],
        others: Sequence[Sequence[DatasetTurn]],
        seed: int,
    ) -> None:
        self._forbidden = {folded(turn.text) for turn in targets}
        self._sources = _different(others, self._forbidden)
        if not self._sources:
            raise DatasetError("there is no other conversation to draw distractors from")
        self._starts = [
            (source, start)
            for source, turns in enumerate(self._sources)
            for start in range(0, len(turns), EXCERPT_TURNS)
        ]
        self._seed = seed
        self._begin = min(turn.time for turn in targets)
        self._end = max(turn.time for turn in targets)
        self._target_count = len(targets)
        self._words = _ExchangeableWords(turn.text for turns in self._sources for turn in turns)

    @property
    def distinct(self) -> int:
        """How many turns there are before words begin to be exchanged."""
        return sum(map(len, self._sources))

    def excerpt(self, number: int) -> list[DatasetTurn]:
        """Return the excerpt of a number, counted from 0: always `EXCERPT_TURNS` turns."""
        rng = random.Random(f"{self._seed}-{number}")
        began = self._time(number, rng)
        return [
            replace(
                turn,
                id=f"distractor-{number * EXCERPT_TURNS + minute}",
                time=began + timedelta(minutes=minute),
            )
            for minute, turn in enumerate(self._turns(number, rng))
        ]

    def _turns(self, number: int, rng: random.Random) -> list[DatasetTurn]:
        """Return the turns of an excerpt, still with their own ids and times."""
        turns: list[DatasetTurn] = []
        position = number
        while len(turns) < EXCERPT_TURNS:
            lap, index = divmod(position, len(self._starts))
            source, start = self._order(lap)[index]
            for turn in self._sources[source][start : start + EXCERPT_TURNS]:
                text = self._words.exchange(turn.text, rng) if lap else turn.text
                if folded(text) not in self._forbidden and len(turns) < EXCERPT_TURNS:
                    turns.append(replace(turn, text=text))
            # A short end of a conversation is filled up with turns whose words are exchanged.
            position = rng.randrange(len(self._starts), 2 * len(self._starts))
        return turns

    @lru_cache(maxsize=2)  # noqa: B019 - one object for each run of the command
    def _order(self, lap: int) -> list[tuple[int, int]]:
        """Return the starts of excerpts, in the order of a round."""
        return random.Random(f"{self._seed}-lap-{lap}").sample(self._starts, len(self._starts))

    def _time(self, number: int, rng: random.Random) -> datetime:
        """Return the time of an excerpt: the more excerpts, the earlier the first one is.

        Time passes as it does between the targets' turns, up to `LONGEST_SPAN`.
        """
        span = (self._end - self._begin) * (1 + number * EXCERPT_TURNS / self._target_count)
        return self._end - min(span, LONGEST_SPAN) * rng.random()


class _ExchangeableWords:
    """The words of texts, grouped by kind."""

    def __init__(self, texts: Iterable[str]) -> None:
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(_WORD.findall(text))
        common = {word for word, _ in counts.most_common(_COMMON_WORDS)}
        self._kinds = {
            word: _word_kind(word, count)
            for word, count in counts.items()
            if word not in common and _can_be_exchanged(word)
        }
        groups: defaultdict[_WordKind, list[str]] = defaultdict(list)
        for word, kind in sorted(self._kinds.items()):
            groups[kind].append(word)
        self._groups = dict(groups)

    def exchange(self, text: str, rng: random.Random) -> str:
        """Return a text with some of its words exchanged, at least one where that is possible."""
        matches = [match for match in _WORD.finditer(text) if match[0] in self._kinds]
        chosen = [match for match in matches if rng.random() < EXCHANGED_SHARE]
        if matches and not chosen:
            chosen = [rng.choice(matches)]
        parts, end = [], 0
        for match in chosen:
            parts += [text[end : match.start()], rng.choice(self._groups[self._kinds[match[0]]])]
            end = match.end()
        return "".join((*parts, text[end:]))


def _different(
    conversations: Sequence[Sequence[DatasetTurn]], texts_of_targets: AbstractSet[str]
) -> list[Sequence[DatasetTurn]]:
    """Return the conversations that repeat neither the targets nor one another."""
    seen, kept = set(texts_of_targets), []
    for turns in conversations:
        texts = [folded(turn.text) for turn in turns]
        if sum(text in seen for text in texts) < _MAX_SHARED_TURNS * len(texts):
            kept.append(turns)
            seen.update(texts)
    return kept


def _can_be_exchanged(word: str) -> bool:
    return word.isdigit() or word[0].isupper() or len(word) >= _MIN_WORD_CHARS


def _word_kind(word: str, count: int) -> _WordKind:
    shape = "number" if word.isdigit() else "name" if word[0].isupper() else "word"
    ending = next((ending for ending in _ENDINGS if word.endswith(ending)), "")
    return _WordKind(shape, ending, int(math.log2(count)))
