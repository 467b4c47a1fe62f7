from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from dlrun.dataset.room import Room


def test_threads_hold_no_more_than_there_is_room_for() -> None:
    room, lock, held, most = Room(10), threading.Lock(), 0, 0
    both = threading.Barrier(2, timeout=10)

    def work(count: int, together: bool = False) -> None:
        nonlocal held, most
        with room.taken(count):
            with lock:
                held += count
                most = max(most, held)
            if together:
                both.wait()
            with lock:
                held -= count

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, [5, 5, 9, 1, 2, 7, 9, 10] * 20))
        list(pool.map(work, [5, 5], [True, True]))  # both are in at once, or it fails
    assert most == 10


def test_who_needs_more_gets_in_alone() -> None:
    room = Room(10)
    entered = threading.Event()

    def enter() -> None:
        with room.taken(1):
            entered.set()

    with room.taken(1000):
        thread = threading.Thread(target=enter)
        thread.start()
        assert not entered.wait(0.05)
    thread.join(10)
    assert entered.is_set()
