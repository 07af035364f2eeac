# ruff: noqa: RUF001
import json
import os
import random
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from shutil import copyfile
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from memory_service.tokens import counting, encodings
from memory_service.tokens.counting import (
    CachedCounter,
    OfflineCounter,
    TokenCounter,
    count_in_slices,
    count_message,
    count_messages,
    count_tools,
    encoding_name_for_model,
    measure,
    well_formed,
)
from memory_service.tokens.encodings import ENCODINGS, VocabularyError, open_counter
from tests.support.environment import ROOT

O200K_FILE = "fb374d419588a4632f3f557e76b4b70aebbca790"
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


class Words:
    """Counts words, so that a test can say its numbers."""

    name = "words"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def count(self, text: str) -> int:
        """Return the number of words, and note the text."""
        self.asked.append(text)
        return len(text.split())


WORDS = Words()


@pytest.fixture(scope="session")
def vocabulary_dir() -> Path:
    named = os.environ.get("TIKTOKEN_CACHE_DIR")
    folder = Path(named) if named else ROOT.parent / "shared" / "data" / "tiktoken"
    if not (folder / O200K_FILE).is_file():
        pytest.skip(f"tiktoken's vocabularies are not in {folder}: set TIKTOKEN_CACHE_DIR")
    return folder


@pytest.fixture(scope="session")
def offline() -> OfflineCounter:
    return encodings.open_offline_counter()


@pytest.fixture
def real(vocabulary_dir: Path) -> list[TokenCounter]:
    return [
        open_counter(name, allow_download=False, cache_dir=vocabulary_dir) for name in ENCODINGS
    ]


def no_network(url: str) -> bytes:
    raise AssertionError(f"the network was asked for {url}")


MESSAGES: dict[str, tuple[dict[str, Any], int]] = {
    "text": ({"role": "user", "content": "one two three"}, 3 + 1 + 3),
    "name": ({"role": "user", "name": "Ann", "content": "one"}, 3 + 1 + 1 + 1 + 1),
    "no content": ({"role": "assistant", "content": None}, 3 + 1),
    "empty content": ({"role": "user", "content": ""}, 3 + 1),
    "text parts": (
        {
            "role": "user",
            "content": [{"type": "text", "text": "a b"}, {"type": "text", "text": "c"}],
        },
        3 + 1 + 3,
    ),
    "image, low": (
        {
            "role": "user",
            "content": [{"type": "image_url", "image_url": {"url": "x", "detail": "low"}}],
        },
        3 + 1 + counting.IMAGE_LOW_TOKENS,
    ),
    "image": (
        {
            "role": "user",
            "content": [{"type": "image_url", "image_url": {"url": "data:," + "A" * 9999}}],
        },
        3 + 1 + counting.IMAGE_TOKENS,
    ),
    "sound": (
        {
            "role": "user",
            "content": [
                {"type": "input_audio", "input_audio": {"data": "A" * 5001, "format": "mp3"}}
            ],
        },
        3 + 1 + 11,
    ),
    "wave sound": (
        {
            "role": "user",
            "content": [
                {"type": "input_audio", "input_audio": {"data": "A" * 5001, "format": "wav"}}
            ],
        },
        3 + 1 + 3,
    ),
    "file by id": (
        {"role": "user", "content": [{"type": "file", "file": {"file_id": "f-1"}}]},
        3 + 1 + counting.FILE_TOKENS,
    ),
    "file": (
        {
            "role": "user",
            "content": [{"type": "file", "file": {"file_data": "A" * 50_000, "filename": "a.pdf"}}],
        },
        3 + 1 + 5000 + 1,
    ),
    "unknown part": ({"role": "user", "content": [{"type": "video"}]}, 3 + 1 + 1),
    "refusal": ({"role": "assistant", "content": None, "refusal": "I will not"}, 3 + 1 + 3),
    "refusal part": (
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "I will not"}]},
        3 + 1 + 3,
    ),
    "tool calls": (
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{ 1 }"}}
            ],
        },
        3 + 1 + counting.TOOL_CALL_TOKENS + 1 + 1 + 1 + 3,
    ),
    "function call": (
        {"role": "assistant", "function_call": {"name": "f", "arguments": "{ 1 }"}},
        3 + 1 + counting.TOOL_CALL_TOKENS + 1 + 3,
    ),
    "tool result": ({"role": "tool", "tool_call_id": "c1", "content": "a b"}, 3 + 1 + 1 + 2),
    "earlier sound": (
        {"role": "assistant", "audio": {"id": "a"}},
        3 + 1 + counting.AUDIO_REFERENCE_TOKENS,
    ),
    "unknown field": ({"role": "assistant", "reasoning": "a b c"}, 3 + 1 + 3),
}


