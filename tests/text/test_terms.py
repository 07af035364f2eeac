# ruff: noqa: RUF001 - words of other languages are meant to look like that

import base64
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_service.text.terms import (
    MAX_TERM_CHARACTERS,
    SUPPORTED_LANGUAGES,
    TermSpan,
    _built_identifier,
    _identifier,
    _known_chunk_terms,
    _word_terms,
    detect_language,
    term_spans,
    terms,
)

LANGUAGES = st.sampled_from([None, "en", "de", "fr", "tr", "ar", "hi", "zh", "xx"])
# Surrogates, unassigned code points and the signs that join identifiers included.
SIGNS = st.one_of(st.characters(), st.sampled_from(list("aB1.,_-/:@+#' \0’ー漢한ก\u0301\u200d")))
TEXTS = st.text(SIGNS, max_size=200)


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
def test_english_is_stemmed_and_loses_only_its_function_words(
    text: str, expected: list[str]
) -> None:
    assert terms(text, "en") == expected


@pytest.mark.parametrize("language", [None, "xx", "zh"])
def test_without_a_stemmer_words_are_only_folded(language: str | None) -> None:
    assert terms("The Rooms of Anna's", language) == ["the", "rooms", "of", "anna"]


@pytest.mark.parametrize(
    ("language", "one", "other"),
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
def test_inflected_forms_meet(language: str, one: str, other: str) -> None:
    assert terms(one, language) == terms(other, language) != []


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
def test_accents_may_be_left_out(language: str | None, accented: str, plain: str) -> None:
    assert terms(accented, language) == terms(plain, language)


@pytest.mark.parametrize("one", ["для", "й", "कि", "มี"])
def test_marks_that_make_another_letter_are_kept(one: str) -> None:
    assert terms(one, None) == [one]


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
    ("one", "other"),
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
def test_spellings_of_the_same_thing_meet(one: str, other: str) -> None:
    assert terms(one, None) == terms(other, None) != []


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
def test_scripts_without_spaces_and_hangul_become_bigrams(text: str, expected: list[str]) -> None:
    assert terms(text, None) == expected


def test_spans_refer_to_the_original_text() -> None:
    text = "  ﬁne İzmir’s ｶﾞｷﾞ snakeCase"
    assert [(span.term, text[span.start : span.end]) for span in term_spans(text, None)] == [
        ("fine", "ﬁne"),
        ("izmir", "İzmir’s"),
        ("ガギ", "ｶﾞｷﾞ"),
        ("snakecase", "snakeCase"),
        ("snake", "snake"),
        ("case", "Case"),
    ]


def test_a_span_is_a_value() -> None:
    assert term_spans("Hello", None) == [TermSpan(term="hello", start=0, end=5)]


@given(TEXTS, LANGUAGES)
def test_spans_and_terms_agree(text: str, language: str | None) -> None:
    assert [span.term for span in term_spans(text, language)] == terms(text, language)


@given(TEXTS, LANGUAGES)
def test_spans_lie_inside_the_text_in_order(text: str, language: str | None) -> None:
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
def test_case_does_not_matter(text: str, language: str | None) -> None:
    assert terms(text.upper(), language) == terms(text, language)


@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=60))
def test_width_does_not_matter(text: str) -> None:
    wide = "".join(chr(ord(sign) + 0xFEE0) for sign in text)
    assert terms(wide, "en") == terms(text, "en")


@given(TEXTS, TEXTS, LANGUAGES)
def test_lines_do_not_influence_each_other(one: str, two: str, language: str | None) -> None:
    assert terms(f"{one}\n{two}", language) == terms(one, language) + terms(two, language)


@given(TEXTS)
def test_detection_never_raises_and_answers_only_what_is_supported(text: str) -> None:
    assert detect_language(text) in SUPPORTED_LANGUAGES | {None}


@pytest.mark.parametrize("language", sorted(SUPPORTED_LANGUAGES))
def test_every_supported_language_can_be_analysed(language: str) -> None:
    assert "8314" in terms("Zürich 8314 Москва τόπος कमरा", language)


