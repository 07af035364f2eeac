"""The worker: its threads, how they share conversations, and the waits after a failure."""

from __future__ import annotations

import pytest
from tenacity import RetryCallState, Retrying

from memory_service.core.errors import ChatModelDown
from memory_service.core.settings import Settings
from memory_service.summaries.worker import seconds_to_wait
from memory_service.testing import RepeatingModel
from tests.summaries.doubles import SlowModel
from tests.support.storing import append, create, eventually
from tests.support.summarising import (
    build_prompt,
    ranges,
    remarks,
    summaries,
    summarising,
    summarizer,
)


def test_slow_model_delays_no_append_and_no_prompt(settings: Settings) -> None:
    model = SlowModel()
    with summarising(settings, model) as service:
        create(service, "c", *remarks(12))
        build_prompt(service)
        summarizer(service).start()
        eventually(lambda: model.waiting == 1)
        append(service, "c", *remarks(4, first=13))
        assert build_prompt(service).recent_last_seq == 16
        assert summaries(service) == []
        model.go.set()
        eventually(lambda: len(summaries(service)) == 1)
        summarizer(service).stop()


def test_conversations_are_summarised_in_parallel_one_thread_each(settings: Settings) -> None:
    model = SlowModel()
    with summarising(settings, model, summary_threads=4) as service:
        for name in ("c", "d"):
            create(service, name, *remarks(12))
            build_prompt(service, name)
        summarizer(service).start()
        eventually(lambda: model.waiting == 2)
        assert summarizer(service).status().waiting == 2
        model.go.set()
        eventually(lambda: summarizer(service).status().waiting == 0)
        summarizer(service).stop()
        assert (ranges(service, 1, "c"), len(summaries(service, "d"))) == ([(1, 10)], 1)
        assert len(model.asked) == 2


def test_answer_after_stop_is_not_stored(settings: Settings) -> None:
    model = SlowModel()
    with summarising(settings, model, summary_threads=1) as service:
        create(service, "c", *remarks(12))
        build_prompt(service)
        summarizer(service).start()
        eventually(lambda: model.waiting == 1)
        summarizer(service).stop()
        model.go.set()
        eventually(lambda: not summarizer(service).is_running)
        assert summaries(service) == []


def test_threads_try_again_after_failure(settings: Settings) -> None:
    model = RepeatingModel(failures=1)
    with summarising(settings, model, summary_threads=1) as service:
        create(service, "c", *remarks(12))
        build_prompt(service)
        summarizer(service).start()
        eventually(lambda: len(summaries(service)) == 1)
        summarizer(service).stop()
        assert (len(model.asked), summarizer(service).status().error) == (2, None)


def test_stop_ends_wait_after_failure(settings: Settings) -> None:
    model = RepeatingModel(failures=-1)
    with summarising(settings, model, summary_threads=1) as service:
        create(service, "c", *remarks(12))
        build_prompt(service)
        summarizer(service).start()
        eventually(lambda: model.asked)
        summarizer(service).stop()
        assert not summarizer(service).is_running


@pytest.mark.parametrize(
    ("attempt", "retry_after", "seconds"),
    [
        (1, None, 1.0),
        (2, None, 2.0),
        (9, None, 256.0),
        (10, None, 300.0),
        (10_000, None, 300.0),
        (1, 20.0, 20.0),
        (9, 20.0, 256.0),
        (1, 900.0, 300.0),
    ],
)
def test_wait_after_failure_doubles_unless_server_asks_for_more(
    attempt: int, retry_after: float | None, seconds: float
) -> None:
    state = RetryCallState(Retrying(), None, (), {})
    state.attempt_number = attempt
    error = ChatModelDown("It is down.", retry_after_seconds=retry_after)
    state.set_exception((ChatModelDown, error, None))
    assert seconds_to_wait(state) == seconds