@pytest.mark.parametrize("kind", MESSAGES)
def test_every_kind_of_message_has_its_cost(kind: str) -> None:
    message, cost = MESSAGES[kind]
    assert count_message(message, WORDS) == cost


@given(
    st.lists(st.sampled_from([message for message, _ in MESSAGES.values()])),
    st.lists(st.dictionaries(st.text(), st.text() | st.integers())),
)
def test_the_cost_of_a_prompt_is_the_sum_of_its_parts(
    messages: list[dict[str, Any]], tools: list[dict[str, Any]]
) -> None:
    parts = sum(count_message(message, WORDS) for message in messages)
    expected = counting.PRIMING_TOKENS + count_tools(tools, WORDS) + parts
    assert count_messages(messages, tools, WORDS) == expected


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
fields = st.sampled_from(["role", "content", "tool_calls", "function_call", "audio", "name", "x"])
part_kinds = st.sampled_from(["text", "refusal", "image_url", "input_audio", "file", "video"])


@given(st.dictionaries(fields, json_values))
def test_no_shape_of_a_message_crashes_the_count(message: dict[str, Any]) -> None:
    assert count_message(message, WORDS) >= counting.MESSAGE_TOKENS


@given(part_kinds, json_values)
def test_no_shape_of_a_part_crashes_the_count(kind: str, value: object) -> None:
    message = {"content": [{"type": kind, kind: value}, value]}
    assert count_message(message, WORDS) >= counting.MESSAGE_TOKENS


def test_tools_are_counted_as_compact_json_in_their_own_letters() -> None:
    asked = Words()
    tool = {"type": "function", "function": {"name": "wetter", "description": "für heute"}}
    cost = count_tools([tool], asked)
    assert asked.asked == [json.dumps(tool, ensure_ascii=False, separators=(",", ":"))]
    assert cost == counting.TOOLS_TOKENS + counting.TOOL_TOKENS + 2
    assert count_tools([], asked) == count_tools(None, asked) == 0


@pytest.mark.parametrize(
    ("model", "encoding"),
    [
        (None, "o200k_base"),
        ("", "o200k_base"),
        ("llama3.1:8b", "o200k_base"),
        ("gpt-4o-mini", "o200k_base"),
        ("gpt-4.1", "o200k_base"),
        ("gpt-5-nano", "o200k_base"),
        ("o3-mini", "o200k_base"),
        ("ft:gpt-4.1:me::1", "o200k_base"),
        ("gpt-4", "cl100k_base"),
        ("gpt-4-turbo", "cl100k_base"),
        ("openai/GPT-4-0613", "cl100k_base"),
        ("gpt-3.5-turbo-16k", "cl100k_base"),
        ("gpt-35-turbo", "cl100k_base"),
        ("text-embedding-3-small", "cl100k_base"),
    ],
)
def test_a_model_has_its_encoding(model: str | None, encoding: str) -> None:
    assert encoding_name_for_model(model) == encoding


def test_a_cached_text_is_counted_once_and_a_long_one_is_kept_as_its_hash() -> None:
    inner = Words()
    cached = CachedCounter(inner, max_key_chars=10)
    texts = ["a b", "long " * 99, "", "\ud800" * 40]
    assert [cached.count(text) for text in texts * 2] == [2, 99, 0, 1] * 2
    assert inner.asked == texts
    assert len(cached) == 4


@given(st.lists(st.sampled_from("abcdefgh"), max_size=40))
def test_the_cache_holds_no_more_than_its_bound_and_the_latest(texts: list[str]) -> None:
    inner = Words()
    cached = CachedCounter(inner, max_entries=3)
    assert [cached.count(text) for text in texts] == [1] * len(texts)
    latest = list(dict.fromkeys(reversed(texts)))[:3]
    inner.asked.clear()
    assert sum(map(cached.count, latest)) == len(latest) == len(cached)
    assert not inner.asked


