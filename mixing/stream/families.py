"""The sources of a mixture with what an earlier mixture drew of them by other slices, and what is handed over.

A slice that is not in the mixture any more rests: nothing is drawn by it, and its cursor still tells the other slices
of its source what it drew. Documents that wait in it, cut or not yet packed, go on in a slice of the mixture that has
them; where none has, they stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from configs.errors import UserError
from mixing.stream.cursor import DocumentFeed, Piece, Place
from mixing.stream.document_source import DocumentSource
from mixing.stream.order import DocumentOrder
from mixing.stream.sliced_documents import SlicedDocuments
from mixing.stream.state import SourceState, check_source, feed_state, set_feed


class Families:
    """The feeds of a mixture, those that rest, and the states of sources that have nothing to do with it."""

    def __init__(self, feeds: Sequence[DocumentFeed], known: Iterable[DocumentSource], seed: int) -> None:
        """Let the feeds of each source know of each other.

        Args:
            feeds: of the mixture.
            known: sources and slices that an earlier mixture may have drawn from.
            seed: of the order.

        Raises:
            UserError: slices of one source are of different documents.
        """
        self._feeds, self._seed = feeds, seed
        drawn = {feed.source.name for feed in feeds}
        self._known: dict[str, DocumentSource] = {}
        for source in (*(feed.source for feed in feeds), *known):
            for own in (source, source.whole) if isinstance(source, SlicedDocuments) else (source,):
                if own.name not in drawn:
                    self._known.setdefault(own.name, own)
        identities: dict[str, str] = {}
        for feed in feeds:
            whole = feed.order.whole
            if identities.setdefault(whole.name, whole.identity) != whole.identity:
                raise UserError(f"the slices of {whole.name!r} are of different documents; run `make mixture` again")
        self._resting: dict[str, DocumentFeed] = {}
        self._elsewhere: dict[str, SourceState] = {}
        self._share()

    def load(self, states: Mapping[str, SourceState], moved_on: bool, drawn: Sequence[bool]) -> None:
        """Put all feeds where they stood.

        Args:
            states: by source.
            moved_on: whether the mixture is another one, so that what waits in slices that rest is handed over.
            drawn: of each feed of the mixture, whether it has a weight.

        Raises:
            UserError: the documents of a source are other ones, or a slice is not known any more.
        """
        feeds = {feed.source.name: feed for feed in self._feeds}
        wholes = {feed.order.whole.name for feed in self._feeds}
        resting = {
            name: self._known_source(name, state)
            for name, state in sorted(states.items())
            if name not in feeds and (state.slice_of or name) in wholes and state.was_drawn
        }
        for source in (*(feed.source for feed in self._feeds), *resting.values()):  # all, before the first one moves
            if source.name in states:
                check_source(source, states[source.name])
        self._resting = {name: DocumentFeed(source, -1, self._seed) for name, source in resting.items()}
        self._elsewhere = {
            name: state for name, state in states.items() if name not in feeds and name not in self._resting
        }
        self._share()
        for name, feed in (*feeds.items(), *self._resting.items()):
            if name in states:
                set_feed(feed, states[name])
            else:
                feed.go_to(0, 0, ())
        if moved_on:
            self._hand_over([feed for feed, has_weight in zip(self._feeds, drawn, strict=True) if has_weight])

    def resting(self) -> dict[str, SourceState]:
        """Return the states of all sources that are not in the mixture."""
        return self._elsewhere | {name: feed_state(feed, ()) for name, feed in self._resting.items()}

    def _known_source(self, name: str, state: SourceState) -> DocumentSource:
        if name not in self._known:
            raise UserError(
                f"documents of {state.slice_of!r} were drawn from the slice {name!r}, which this mixture does not "
                "have, and would be drawn again; keep the stage that drew them in the mixture, or open the stream with "
                "`earlier` naming the mixture that has it"
            )
        return self._known[name]

    def _share(self) -> None:
        moving: dict[str, list[DocumentOrder]] = {}
        resting: dict[str, list[DocumentOrder]] = {}
        for orders, feeds in ((moving, self._feeds), (resting, self._resting.values())):
            for feed in feeds:
                orders.setdefault(feed.order.whole.name, []).append(feed.order)
        for feed in self._feeds:
            name = feed.order.whole.name
            feed.share_with([own for own in moving[name] if own is not feed.order], resting.get(name, ()))

    def _hand_over(self, takers: Sequence[DocumentFeed]) -> None:
        """Give what waits in feeds that rest to the first feed of the mixture that has the document."""
        given: dict[int, list[Place]] = {}
        for feed in self._resting.values():
            pieces, whole = feed.waiting, feed.order.whole.name
            kept: dict[int, Place] = dict(enumerate(_places(pieces)))
            for number, taker in enumerate(takers):
                if taker.order.whole.name != whole or not kept:
                    continue
                for place, position in _positions(taker.order, feed.order, pieces, list(kept)).items():
                    epoch, _, start, length = kept.pop(place)
                    given.setdefault(number, []).append((epoch, position, start, length))
            feed.go_to(*feed.cursor, kept.values())
        for number, places in given.items():
            feed = takers[number]
            feed.go_to(*feed.cursor, [*_places(feed.waiting), *places])


def _places(pieces: Iterable[Piece]) -> list[Place]:
    return [(piece.epoch, piece.position, piece.start, piece.length) for piece in pieces]


def _positions(
    taker: DocumentOrder, giver: DocumentOrder, pieces: Sequence[Piece], asked: Sequence[int]
) -> dict[int, int]:
    """Return where the documents of those pieces that are asked for stand in another order; of those that are in it."""
    found: dict[int, int] = {}
    for epoch in {pieces[place].epoch for place in asked}:
        own = [place for place in asked if pieces[place].epoch == epoch]
        numbers = giver.in_whole(np.array([pieces[place].document for place in own]))
        found |= dict(zip(own, taker.positions(epoch, numbers).tolist(), strict=True))
    return {place: found[place] for place in asked if found[place] >= 0}
