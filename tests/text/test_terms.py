"""Terms of texts in many languages and scripts."""

# ruff: noqa: RUF001 - letters of other scripts are intended

import base64
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_service.text.languages import SUPPORTED_LANGUAGES, detect_language
from memory_service.text.terms import TermSpan, _cached_chunk_terms, term_spans, terms
from memory_service.text.words import MAX_TERM_CHARACTERS, word_terms
from tests.text.strategies import TEXTS

LANGUAGES = st.sampled_from([None, "en", "de", "fr", "tr", "ar", "hi", "zh", "xx"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The rooms of Anna's houses", ["room", "anna", "hous"]),
        ("I don't; they'll, we're, it’s!", []),
        (
            "home family room work help old new",
            ["home", "famili", "room", "work", "help", "old", "new"],
        ),
        ("O'Brien's dog", ["obrien", "brien", "dog"]),
    ],
)
def test_english_words_are_stemmed_and_stop_words_dropped(text: str, expected: list[str]) -> None:
    assert terms(text, "en") == expected


@pytest.mark.parametrize("language", [None, "xx", "zh"])
def test_words_without_stemmer_are_folded_only(language: str | None) -> None:
    assert terms("The Rooms of Anna's", language) == ["the", "rooms", "of", "anna"]


@pytest.mark.parametrize(
    ("language", "first", "second"),
    [
        ("en", "I was running", "he runs"),
        ("de", "die Häuser", "das Haus"),
        ("fr", "l’amour", "d'amour"),
        ("es", "las canciones", "una canción"),
        ("it", "dell'acqua", "acqua"),
        ("ru", "на улицах", "улица"),
        ("tr", "KADIN", "kadın"),
    ],
)
def test_inflected_forms_have_equal_terms(language: str, first: str, second: str) -> None:
    assert terms(first, language) == terms(second, language) != []


@pytest.mark.parametrize(
    ("language", "accented", "plain"),
    [
        (None, "Café Łódź smørrebrød", "cafe Lodz smorrebrod"),
        ("en", "two cafés", "two cafes"),
        ("de", "schöne Mädchen im Café", "schone Madchen im Cafe"),
        ("fr", "les élèves", "les eleves"),
        ("es", "el corazón", "el corazon"),
        ("el", "καφές", "καφες"),
        ("ru", "ёлка", "елка"),
        ("ar", "كِتَاب", "كتاب"),
    ],
)
def test_accents_do_not_change_terms(language: str | None, accented: str, plain: str) -> None:
    assert terms(accented, language) == terms(plain, language)


@pytest.mark.parametrize("word", ["для", "й", "कि", "มี"])
def test_marks_that_form_another_letter_are_kept(word: str) -> None:
    assert terms(word, None) == [word]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("C++ and C#", ["c++", "c", "c#", "c"]),
        ("3.14", ["3.14", "3", "14"]),
        ("snake_case", ["snake_case", "snake", "case"]),
        ("camelCase", ["camelcas", "camel", "case"]),
        ("HTTPServer", ["httpserver", "http", "server"]),
        ("__init__", ["init"]),
        ("/etc/nginx/nginx.conf", ["etc/nginx/nginx.conf", "etc", "nginx", "nginx", "conf"]),
        ("https://a.org/b?c=1", ["https://a.org/b?c=1", "https", "org", "b", "c", "1"]),
        ("bob@x.org", ["bob@x.org", "bob", "x", "org"]),
        ("v1.2.3", ["v1.2.3", "v1", "1", "2", "3"]),
        ("std::vector", ["std::vector", "std", "vector"]),
        ("foo-bar", ["foobar", "foo", "bar"]),
        ("2023-05-08", ["2023-05-08", "2023", "05", "08"]),
        ("+1-415-555-2671", ["1-415-555-2671", "1", "415", "555", "2671"]),
        ("#hashtag @name", ["hashtag", "name"]),
        ("iPhone12 mp3", ["iphone12", "phone", "12", "mp3", "mp", "3"]),
        ("7th 5pm", ["7th", "7", "5pm", "5", "pm"]),
        ("U.S.A.", ["usa"]),
    ],
)
def test_identifiers_are_kept_whole_and_in_parts(text: str, expected: list[str]) -> None:
    assert terms(text, "en") == expected


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("8,314", "8314"),
        ("3,14", "3.14"),
        ("１２３", "123"),
        ("٣٤", "34"),
        ("Wi-Fi", "wi\N{NON-BREAKING HYPHEN}fi"),
        ("ＡＢＣ＿ｄ", "abc_d"),
        ("ｶﾞｷﾞ", "ガギ"),
        ("soft\N{SOFT HYPHEN}ware", "software"),
        ("1️⃣", "1"),
        ("cafe\u0301", "café"),
        ("\u1112\u1161\u11ab\u1100\u116e\u11a8", "한국"),
    ],
)
def test_equivalent_spellings_have_equal_terms(first: str, second: str) -> None:
    assert terms(first, None) == terms(second, None) != []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("東京に行く", ["東京", "京に", "に行", "行く"]),
        ("猫。犬", ["猫", "犬"]),
        ("สวัสดี", ["สวั", "วัส", "สดี"]),
        ("학교에서", ["학교", "교에", "에서"]),
        ("iPhone手机2024年", ["iphone", "phone", "手机", "2024", "年"]),
    ],
)
def test_unspaced_scripts_and_hangul_become_bigrams(text: str, expected: list[str]) -> None:
    assert terms(text, None) == expected


