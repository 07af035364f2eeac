"""The context windows of models: their order, what is learned, and that it is kept."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from memory_service.core.settings import Settings
from memory_service.service import Service
from memory_service.tokens.context_window import ContextWindow, WindowSource
from memory_service.upstreams.refusals import Refusal
from memory_service.upstreams.windows import ContextWindows, ModelKey, SetWindows
from tests.support.chatting import new_id
from tests.support.storing import idle_service


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with idle_service(Settings(data_dir=tmp_path_factory.mktemp("windows"))) as opened:
        yield opened


def windows_of(service: Service, set_windows: SetWindows | None = None) -> ContextWindows:
    return ContextWindows(service.log, service.deferred_writer, set_windows or SetWindows())


@pytest.fixture
def key() -> ModelKey:
    return ModelKey("http://127.0.0.1/v1", new_id())


def listed(tokens: int) -> ContextWindow:
    return ContextWindow(tokens, "list")


def test_precedence_of_sources(service: Service) -> None:
    upstream = "http://127.0.0.1/v1"
    learned = windows_of(service)
    for model in ("gpt-4", "other"):
        learned.learn(ModelKey(upstream, model), listed(5_000))
    assert learned.of(upstream, "gpt-4") == listed(5_000)
    assert learned.of("http://another/v1", "gpt-4") == ContextWindow(8_192, "table")
    assert learned.of("http://another/v1", "x") == ContextWindow(128_000, "default")
    service.deferred_writer.flush()
    of_model = windows_of(service, SetWindows(9_000, {"gpt-*": 7_000}))
    assert of_model.of(upstream, "gpt-4") == ContextWindow(7_000, "setting")
    assert of_model.of(upstream, "other") == ContextWindow(9_000, "setting")


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        ("llama3.1:8b", 3),
        ("LLAMA3.1", 2),
        ("meta/llama3.1", 2),
        ("meta/other", 4),
        ("llama2", 1),
        ("qwen", None),
    ],
)
def test_set_window_by_pattern(model: str, tokens: int | None) -> None:
    patterns = {"llama*": 1, "llama3.1": 2, "llama3.1*": 3, "meta/*": 4}
    assert SetWindows(None, patterns).of(model) == tokens


@pytest.mark.parametrize(
    ("refusal", "counted", "is_learned"),
    [
        (Refusal(4_096, 5_000), 5_100, True),
        (Refusal(4_096, 3_000, 1_200), 4_000, True),
        (Refusal(4_096), None, True),
        (Refusal(4_096, counts_answer=False), 2_048, True),
        (Refusal(), 5_000, False),
        (Refusal(4_096, 3_000), 5_000, False),
        (Refusal(4_096), 1_000, False),
        (Refusal(12_000, 14_000, is_quota=True), 14_000, False),
        (Refusal(255, 300), 300, False),
        (Refusal(20_000_001, 20_000_002), 20_000_002, False),
    ],
)
def test_refusal_is_learned_if_plausible(
    service: Service, key: ModelKey, refusal: Refusal, counted: int | None, *, is_learned: bool
) -> None:
    windows = windows_of(service)
    windows.learn_refusal(key, refusal, counted)
    window = windows.of(*key)
    if is_learned:
        assert window == ContextWindow(4_096, "refusal", refusal.counts_answer)
    else:
        assert window.source == "default"


def test_smallest_learned_window_counts(service: Service, key: ModelKey) -> None:
    windows = windows_of(service)
    sources: list[tuple[int, WindowSource]] = [
        (8_192, "list"),
        (4_096, "usage"),
        (6_000, "refusal"),
    ]
    for tokens, source in sources:
        windows.learn(key, ContextWindow(tokens, source))
    assert windows.of(*key) == ContextWindow(4_096, "usage")


def test_changed_list_overrules_what_was_observed(service: Service, key: ModelKey) -> None:
    windows = windows_of(service)
    windows.learn(key, listed(8_192))
    windows.learn(key, ContextWindow(4_096, "usage"))
    windows.learn(key, listed(8_192))
    assert windows.of(*key).source == "usage"
    windows.learn(key, listed(16_384))
    assert windows.of(*key) == listed(16_384)


def test_longer_answered_prompt_disproves_window(service: Service, key: ModelKey) -> None:
    windows = windows_of(service)
    windows.learn(key, listed(8_192))
    windows.learn(key, ContextWindow(4_096, "refusal"))
    windows.disprove(key, 4_000)
    assert windows.of(*key).tokens == 4_096
    windows.disprove(key, 5_000)
    assert windows.of(*key) == listed(8_192)
    windows.disprove(key, 9_000)
    assert windows.of(*key).source == "default"
    service.deferred_writer.flush()
    assert windows_of(service).of(*key).source == "default"


def test_learned_windows_are_kept(service: Service) -> None:
    windows = windows_of(service)
    window = ContextWindow(4_096, "refusal", counts_answer=False)
    keys = [ModelKey("u" * 300, "m" * 300 + new_id()), ModelKey("", "\ud800")]
    for key in keys:
        windows.learn(key, window)
    service.deferred_writer.flush()
    reopened = windows_of(service)
    assert [reopened.of(*key) for key in keys] == [window, window]


def test_windows_in_use_are_those_asked_for_and_learned(service: Service, key: ModelKey) -> None:
    windows = windows_of(service)
    windows.learn(key, listed(8_192))
    windows.of(key.upstream, "unknown")
    assert windows.in_use() == []
    windows.of(*key)
    assert windows.in_use() == [(key.model, listed(8_192))]
