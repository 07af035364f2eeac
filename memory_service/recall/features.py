"""What the candidates' own texts say about a question: the evidence that ranking weighs. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from memory_service.recall import answer_types, matching
from memory_service.recall.matching import QueryWord
from memory_service.recall.token_arrays import Lexicon
from memory_service.text.terms import term_spans


@dataclass(frozen=True, slots=True)
class Said:
    """The text of a candidate, the language it is analysed in, and who says it.

    `follows` says that it is the next turn after the one before in the list.
    """

    speaker: str
    role: str
    text: str
    language: str | None
    follows: bool


@dataclass(frozen=True, slots=True)
class Reading:
    """Raw scores of one text; see `ranking.Candidate`."""

    words: float
    said: float
    phrase: float
    speaker: float
    answers: int
    length: float
    asks: bool


def read(
    question: str,
    weights: Mapping[str, float],
    languages: Collection[str | None],
    texts: Sequence[Said],
    lexicon: Lexicon,
) -> list[Reading]:
    """Return how each text answers a question whose terms weigh `weights` in the scope."""
    speakers = frozenset(one.speaker.casefold() for one in texts)
    names = answer_types.name_words(speakers)
    query = _query_words(question, weights, languages, names)
    terms = {term for one in query for term in one.terms}
    facts = lexicon.read([(one.text, one.language) for one in texts], terms, names)
    similarities = facts.words.match(query, lexicon.vectors)
    follows = np.array([one.follows for one in texts], dtype=np.bool_)
    own = matching.score(query, similarities).tolist()
    said = matching.score(query, matching.with_neighbours(similarities, follows)).tolist()
    phrases = facts.words.phrases(query).tolist()
    about = _about(question, texts, speakers)
    wanted = answer_types.asked_types(question)
    return [
        Reading(
            words=own[at],
            said=said[at],
            phrase=phrases[at],
            speaker=about[at],
            answers=(wanted & held).bit_count(),
            length=facts.lengths[at],
            asks=facts.asks[at],
        )
        for at, held in enumerate(facts.kinds)
    ]


def _query_words(
    question: str,
    weights: Mapping[str, float],
    languages: Collection[str | None],
    names: Collection[str],
) -> list[QueryWord]:
    """Return the question's words in reading order; speakers' names stand for who, not for what."""
    found: dict[tuple[int, int], set[str]] = {}
    for language in languages:
        for span in term_spans(question, language):
            found.setdefault((span.start, span.end), set()).add(span.term)
    query: dict[str, QueryWord] = {}
    for (start, end), terms in sorted(found.items()):
        word = question[start:end].casefold().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
        word = word.removesuffix("'s")
        weight = max(weights.get(term, 0.0) for term in terms)
        if weight and word not in names:
            query.setdefault(word, QueryWord(word, frozenset(terms), weight))
    return list(query.values())


def _about(question: str, texts: Sequence[Said], speakers: Collection[str]) -> list[float]:
    """Return 0.5 for texts of whom the question is about, -0.5 for those of others, else 0s."""
    named = answer_types.named_speakers(question, speakers)
    if named and len(named) < len(speakers):
        return [0.5 if one.speaker.casefold() in named else -0.5 for one in texts]
    if len({one.role == "user" for one in texts}) == 1:
        return [0.0] * len(texts)
    by_user = not answer_types.is_about_assistant(question)
    return [0.5 if (one.role == "user") == by_user else -0.5 for one in texts]
