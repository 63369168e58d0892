"""Items that a thread makes ahead of whoever takes them."""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import Generic, Self, TypeVar

Item = TypeVar("Item")


class ReadAhead(Generic[Item]):
    """The items of an iterator in their order, at most `depth` of them ahead.

    An error of the iterator is raised where its item would have been taken. The thread ends with the last item, with an
    error, and with `close`, which also happens when nobody holds this object any more.
    """

    def __init__(self, items: Iterator[Item], depth: int) -> None:
        """Begin; nobody else may use `items` from now on.

        Raises:
            ValueError: `depth` is below 1.
        """
        if depth < 1:
            raise ValueError(f"{depth} items cannot be made ahead")
        self._shelf: _Shelf[Item] = _Shelf(depth)
        # Neither thread nor finalizer know this object: they would keep it alive.
        thread = threading.Thread(target=_fill, args=(items, self._shelf), name="read-ahead", daemon=True)
        self._stop = weakref.finalize(self, _stop, self._shelf, thread)
        self.wait_s = 0.0
        thread.start()

    def __iter__(self) -> Self:
        """Return itself."""
        return self

    def __next__(self) -> Item:
        """Return the next item; `wait_s` are the seconds that it was waited for.

        Raises:
            StopIteration: there are no more.
            RuntimeError: this was closed.
        """
        begin = time.perf_counter()
        item = self._shelf.take()
        self.wait_s = time.perf_counter() - begin
        return item

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """End the thread, and wait until it has ended: at most for the item that it is making."""
        self._stop()


class _Shelf(Generic[Item]):
    """What is made and not taken yet."""

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._items: deque[Item] = deque()
        self._changed = threading.Condition()
        self._closed = self._ended = False
        self._error: BaseException | None = None

    def wait_for_place(self) -> bool:
        """Whether an item is to be made."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._items) < self._depth)
            return not self._closed

    def put(self, item: Item) -> None:
        with self._changed:
            self._items.append(item)
            self._changed.notify_all()

    def end(self, error: BaseException | None) -> None:
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify_all()

    def take(self) -> Item:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._ended or self._items)
            if self._closed:
                raise RuntimeError("nothing is read ahead after `close`")
            if self._items:
                self._changed.notify_all()
                return self._items.popleft()
            if self._error is not None:
                raise self._error
            raise StopIteration


def _fill(items: Iterator[Item], shelf: _Shelf[Item]) -> None:
    try:
        while shelf.wait_for_place():
            try:
                item = next(items)
            except StopIteration:
                break
            shelf.put(item)
        shelf.end(None)
    except BaseException as error:  # raised again in the thread that takes the items
        shelf.end(error)


def _stop(shelf: _Shelf[Item], thread: threading.Thread) -> None:
    shelf.close()
    # The last reference may go in the thread itself, and before it was started.
    if thread is not threading.current_thread() and thread.ident is not None:
        thread.join()
