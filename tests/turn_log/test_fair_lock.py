"""The lock of the turn log's writer: whoever has waited longest is next."""

from __future__ import annotations

import threading

import pytest

from memory_service.turn_log.fair_lock import FairLock
from tests.support.storing import eventually

THREADS = 8


def test_it_is_had_in_the_order_of_asking() -> None:
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


def test_who_asks_again_at_once_comes_after_those_who_wait() -> None:
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


def test_one_thread_at_a_time_is_inside() -> None:
    lock, inside, most = FairLock(), 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(300):
            with lock:
                inside += 1
                most = max(most, inside)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_an_error_inside_hands_it_on() -> None:
    lock = FairLock()
    with pytest.raises(ValueError, match="inside"), lock:
        raise ValueError("inside")
    with lock:
        assert lock.waiting == 0
