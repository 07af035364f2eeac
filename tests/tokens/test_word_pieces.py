"""Token ids that are joined from the ids of words."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from memory_service.tokens.llama_tokenizer import open_tokenizer, tokenizer_file
from memory_service.tokens.word_pieces import MAX_CACHED_CHARS, WordPieces

TOKENIZER = open_tokenizer(tokenizer_file())
WORDS = st.sampled_from([" ", "  ", "a", "don't", "\n", "</s>", "▁", "\u3000", "字", "🙂"])


def encode(text: str) -> list[int]:
    ids: list[int] = TOKENIZER.encode(text, add_special_tokens=False).ids
    return ids


PIECES = WordPieces(encode)


@given(st.lists(WORDS).map("".join) | st.text(st.characters(exclude_categories=["Cs"])))
@example(" ")
@example("one  two ")
@example("</s> two")
@example("x" * (MAX_CACHED_CHARS + 1) + " y")
def test_ids_are_those_of_the_whole_text(text: str) -> None:
    assert PIECES.ids(text) == encode(text)


def test_each_word_is_encoded_once() -> None:
    encoded_texts: list[str] = []

    def recording_encode(text: str) -> list[int]:
        encoded_texts.append(text)
        return encode(text)

    pieces = WordPieces(recording_encode)
    pieces.ids("the cat and the dog")
    pieces.ids("the dog")
    assert sorted(encoded_texts) == ["and", "cat", "dog", "the"]
