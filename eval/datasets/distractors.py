"""Turns to bury others under: as many as are wanted, and hardly one of them said twice.

The public sets have some ten thousand turns of talk among people, so most of a million must be
made. Stretches of other conversations are taken once as they are. After that their words are
exchanged: half of the names, numbers and longer words for others that are as frequent there and
look alike. So the same kinds of things are said, in sentences like those of people, about something
else. Copies would not do: a hundred of one turn take all places among the candidates at once.

What the conversations under measurement say is never among them: turns that repeat one of theirs
are left out, and so are all conversations that repeat much of them (two sets may publish one talk).

Three things are not as in real talk of that length. No new words come up after the first round, so
all terms are more frequent than they would be. The distractors are of other speakers than the ones
asked about, which helps wherever a question names its speaker. Turns without a word that can be
exchanged ("Me too!") come again as they are, as they do among people.

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

from eval.datasets import DatasetError, Turn
from memory_service.text.folding import folded

VERSION = 1
"""Rises when other turns come of the same seed: stores of before are then of no more use."""
STRETCH = 20
"""Turns that are taken from a conversation in one piece, a minute apart."""
EXCHANGED_SHARE = 0.5
"""Of the words that can be exchanged, in all but the first round."""
LONGEST_SPAN = timedelta(days=20 * 365)

_SAME_TALK = 0.05
_WORD = re.compile(r"[^\W_]+")
_SHORTEST = 4
_ENDINGS = ("ing", "ed", "ly", "s")


class Distractors:
    """An endless sequence of stretches made of conversations that nobody asks about."""

    def __init__(
        self, targets: Sequence[Turn], others: Sequence[Sequence[Turn]], seed: int
    ) -> None:
        self._forbidden = {folded(turn.text) for turn in targets}
        self._sources = _different(others, self._forbidden)
        if not self._sources:
            raise DatasetError("there is no other conversation to draw distractors from")
        self._places = [
            (source, start)
            for source, turns in enumerate(self._sources)
            for start in range(0, len(turns), STRETCH)
        ]
        self._seed = seed
        self._begin = min(turn.time for turn in targets)
        self._end = max(turn.time for turn in targets)
        self._turns_of_targets = len(targets)
        self._words = _Words(turn.text for turns in self._sources for turn in turns)

    @property
    def distinct(self) -> int:
        """How many turns there are before words begin to be exchanged."""
        return sum(map(len, self._sources))

    def stretch(self, number: int) -> list[Turn]:
        """Return the stretch of a number, counted from 0: always `STRETCH` turns."""
        rng = random.Random(f"{self._seed}-{number}")
        began = self._time(number, rng)
        found: list[Turn] = []
        place = number
        while len(found) < STRETCH:
            lap, position = divmod(place, len(self._places))
            source, start = self._order(lap)[position]
            for turn in self._sources[source][start : start + STRETCH]:
                text = self._words.exchanged(turn.text, rng) if lap else turn.text
                if folded(text) not in self._forbidden and len(found) < STRETCH:
                    found.append(replace(turn, text=text))
            # What a short end of a conversation leaves open is filled with words exchanged.
            place = rng.randrange(len(self._places), 2 * len(self._places))
        return [
            replace(
                turn,
                id=f"distractor-{number * STRETCH + minute}",
                time=began + timedelta(minutes=minute),
            )
            for minute, turn in enumerate(found)
        ]

    @lru_cache(maxsize=2)  # noqa: B019 - one object for each run of the command
    def _order(self, lap: int) -> list[tuple[int, int]]:
        """Return where the stretches of a round are taken from."""
        return random.Random(f"{self._seed}-lap-{lap}").sample(self._places, len(self._places))

    def _time(self, number: int, rng: random.Random) -> datetime:
        """Return when a stretch was said: the more there are, the longer ago they began.

        Time passes as it does between the targets' turns, up to the longest span.
        """
        grown = (self._end - self._begin) * (1 + number * STRETCH / self._turns_of_targets)
        return self._end - min(grown, LONGEST_SPAN) * rng.random()


class _Words:
    """Words that can stand for each other: of the same shape and ending, and about as frequent."""

    def __init__(self, texts: Iterable[str]) -> None:
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(_WORD.findall(text))
        common = {word for word, _ in counts.most_common(150)}
        self._kind = {
            word: _kind(word, count)
            for word, count in counts.items()
            if word not in common and _can_be_exchanged(word)
        }
        groups: defaultdict[tuple[str, str, int], list[str]] = defaultdict(list)
        for word, kind in sorted(self._kind.items()):
            groups[kind].append(word)
        self._groups = dict(groups)

    def exchanged(self, text: str, rng: random.Random) -> str:
        """Return a text with some of its words exchanged, at least one where that is possible."""
        places = [found for found in _WORD.finditer(text) if found[0] in self._kind]
        chosen = [place for place in places if rng.random() < EXCHANGED_SHARE]
        if places and not chosen:
            chosen = [rng.choice(places)]
        parts, end = [], 0
        for place in chosen:
            parts += [text[end : place.start()], rng.choice(self._groups[self._kind[place[0]]])]
            end = place.end()
        return "".join((*parts, text[end:]))


def _different(
    conversations: Sequence[Sequence[Turn]], said: AbstractSet[str]
) -> list[Sequence[Turn]]:
    """Return the conversations that repeat neither what was said nor one another."""
    known, kept = set(said), []
    for turns in conversations:
        texts = [folded(turn.text) for turn in turns]
        if sum(text in known for text in texts) < _SAME_TALK * len(texts):
            kept.append(turns)
            known.update(texts)
    return kept


def _can_be_exchanged(word: str) -> bool:
    return word.isdigit() or word[0].isupper() or len(word) >= _SHORTEST


def _kind(word: str, count: int) -> tuple[str, str, int]:
    shape = "number" if word.isdigit() else "name" if word[0].isupper() else "word"
    ending = next((one for one in _ENDINGS if word.endswith(one)), "")
    return shape, ending, int(math.log2(count))