def test_term_spans_refer_to_the_original_text() -> None:
    text = "  ﬁne İzmir’s ｶﾞｷﾞ snakeCase"
    assert [(span.term, text[span.start : span.end]) for span in term_spans(text, None)] == [
        ("fine", "ﬁne"),
        ("izmir", "İzmir’s"),
        ("ガギ", "ｶﾞｷﾞ"),
        ("snakecase", "snakeCase"),
        ("snake", "snake"),
        ("case", "Case"),
    ]


def test_term_spans_are_values() -> None:
    assert term_spans("Hello", None) == [TermSpan(term="hello", start=0, end=5)]


@given(TEXTS, LANGUAGES)
def test_term_spans_have_the_same_terms(text: str, language: str | None) -> None:
    assert [span.term for span in term_spans(text, language)] == terms(text, language)


@given(TEXTS, LANGUAGES)
def test_term_spans_are_ordered_and_inside_the_text(text: str, language: str | None) -> None:
    spans = term_spans(text, language)
    assert all(0 <= span.start < span.end <= len(text) for span in spans)
    assert [span.start for span in spans] == sorted(span.start for span in spans)


@given(TEXTS, LANGUAGES)
def test_terms_are_short_storable_and_without_spaces(text: str, language: str | None) -> None:
    for term in terms(text, language):
        assert 0 < len(term) <= MAX_TERM_CHARACTERS
        assert term.split() == [term]
        assert "\0" not in term
        assert term.encode()


@given(st.text("abcdefghijäöüéèñçøabc .,-_/'", max_size=100), st.sampled_from([None, "en", "fr"]))
def test_case_does_not_change_terms(text: str, language: str | None) -> None:
    assert terms(text.upper(), language) == terms(text, language)


@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=60))
def test_width_does_not_change_terms(text: str) -> None:
    wide = "".join(chr(ord(sign) + 0xFEE0) for sign in text)
    assert terms(wide, "en") == terms(text, "en")


@given(TEXTS, TEXTS, LANGUAGES)
def test_terms_of_lines_are_independent(first: str, second: str, language: str | None) -> None:
    assert terms(f"{first}\n{second}", language) == terms(first, language) + terms(second, language)


@pytest.mark.parametrize("language", sorted(SUPPORTED_LANGUAGES))
def test_supported_languages_yield_terms(language: str) -> None:
    assert "8314" in terms("Zürich 8314 Москва τόπος कमरा", language)


@pytest.mark.parametrize(
    "repeated",
    [
        *["a", "A", "aA", "a1", "a_", "_", "a'", "a.", "a-", "a+", "1,", "1,111,", "://", "("],
        *["\u0315\u0300", "a\u0315\u0300", "क\u093c\u094d", "漢", "한", "ก\u0e48", "\u1100"],
        *["\uff9e", "\ud800a", "\ufdfa", "\u200d", "👨‍👩‍👧", " ", "\n", "ab cd "],
    ],
)
def test_million_characters_are_read_in_linear_time(repeated: str) -> None:
    text = (repeated * 1_000_000)[:1_000_000]
    assert len(terms(text, "en")) <= 1_000_000
    assert detect_language(text) is None


def test_base64_blob_yields_few_short_terms() -> None:
    blob = base64.b64encode(bytes(range(256)) * 3_000).decode()
    blob_terms = terms(f"see {blob} here", "en")
    assert blob_terms[0] == "see"
    assert max(map(len, blob_terms)) <= MAX_TERM_CHARACTERS
    assert len(blob_terms) < len(blob) / 50


def test_words_longer_than_a_term_are_dropped() -> None:
    longest = "x" * MAX_TERM_CHARACTERS
    assert terms(f"{longest} {longest}x end", None) == [longest, "end"]


def test_long_url_is_kept_in_parts_only() -> None:
    url = "https://example.org/" + "/".join(["kitchen"] * 20)
    assert terms(url, None)[:4] == ["https", "example", "org", "kitchen"]


def test_terms_are_equal_in_many_threads() -> None:
    words = [f"running{number}s gestanden{number}en" for number in range(3_000)]
    jobs = [(word, language) for word in words for language in ("en", "de")]
    with ThreadPoolExecutor(40) as pool:
        together = list(pool.map(lambda job: terms(*job), jobs))
    _cached_chunk_terms.cache_clear()
    word_terms.cache_clear()
    assert together == [terms(*job) for job in jobs]
