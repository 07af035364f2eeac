"""The offline estimate, alone and against tiktoken's counts."""

# ruff: noqa: RUF001
from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_service.tokens import counting
from memory_service.tokens.cache import CachedCounter
from memory_service.tokens.counting import TokenCounter
from memory_service.tokens.estimate import OfflineCounter, measure
from memory_service.tokens.slices import CUT_TOKENS, count_in_slices, well_formed
from tests.support.environment import ROOT

SPECIAL = "<|endoftext|><|im_start|></s><s><unk><|endofprompt|>"


TURNS = (
    "Hey Mel! Good to see you! I'm swamped with the kids & work. What's up with you? Anything new?",
    "1. **Locker 8314** is on the 2nd floor.\n2. **Locker 8315** is next to it.\n\n- keys: desk",
    "def area(width: float, height: float) -> float:\n    return round(width * height, 2)\n",
    'SELECT id, "speaker" FROM turns WHERE seq BETWEEN 10 AND 250 ORDER BY seq DESC LIMIT 20;',
    '{"id": "a81bc81b-dead-4e5d-abff-90865d1e13b1", "at": "2024-03-15T09:30:00Z", "ok": true}',
    "Der Schlüssel für die Gartenhütte hängt im Flur; Jürgen weiß, wo die Bücherkisten stehen.",
    "Завтра встречаемся у входа в библиотеку, возьми с собой словарь и тёплую куртку.",
    "سنلتقي غدًا أمام المكتبة، فلا تنسَ أن تحضر المفاتيح والكتب القديمة معك.",
    "मंगलवार को पुस्तकालय के सामने मिलते हैं, चाबियाँ और पुरानी किताबें ज़रूर लाना।",
    "明天下午我们在图书馆门口见面，别忘了带钥匙和那几本旧书。",
    "明日の午後、図書館の前で会いましょう。鍵と古い本を忘れないでね。",
    "내일 오후에 도서관 앞에서 만나요. 열쇠와 오래된 책을 잊지 마세요.",
    "พรุ่งนี้บ่ายเจอกันหน้าห้องสมุดนะ อย่าลืมเอากุญแจกับหนังสือเก่ามาด้วย",
)


def test_empty_text_has_no_tokens(offline: OfflineCounter) -> None:
    assert offline.count("") == 0
    assert CachedCounter(offline).count("") == 0


@given(st.text(alphabet=st.characters(), min_size=1, max_size=60))
def test_estimate_is_between_one_and_the_bytes_of_a_text(text: str) -> None:
    counted = OfflineCounter(len).count(text)
    assert 1 <= counted <= len(well_formed(text).encode())


@given(
    st.text(alphabet="aé1\n .бあ明한กक💡ა", min_size=1, max_size=60), st.sampled_from("a1 б明💡ა")
)
def test_estimate_does_not_shrink_with_a_longer_text(text: str, suffix: str) -> None:
    counter = OfflineCounter(len)
    assert counter.count(text + suffix) >= counter.count(text)


def test_text_is_measured_by_script() -> None:
    measured = measure("Hello 2024, мир и 東京です!\n\n", len)
    assert measured["cyrillic"] == len("мир и")
    assert measured["japanese"] == len("東京です")
    assert (measured["digits"], measured["lines"], measured["accented"]) == (2, 1, 0)
    assert "bytes" not in measured


def test_script_without_a_factor_counts_its_bytes() -> None:
    assert OfflineCounter(len).count("გამარჯობა") == len("გამარჯობა".encode())


@pytest.mark.parametrize("text", ["\ud800", "a\udcffb", "\ud83d\ude42", "\udc00 привет \ud800"])
def test_lone_surrogates_are_counted(
    text: str, offline: OfflineCounter, real: list[TokenCounter]
) -> None:
    assert all(counter.count(text) >= 1 for counter in (offline, *real))


def test_special_tokens_in_a_text_are_plain_text(
    offline: OfflineCounter, real: list[TokenCounter]
) -> None:
    shortest = SPECIAL.count("<") * 3
    assert all(counter.count(SPECIAL) >= shortest for counter in (offline, *real))


@pytest.mark.parametrize("sign", ["a", " ", "\n", "!", "é", "\u0e01", "💡", "7", "\u0301"])
def test_very_long_run_of_one_sign(
    sign: str, offline: OfflineCounter, real: list[TokenCounter]
) -> None:
    real_count = max(counter.count(sign * 1_000_000) for counter in real)
    assert 1000 <= real_count <= offline.count(sign * 1_000_000) + 1000 * CUT_TOKENS


@pytest.mark.parametrize("index", range(len(TURNS)))
def test_estimate_is_not_below_the_real_count(
    index: int, offline: OfflineCounter, real: list[TokenCounter]
) -> None:
    text = "\n".join([TURNS[index]] * 4)
    real_count = max(counter.count(text) for counter in real)
    assert real_count <= offline.count(text) <= 1.6 * real_count


def test_estimate_is_not_below_the_real_count_of_source_files(
    offline: OfflineCounter, real: list[TokenCounter]
) -> None:
    for path in (Path(__file__), ROOT / "pyproject.toml", Path(counting.__file__)):
        text = path.read_text(encoding="utf-8")
        real_count = max(counter.count(text) for counter in real)
        assert real_count <= offline.count(text) <= 1.3 * real_count


def test_slices_add_few_tokens(real: list[TokenCounter]) -> None:
    text = "\n".join(TURNS)
    for counter in real:
        whole = counter.count(text)
        assert whole <= count_in_slices(text, counter.count, 100) <= 1.25 * whole
