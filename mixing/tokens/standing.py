"""Sources that stand in a folder of tokens already: which of them may stay, as far as the others are concerned.

Any two sources were compared when the later one was made (`disjoint.py`), or both together: `tokens.json` says with
what state of which sources. That is how a folder that was copied from elsewhere, or a command that was killed while it
published, is found out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from mixing.tokens.token_source import TOKENS_FILE, TokenSource, load_token_source


def finished_sources(out: Path) -> dict[str, TokenSource]:
    """Return the finished sources of a folder of tokens, by the names of their folders.

    Raises:
        UserError: a `tokens.json` is damaged.
    """
    paths = sorted(path.parent for path in out.glob(f"*/{TOKENS_FILE}"))
    return {path.name: load_token_source(path) for path in paths if not path.name.startswith(".")}


def are_compared(first: TokenSource, second: TokenSource) -> bool:
    """Return whether two sources, as they are, were compared; those without fingerprints cannot be, and count so."""
    return _compared(first, first.fingerprints, second, second.fingerprints)


def first_uncompared(
    trained: Iterable[TokenSource], held_out: Iterable[TokenSource]
) -> tuple[TokenSource, TokenSource] | None:
    """Return the first pair of two sources that were not compared as they are, one of each kind; None for none."""
    prints = [(own, own.fingerprints) for own in held_out]
    for first in trained:
        own = first.fingerprints
        for second, other in prints:
            if first.folder != second.folder and not _compared(first, own, second, other):
                return first, second
    return None


def _compared(first: TokenSource, own: str | None, second: TokenSource, other: str | None) -> bool:
    return (
        own is None
        or other is None
        or first.compared_with.get(second.folder.name) == other
        or second.compared_with.get(first.folder.name) == own
    )


def settled_sources(
    current: Mapping[str, TokenSource], standing: Mapping[str, TokenSource], wanted: Collection[str]
) -> dict[str, TokenSource]:
    """Return which sources need not be made again.

    Args:
        current: those that are of their corpora as they are now, by folder.
        standing: all that stand in the folder, these among them.
        wanted: names of the folders that the command makes.
    """
    return {
        name: own
        for name, own in current.items()
        if all(are_compared(own, other) for other_name, other in standing.items() if other_name != name)
        # Made together with one that is not there: the command was killed before that one was published.
        and not any(other in wanted and other not in standing for other in own.compared_with)
    }
