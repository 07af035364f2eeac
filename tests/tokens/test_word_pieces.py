"""Token ids that are put together from those of words."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from memory_service.embedders.local import package_file
from memory_service.tokens.word_pieces import MAX_KNOWN_CHARS, WordPieces

TOKENIZER = Tokenizer.from_file(
    str(package_file("wordllama/tokenizers/l2_supercat_tokenizer_config.json"))
)
TOKENIZER.no_padding()
TOKENIZER.no_truncation()
WORDS = st.sampled_from([" ", "  ", "a", "don't", "\n", "</s>", "▁", "\u3000", "字", "🙂"])


def encode(text: str) -> list[int]:
    ids: list[int] = TOKENIZER.encode(text, add_special_tokens=False).ids
    return ids


PIECES = WordPieces(encode)


@given(st.lists(WORDS).map("".join) | st.text(st.characters(exclude_categories=["Cs"])))
@example(" ")
@example("one  two ")
@example("</s> two")
@example("x" * (MAX_KNOWN_CHARS + 1) + " y")
def test_the_ids_are_those_of_the_whole_text(text: str) -> None:
    assert PIECES.ids(text) == encode(text)


def test_a_word_is_encoded_once() -> None:
    asked: list[str] = []

    def noted(text: str) -> list[int]:
        asked.append(text)
        return encode(text)

    pieces = WordPieces(noted)
    pieces.ids("the cat and the dog")
    pieces.ids("the dog")
    assert sorted(asked) == ["and", "cat", "dog", "the"]
