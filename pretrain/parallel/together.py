"""Tasks that all ranks do, and that fail on all of them or on none: no rank waits for one that gave up."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch.distributed as dist

Found = TypeVar("Found")


class RankError(Exception):
    """A task failed on some rank; the message is one line."""


def together(group: dist.ProcessGroup | None, task: Callable[[], Found]) -> list[Found]:
    """Return what each rank's task returned, by rank.

    Args:
        group: the ranks, which all call this, on CPUs; None is this process alone.
        task: its value goes to all ranks.

    Raises:
        RankError: the task failed on one; the message is the operating system's, or the error's own first line.
    """
    own: tuple[Found | None, str | None]
    try:
        own = (task(), None)
    except Exception as error:
        if group is None:
            raise RankError(one_line(error)) from error
        own = (None, one_line(error))
    if group is None:
        return [own[0]]  # type: ignore[list-item]
    found: list[tuple[Found, str | None]] = [own] * dist.get_world_size(group)  # type: ignore[list-item]
    dist.all_gather_object(found, own, group=group)
    failed = [(rank, wrong) for rank, (_, wrong) in enumerate(found) if wrong is not None]
    if failed:
        raise RankError(failed[0][1] if len(found) == 1 else f"{failed[0][1]} (rank {failed[0][0]})")
    return [value for value, _ in found]


def one_line(error: BaseException) -> str:
    """Return the operating system's message behind an error, or else the error's own first line."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.strerror:
            return seen.strerror
        seen = seen.__cause__ or seen.__context__
    return next((line for line in str(error).splitlines() if line), type(error).__name__)
