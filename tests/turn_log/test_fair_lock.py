"""The lock of the turn log's writers: the thread that has waited longest is next."""

from __future__ import annotations

import threading

import pytest

from memory_service.turn_log.fair_lock import FairLock
from tests.support.storing import eventually

THREADS = 8


def test_lock_is_acquired_in_order_of_requests() -> None:
    lock, order = FairLock(), list[int]()
    threads: list[threading.Thread] = []

    def take(number: int) -> None:
        with lock:
            order.append(number)

    with lock:
        for number in range(THREADS):
            threads.append(threading.Thread(target=take, args=(number,)))
            threads[-1].start()
            eventually(lambda: lock.waiting == len(threads))
        assert order == []
    for thread in threads:
        thread.join()
    assert order == list(range(THREADS))


def test_repeated_request_comes_after_waiting_threads() -> None:
    lock, order = FairLock(), list[str]()

    def take() -> None:
        with lock:
            order.append("waited")

    thread = threading.Thread(target=take)
    with lock:
        thread.start()
        eventually(lambda: lock.waiting == 1)
    with lock:
        order.append("again")
    thread.join()
    assert order == ["waited", "again"]


def test_one_thread_holds_lock_at_a_time() -> None:
    lock, inside, peak = FairLock(), 0, 0

    def work() -> None:
        nonlocal inside, peak
        for _ in range(300):
            with lock:
                inside += 1
                peak = max(peak, inside)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert peak == 1


def test_error_releases_lock() -> None:
    lock = FairLock()
    with pytest.raises(ValueError, match="inside"), lock:
        raise ValueError("inside")
    with lock:
        assert lock.waiting == 0