def test_many_threads_get_the_right_counts_and_keep_the_bound() -> None:
    cached = CachedCounter(Words(), max_entries=50)
    texts = [" ".join(["w"] * size) for size in range(1, 200)]
    random.Random(1).shuffle(texts)
    with ThreadPoolExecutor(8) as pool:
        counts = list(pool.map(cached.count, texts * 20))
    assert counts == [len(text.split()) for text in texts * 20]
    assert len(cached) == 50


@given(st.text(alphabet="ab \n", max_size=200), st.integers(1, 20))
def test_slices_are_bounded_and_cover_the_text(text: str, limit: int) -> None:
    seen: list[str] = []
    count_in_slices(text, lambda piece: seen.append(piece) or 0, limit)  # type: ignore[func-returns-value]
    assert "".join(seen) == text
    assert all(len(piece) <= limit for piece in seen)


@given(st.lists(st.text(alphabet="abc", min_size=1, max_size=5), max_size=60))
def test_cuts_before_a_blank_cost_nothing(words: list[str]) -> None:
    text = " ".join(words)
    assert count_in_slices(text, lambda piece: len(piece.split()), 12) == len(words)


def test_an_empty_text_has_no_tokens(offline: OfflineCounter) -> None:
    assert offline.count("") == 0
    assert CachedCounter(offline).count("") == 0


@given(st.text(alphabet=st.characters(), min_size=1, max_size=60))
def test_any_text_counts_at_least_one_and_at_most_its_bytes(text: str) -> None:
    counted = OfflineCounter(len).count(text)
    assert 1 <= counted <= len(well_formed(text).encode())


@given(
    st.text(alphabet="aé1\n .бあ明한กक💡ა", min_size=1, max_size=60), st.sampled_from("a1 б明💡ა")
)
def test_the_estimate_grows_with_the_text(text: str, more: str) -> None:
    counter = OfflineCounter(len)
    assert counter.count(text + more) >= counter.count(text)


def test_text_is_measured_by_script() -> None:
    measured = measure("Hello 2024, мир и 東京です!\n\n", len)
    assert measured["cyrillic"] == len("мир и")
    assert measured["japanese"] == len("東京です")
    assert (measured["digits"], measured["lines"], measured["accented"]) == (2, 1, 0)
    assert "bytes" not in measured


def test_a_script_without_a_factor_counts_its_bytes() -> None:
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
def test_a_huge_run_of_one_sign_is_counted(
    sign: str, offline: OfflineCounter, real: list[TokenCounter]
) -> None:
    least = max(counter.count(sign * 1_000_000) for counter in real)
    assert 1000 <= least <= offline.count(sign * 1_000_000) + 1000 * counting.CUT_TOKENS


@pytest.mark.parametrize("at", range(len(TURNS)))
def test_the_estimate_is_not_below_the_real_count(
    at: int, offline: OfflineCounter, real: list[TokenCounter]
) -> None:
    text = "\n".join([TURNS[at]] * 4)
    least = max(counter.count(text) for counter in real)
    assert least <= offline.count(text) <= 1.6 * least


def test_the_estimate_is_not_below_the_real_count_of_our_own_files(
    offline: OfflineCounter, real: list[TokenCounter]
) -> None:
    for path in (Path(__file__), ROOT / "pyproject.toml", Path(counting.__file__)):
        text = path.read_text(encoding="utf-8")
        least = max(counter.count(text) for counter in real)
        assert least <= offline.count(text) <= 1.3 * least


def test_slicing_hardly_changes_the_real_count(real: list[TokenCounter]) -> None:
    text = "\n".join(TURNS)
    for counter in real:
        whole = counter.count(text)
        assert whole <= count_in_slices(text, counter.count, 100) <= 1.25 * whole


def test_a_vocabulary_in_the_cache_needs_no_network(vocabulary_dir: Path) -> None:
    counter = open_counter(
        "o200k_base", allow_download=True, cache_dir=vocabulary_dir, fetch=no_network
    )
    assert counter.name == "tiktoken:o200k_base"
    assert counter.count("hello world") == 2