@pytest.mark.parametrize(
    "unit",
    [
        *["a", "A", "aA", "a1", "a_", "_", "a'", "a.", "a-", "a+", "1,", "1,111,", "://", "("],
        *["\u0315\u0300", "a\u0315\u0300", "क\u093c\u094d", "漢", "한", "ก\u0e48", "\u1100"],
        *["\uff9e", "\ud800a", "\ufdfa", "\u200d", "👨‍👩‍👧", " ", "\n", "ab cd "],
    ],
)
def test_a_million_characters_are_read_in_one_pass(unit: str) -> None:
    text = (unit * 1_000_000)[:1_000_000]
    assert len(terms(text, "en")) <= 1_000_000
    assert detect_language(text) is None


def test_a_blob_leaves_no_monster_term() -> None:
    blob = base64.b64encode(bytes(range(256)) * 3_000).decode()
    found = terms(f"see {blob} here", "en")
    assert found[0] == "see"
    assert max(map(len, found)) <= MAX_TERM_CHARACTERS
    assert len(found) < len(blob) / 50


def test_words_longer_than_a_term_are_dropped() -> None:
    longest = "x" * MAX_TERM_CHARACTERS
    assert terms(f"{longest} {longest}x end", None) == [longest, "end"]


def test_a_long_url_keeps_its_parts_but_not_its_whole() -> None:
    url = "https://example.org/" + "/".join(["kitchen"] * 20)
    assert terms(url, None)[:4] == ["https", "example", "org", "kitchen"]


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "Yesterday I went to the cinema with my friends, the film was great."),
        ("de", "Gestern war ich mit Freunden im Kino, der Film war großartig."),
        ("fr", "Hier je suis allée au cinéma avec mes amis, le film était génial."),
        ("es", "Ayer fui al cine con mis amigos y la película estuvo muy bien."),
        ("ru", "Вчера я ходила с друзьями в кино, фильм был отличный."),
        ("ja", "昨日は友達と一緒に東京で映画を見ました。"),
        ("zh", "我昨天和朋友一起去看了电影，非常有意思。"),
        ("th", "เมื่อวานฉันไปดูหนังกับเพื่อนที่กรุงเทพ"),
        ("ko", "어제 친구와 함께 영화를 보러 갔어요. 정말 재미있었어요."),
    ],
)
def test_languages_are_detected_in_either_case(language: str, text: str) -> None:
    assert detect_language(text) == language
    assert detect_language(text.upper()) == language


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Hey! How are you?",
        "12 34 56 " * 30,
        "😀" * 100,
        "http://a.example/x " * 20,
        "for (int i = 0; i < n; i++) {\n  total += prices[i];\n}\nreturn EXIT_SUCCESS;",
        '{"user": "bob", "items": [1, 2, 3], "total": 12.5, "currency": "EUR"}',
        "import os\nimport sys\nimport json\nfrom pathlib import Path\n",
        "Вчора я ходила з друзями в кіно, фільм був чудовий",
    ],
)
def test_no_language_is_claimed_without_prose_in_a_supported_one(text: str) -> None:
    assert detect_language(text) is None


def test_threads_get_the_terms_that_one_thread_gets() -> None:
    words = [f"running{number}s gestanden{number}en" for number in range(3_000)]
    jobs = [(word, language) for word in words for language in ("en", "de")]
    with ThreadPoolExecutor(40) as pool:
        together = list(pool.map(lambda job: terms(*job), jobs))
    _known_chunk_terms.cache_clear()
    _word_terms.cache_clear()
    assert together == [terms(*job) for job in jobs]


def test_threads_build_one_identifier() -> None:
    _built_identifier.cache_clear()
    with ThreadPoolExecutor(8) as pool:
        built = list(pool.map(lambda _: id(_identifier()), range(16)))
    assert len(set(built)) == 1
