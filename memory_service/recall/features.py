"""Stage 3, features: what the candidates' texts, times and positions say about a query. Pure.

The features of all candidates are computed at once, as arrays.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from memory_service.recall import answer_types, matching
from memory_service.recall.caches.token_arrays import TokenArrayCache
from memory_service.recall.candidates import CandidateTurn
from memory_service.recall.matching import QueryWord
from memory_service.recall.passages import BestPassage, PassageText
from memory_service.recall.ranking import Candidate
from memory_service.recall.time_scope import TimeScope
from memory_service.recall.word_search import QueryTerms
from memory_service.text.terms import term_spans


@dataclass(frozen=True, slots=True)
class TextFeatures:
    """The features of one text; see `ranking.Candidate`, which has fields of the same names."""

    own_words: float
    nearby_words: float
    phrase: float
    speaker: float
    answers: int
    length: float
    asks: bool


def compute_features(
    terms: QueryTerms,
    languages: Collection[str | None],
    turns: Sequence[CandidateTurn],
    texts: Sequence[PassageText],
    passages: Mapping[int, BestPassage],
    time_scope: TimeScope,
    token_arrays: TokenArrayCache,
) -> list[Candidate]:
    """Return candidates with all their features; `texts` are in the order of `turns`.

    `languages` are those of the scope.
    """
    in_time = {key: set(positions.tolist()) for key, positions in time_scope.positions.items()}
    of_texts = text_features(terms.text, terms.weights, languages, texts, token_arrays)
    return [
        Candidate(
            turn_key=turn.turn_key,
            segment=(turn.conversation_key, turn.segment),
            position=turn.position,
            created_at=turn.created_at,
            by_user=turn.by_user,
            in_time=turn.position in in_time.get(turn.conversation_key, ()),
            vector=passages[turn.turn_key].cosine if turn.turn_key in passages else None,
            own_words=text.own_words,
            nearby_words=text.nearby_words,
            phrase=text.phrase,
            speaker=text.speaker,
            answers=text.answers,
            length=text.length,
            asks=text.asks,
        )
        for turn, text in zip(turns, of_texts, strict=True)
    ]


def text_features(
    query: str,
    weights: Mapping[str, float],
    languages: Collection[str | None],
    texts: Sequence[PassageText],
    token_arrays: TokenArrayCache,
) -> list[TextFeatures]:
    """Return the features of texts for a query whose terms have `weights` in the scope.

    `languages` are those of the scope.
    """
    speakers = frozenset(text.speaker.casefold() for text in texts)
    names = answer_types.name_words(speakers)
    words = query_words(query, weights, languages, names)
    arrays = token_arrays.read(
        [(text.text, text.language) for text in texts],
        terms={term for word in words for term in word.terms},
        no_names=names,
    )
    similarities = arrays.words.match(words, token_arrays.vectors)
    follows = np.array([text.follows for text in texts], dtype=np.bool_)
    own = matching.score(words, similarities)
    nearby = matching.score(words, matching.with_neighbours(similarities, follows))
    asked = answer_types.asked_types(query)
    return [
        TextFeatures(*values)
        for values in zip(
            own.tolist(),
            nearby.tolist(),
            arrays.words.phrases(words).tolist(),
            _speaker_matches(query, texts, speakers),
            [(asked & held).bit_count() for held in arrays.answer_types],
            arrays.log_lengths,
            arrays.asks,
            strict=True,
        )
    ]


def query_words(
    query: str,
    weights: Mapping[str, float],
    languages: Collection[str | None],
    names: Collection[str],
) -> list[QueryWord]:
    """Return the distinct weighted words of a query in reading order.

    `names` are words of the speakers' names. They tell whom the query is about, not its subject.
    """
    terms_at: dict[tuple[int, int], set[str]] = {}
    for language in languages:
        for span in term_spans(query, language):
            terms_at.setdefault((span.start, span.end), set()).add(span.term)
    words: dict[str, QueryWord] = {}
    for (start, end), terms in sorted(terms_at.items()):
        word = query[start:end].casefold().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
        word = word.removesuffix("'s")
        weight = max(weights.get(term, 0.0) for term in terms)
        if weight and word not in names:
            words.setdefault(word, QueryWord(word, frozenset(terms), weight))
    return list(words.values())


def _speaker_matches(
    query: str, texts: Sequence[PassageText], speakers: Collection[str]
) -> list[float]:
    """Return 0.5 for texts of the speaker that the query is about, and -0.5 for those of others.

    All are 0 if the query is about no speaker in particular.
    """
    named = answer_types.named_speakers(query, speakers)
    if named and len(named) < len(speakers):
        return [0.5 if text.speaker.casefold() in named else -0.5 for text in texts]
    if len({text.by_user for text in texts}) == 1:
        return [0.0] * len(texts)
    about_user = not answer_types.is_about_assistant(query)
    return [0.5 if text.by_user == about_user else -0.5 for text in texts]