def test_without_a_vocabulary_the_estimate_counts_and_one_warning_says_so(tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as logs:
        counters = {
            id(
                open_counter(
                    ENCODINGS[0], allow_download=False, cache_dir=tmp_path, fetch=no_network
                )
            )
            for _ in range(3)
        }
    assert len(counters) == 1
    assert [(log["log_level"], log["counter"]) for log in logs] == [("warning", "offline:llama+5%")]
    assert "No such file" in logs[0]["reason"]


def test_no_cache_at_all_is_no_error() -> None:
    counter = open_counter(ENCODINGS[0], allow_download=False, cache_dir=None)
    assert counter.name == "offline:llama+5%"
    assert counter.count("hello world") >= 2


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-9], lambda _: b"", lambda data: data + b"\n"]
)
def test_a_damaged_file_is_not_used_and_left_alone(
    damage: Callable[[bytes], bytes], tmp_path: Path, vocabulary_dir: Path
) -> None:
    damaged = damage((vocabulary_dir / O200K_FILE).read_bytes())
    (tmp_path / O200K_FILE).write_bytes(damaged)
    with structlog.testing.capture_logs() as logs:
        counter = open_counter("o200k_base", allow_download=False, cache_dir=tmp_path)
    assert counter.name.startswith("offline:")
    assert [log["log_level"] for log in logs] == ["warning"]
    assert (tmp_path / O200K_FILE).read_bytes() == damaged


def test_an_allowed_download_replaces_a_damaged_file(tmp_path: Path, vocabulary_dir: Path) -> None:
    (tmp_path / O200K_FILE).write_bytes(b"half")
    data = (vocabulary_dir / O200K_FILE).read_bytes()
    counter = open_counter(
        "o200k_base", allow_download=True, cache_dir=tmp_path, fetch=lambda _: data
    )
    assert counter.name == "tiktoken:o200k_base"
    assert [path.name for path in tmp_path.iterdir()] == [O200K_FILE]
    assert (tmp_path / O200K_FILE).read_bytes() == data


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path, vocabulary_dir: Path) -> None:
    blocked = tmp_path / "file"
    copyfile(vocabulary_dir / O200K_FILE, blocked)
    counter = open_counter(
        "o200k_base", allow_download=True, cache_dir=blocked, fetch=lambda _: blocked.read_bytes()
    )
    assert counter.name == "tiktoken:o200k_base"


def _unreachable(url: str) -> bytes:
    raise VocabularyError(f"{url} is out of reach")


@pytest.mark.parametrize("fetch", [_unreachable, lambda _: b"<html>please log in</html>"])
def test_a_failed_download_falls_back(fetch: Callable[[str], bytes], tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as logs:
        counter = open_counter("o200k_base", allow_download=True, cache_dir=tmp_path, fetch=fetch)
    assert counter.name == "offline:llama+5%"
    assert len(logs) == 1
    assert not [*tmp_path.iterdir()]


def test_an_unreachable_server_is_a_vocabulary_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(VocabularyError, match="/x cannot be downloaded"):
        encodings.download("http://127.0.0.1:9/x")


def test_threads_that_open_at_once_share_one_counter(tmp_path: Path) -> None:
    barrier = threading.Barrier(8)

    def open_it(_: int) -> TokenCounter:
        barrier.wait()
        return open_counter("cl100k_base", allow_download=False, cache_dir=tmp_path)

    with structlog.testing.capture_logs() as logs, ThreadPoolExecutor(8) as pool:
        opened = {id(counter) for counter in pool.map(open_it, range(8))}
    assert len(opened) == 1
    assert len(logs) == 1


def test_an_unknown_encoding_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="o200k_base, cl100k_base"):
        open_counter("gpt2", allow_download=False, cache_dir=tmp_path)


def test_the_package_with_the_tokenizer_is_not_imported(offline: OfflineCounter) -> None:
    assert offline.count("hello") >= 1
    assert "wordllama" not in sys.modules


def test_a_missing_tokenizer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encodings, "_PACKAGE", "not-installed-anywhere")
    with pytest.raises(VocabularyError, match="not-installed-anywhere is not installed"):
        encodings.open_offline_counter()
