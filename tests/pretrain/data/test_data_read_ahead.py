"""A thread that reads ahead: order, depth, errors, and that it ends."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator

import pytest

from configs.errors import UserError
from pretrain.data.read_ahead import ReadAhead


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "read-ahead"]


def wait_until(condition: object, seconds: float = 5.0) -> None:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.002)


def test_all_items_come_in_their_order_and_the_thread_ends() -> None:
    ahead = ReadAhead(iter(range(100)), 3)
    assert list(ahead) == list(range(100))
    with pytest.raises(StopIteration):
        next(ahead)
    ahead.close()
    assert not threads()


def test_no_more_are_made_than_was_asked_for() -> None:
    made = []

    def items() -> Iterator[int]:
        for number in range(50):
            made.append(number)
            yield number

    with ReadAhead(items(), 2) as ahead:
        wait_until(lambda: len(made) == 2)
        time.sleep(0.05)
        assert len(made) == 2
        assert next(ahead) == 0
        wait_until(lambda: len(made) == 3)
        time.sleep(0.05)
        assert len(made) == 3
    assert not threads()


def test_an_error_comes_after_the_items_before_it_and_is_the_same_one() -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise UserError("the shard is damaged; make it again")

    ahead = ReadAhead(items(), 5)
    assert [next(ahead), next(ahead)] == [1, 2]
    for _ in range(2):
        with pytest.raises(UserError, match=r"^the shard is damaged; make it again$"):
            next(ahead)
    wait_until(lambda: not threads())


def test_an_error_of_the_trainer_leaves_no_thread() -> None:
    def endless() -> Iterator[int]:
        while True:
            yield 0

    with pytest.raises(ZeroDivisionError), ReadAhead(endless(), 2) as ahead:
        _ = 1 // next(ahead)
    assert not threads()
    with pytest.raises(RuntimeError, match="close"):
        next(ahead)


def test_an_object_that_is_forgotten_leaves_no_thread() -> None:
    ahead = ReadAhead(iter(range(100)), 2)
    next(ahead)
    assert threads()
    del ahead
    gc.collect()
    assert not threads()


def test_waiting_is_measured_and_what_was_ready_is_not_waited_for() -> None:
    free = threading.Event()

    def items() -> Iterator[int]:
        yield 0
        free.wait(5)
        yield 1

    with ReadAhead(items(), 2) as ahead:
        wait_until(lambda: ahead._shelf._items)
        next(ahead)
        assert ahead.wait_s < 0.05
        threading.Timer(0.2, free.set).start()
        next(ahead)
        assert 0.1 < ahead.wait_s < 2


def test_at_least_one_item_is_read_ahead() -> None:
    with pytest.raises(ValueError, match="0 items"):
        ReadAhead(iter(()), 0)
