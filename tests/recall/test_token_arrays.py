from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from memory_service.core.models import Matrix
from memory_service.recall.matching import QueryWord
from memory_service.recall.token_arrays import Facts, Lexicon
from memory_service.text.terms import terms

CHUNKS = ["We", "met", "Bob.", "Ann's", "roses", "snake_case", "yesterday?", "3", "花园", "l'amour"]
TEXTS = st.lists(st.lists(st.sampled_from(CHUNKS), max_size=6).map(" ".join), max_size=5)
LANGUAGE = st.sampled_from([None, "en", "fr"])
ASKED = [QueryWord(term, frozenset([term]), 1.0) for term in ("rose", "met", "花园")]


def vectors(words: Sequence[str]) -> Matrix:
    return np.array([[len(word) % 3, len(word) % 2] for word in words], np.float32).reshape(-1, 2)


def shown(facts: Facts) -> object:
    match = facts.words.match(ASKED, vectors).tolist()
    return facts.kinds, facts.lengths, facts.asks, match, facts.words.phrases(ASKED).tolist()


def read(lexicon: Lexicon, texts: list[str], language: str | None) -> object:
    wanted = {term for one in ASKED for term in one.terms}
    return shown(lexicon.read([(text, language) for text in texts], wanted, ["ann"]))


@given(TEXTS, TEXTS, LANGUAGE, LANGUAGE)
def test_what_was_read_before_changes_nothing(
    before: list[str], texts: list[str], first: str | None, then: str | None
) -> None:
    """Also where the lexicon is full each time, and begins anew."""
    used, full = Lexicon(vectors), Lexicon(vectors, max_bytes=0)
    for lexicon in (used, full):
        read(lexicon, before, first)
        assert read(lexicon, texts, then) == read(Lexicon(vectors), texts, then)


@given(TEXTS, LANGUAGE)
def test_a_text_has_as_many_words_as_the_index_has_terms(
    texts: list[str], language: str | None
) -> None:
    facts = Lexicon(vectors).read([(text, language) for text in texts])
    assert np.expm1(facts.lengths).round().tolist() == [len(terms(one, language)) for one in texts]


def test_a_lexicon_never_holds_more_than_its_bytes_and_one_reading() -> None:
    lexicon = Lexicon(vectors, max_bytes=10_000)
    held = []
    for number in range(100):
        lexicon.read([(f"word{number} other{number}", None)])
        held.append(lexicon.size)
    assert 10_000 < max(held) < 13_000
