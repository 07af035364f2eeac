"""Opening a counter: vocabularies in the cache, downloads, the estimate as the fallback."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from shutil import copyfile

import pytest
import structlog

from memory_service.core.errors import StartupError
from memory_service.tokens import llama_tokenizer
from memory_service.tokens.counting import TokenCounter
from memory_service.tokens.encodings import ENCODINGS, open_counter, open_offline_counter
from memory_service.tokens.estimate import OfflineCounter
from memory_service.tokens.vocabularies import VocabularyError, download
from tests.tokens.conftest import O200K_FILE


def no_network(url: str) -> bytes:
    raise AssertionError(f"the network was asked for {url}")


def test_cached_vocabulary_needs_no_network(vocabulary_dir: Path) -> None:
    counter = open_counter(
        "o200k_base", allow_download=True, cache_dir=vocabulary_dir, fetch=no_network
    )
    assert counter.name == "tiktoken:o200k_base"
    assert counter.count("hello world") == 2


def test_missing_vocabulary_falls_back_to_the_estimate_with_one_warning(tmp_path: Path) -> None:
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


def test_no_cache_folder_falls_back_to_the_estimate() -> None:
    counter = open_counter(ENCODINGS[0], allow_download=False, cache_dir=None)
    assert counter.name == "offline:llama+5%"
    assert counter.count("hello world") >= 2


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-9], lambda _: b"", lambda data: data + b"\n"]
)
def test_damaged_vocabulary_is_neither_used_nor_removed(
    damage: Callable[[bytes], bytes], tmp_path: Path, vocabulary_dir: Path
) -> None:
    damaged = damage((vocabulary_dir / O200K_FILE).read_bytes())
    (tmp_path / O200K_FILE).write_bytes(damaged)
    with structlog.testing.capture_logs() as logs:
        counter = open_counter("o200k_base", allow_download=False, cache_dir=tmp_path)
    assert counter.name.startswith("offline:")
    assert [log["log_level"] for log in logs] == ["warning"]
    assert (tmp_path / O200K_FILE).read_bytes() == damaged


def test_download_replaces_a_damaged_vocabulary(tmp_path: Path, vocabulary_dir: Path) -> None:
    (tmp_path / O200K_FILE).write_bytes(b"half")
    data = (vocabulary_dir / O200K_FILE).read_bytes()
    counter = open_counter(
        "o200k_base", allow_download=True, cache_dir=tmp_path, fetch=lambda _: data
    )
    assert counter.name == "tiktoken:o200k_base"
    assert [path.name for path in tmp_path.iterdir()] == [O200K_FILE]
    assert (tmp_path / O200K_FILE).read_bytes() == data


def test_cache_folder_that_cannot_be_written(tmp_path: Path, vocabulary_dir: Path) -> None:
    blocked = tmp_path / "file"
    copyfile(vocabulary_dir / O200K_FILE, blocked)
    counter = open_counter(
        "o200k_base", allow_download=True, cache_dir=blocked, fetch=lambda _: blocked.read_bytes()
    )
    assert counter.name == "tiktoken:o200k_base"


def _unreachable(url: str) -> bytes:
    raise VocabularyError(f"{url} is out of reach")


@pytest.mark.parametrize("fetch", [_unreachable, lambda _: b"<html>please log in</html>"])
def test_failed_download_falls_back(fetch: Callable[[str], bytes], tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as logs:
        counter = open_counter("o200k_base", allow_download=True, cache_dir=tmp_path, fetch=fetch)
    assert counter.name == "offline:llama+5%"
    assert len(logs) == 1
    assert not [*tmp_path.iterdir()]


def test_download_from_an_unreachable_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(VocabularyError, match="/x cannot be downloaded"):
        download("http://127.0.0.1:9/x")


def test_threads_that_open_a_counter_at_once_share_it(tmp_path: Path) -> None:
    barrier = threading.Barrier(8)

    def open_it(_: int) -> TokenCounter:
        barrier.wait()
        return open_counter("cl100k_base", allow_download=False, cache_dir=tmp_path)

    with structlog.testing.capture_logs() as logs, ThreadPoolExecutor(8) as pool:
        opened = {id(counter) for counter in pool.map(open_it, range(8))}
    assert len(opened) == 1
    assert len(logs) == 1


def test_download_of_one_encoding_does_not_delay_another(tmp_path: Path) -> None:
    started, released = threading.Event(), threading.Event()

    def fetch(_url: str) -> bytes:
        started.set()
        released.wait(30)
        raise VocabularyError("released")

    with ThreadPoolExecutor(1) as other_thread:
        downloading = other_thread.submit(
            open_counter, ENCODINGS[0], allow_download=True, cache_dir=tmp_path, fetch=fetch
        )
        assert started.wait(30)
        open_counter(ENCODINGS[1], allow_download=False, cache_dir=tmp_path)
        assert not downloading.done()
        released.set()
        assert downloading.result().name == "offline:llama+5%"


def test_unknown_encoding_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="o200k_base, cl100k_base"):
        open_counter("gpt2", allow_download=False, cache_dir=tmp_path)


def test_package_of_the_tokenizer_is_not_imported(offline: OfflineCounter) -> None:
    assert offline.count("hello") >= 1
    assert "wordllama" not in sys.modules


def test_missing_tokenizer_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llama_tokenizer, "_PACKAGE", "not-installed-anywhere")
    with pytest.raises(StartupError, match="not-installed-anywhere is missing"):
        open_offline_counter()
