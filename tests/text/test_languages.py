"""Language detection."""

# ruff: noqa: RUF001 - letters of other scripts are intended

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given

from memory_service.text.languages import (
    SUPPORTED_LANGUAGES,
    _built_identifier,
    _identifier,
    detect_language,
)
from tests.text.strategies import TEXTS


@given(TEXTS)
def test_detection_accepts_any_text_and_returns_supported_languages(text: str) -> None:
    assert detect_language(text) in SUPPORTED_LANGUAGES | {None}


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
def test_detection_ignores_case(language: str, text: str) -> None:
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
def test_detection_without_supported_prose_returns_none(text: str) -> None:
    assert detect_language(text) is None


def test_threads_share_one_identifier() -> None:
    _built_identifier.cache_clear()
    with ThreadPoolExecutor(8) as pool:
        built = list(pool.map(lambda _: id(_identifier()), range(16)))
    assert len(set(built)) == 1
