"""The exact stream of training sequences of a mixture: what a trainer iterates.

There is one order of sequences, which the weights, the seed and the documents make. Of each batch, that is `batch_size`
sequences on each of R ranks, rank r gets those at r, r + R, ...: the union over ranks is the same whatever R is. Every
rank follows the whole order, for which lengths are enough, and reads only its own tokens. Nothing is materialised: a
mixture of a billion documents needs memory for its sources only.

`state_dict` is what a checkpoint keeps. With the same mixture, the stream goes on with the very next sequence, on any
number of ranks. With another one (next stage, other weights or sources, another length or packing) the blend begins
anew, and every source goes on where it stood: documents that were cut go on with their next token, and documents that
were waiting to be packed come first. Slices of a source share its documents: see `order.py` and `families.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from collections.abc import Sequence as Many

import numpy as np

from configs.errors import UserError
from mixing.stream.batch import Batch, make_batch
from mixing.stream.blend import SampleBlend, TokenBlend, check_weights
from mixing.stream.blend_bounds import guaranteed_window, longest_piece
from mixing.stream.cursor import DocumentFeed, Piece, Place
from mixing.stream.document_source import DocumentSource
from mixing.stream.families import Families
from mixing.stream.mixed_sequences import ByPiece, BySequence, MixedSequences, PieceBlend
from mixing.stream.sequences import BestFit, Concatenated, Sequence
from mixing.stream.state import (
    MixtureState,
    SourceFigures,
    StreamConfig,
    StreamState,
    feed_state,
    place_of,
    read_state,
)


class TokenStream:
    """Batches of sequences, without end, or until a source has no more documents for its share."""

    def __init__(
        self,
        sources: Many[DocumentSource],
        weights: Many[float],
        seed: int,
        config: StreamConfig,
        batch_size: int = 1,
        rank: int = 0,
        world_size: int = 1,
        epochs: int | None = None,
        padding: int = 0,
        known: Many[DocumentSource] = (),
    ) -> None:
        """Begin at the beginning.

        Args:
            sources: by any names that are not the same.
            weights: shares of tokens; they sum to 1. A source of weight 0 is not drawn.
            seed: of the order of documents.
            config: how documents become sequences.
            batch_size: sequences of a rank in a batch.
            rank: of this process among those that share the data.
            world_size: how many there are.
            epochs: how often a source is read at most: the stream ends before one is read again. None is no end.
            padding: token that fills sequences.
            known: slices that are not in the mixture, and that an earlier one may have drawn from.

        Raises:
            UserError: weights, names or settings cannot be used, or a source has no documents.
        """
        names = [source.name for source in sources]
        if len(set(names)) < len(names):
            raise UserError(f"the sources of a mixture need names of their own: {', '.join(sorted(names))}")
        if batch_size < 1 or not 0 <= rank < world_size:
            raise UserError(f"there is no rank {rank} of {world_size} with {batch_size} sequences in a batch")
        shares = check_weights(names, weights)
        # Megatron-LM knows no weights of 0, and divides by the sum: so must who wants the same bits.
        drawn = shares > 0
        shares[drawn] /= shares[drawn].sum()
        self._sources, self._weights, self._seed = list(sources), shares.tolist(), seed
        self._batch_size, self._rank, self._world_size, self._padding = batch_size, rank, world_size, padding
        self.config = _resolved(config, self._weights)
        self._feeds = [DocumentFeed(source, number, seed, epochs) for number, source in enumerate(sources)]
        self._families = Families(self._feeds, known, seed)
        self._before = 0
        self._mixture = MixtureState(
            names=tuple(names),
            weights=tuple(self._weights),
            config=self.config,
            taken=(0,) * len(names),
            figures=(SourceFigures(),) * len(names),
        )
        self._start(self._mixture)

    @property
    def guaranteed_window(self) -> int:
        """From how many tokens on each source has its share of every window, within half a percentage point.

        Tokens are counted in the one order of all ranks, padding not among them, from where the mixture began.
        """
        own = self.config
        longest = own.sequence_length if own.max_piece is None else own.max_piece
        return guaranteed_window(self._weights, longest, _out_of_order(own))

    def figures(self) -> MixtureState:
        """Return what this mixture gave until now: sequences, padding, and tokens, documents and cuts by source."""
        tokens, documents, cuts = self._drawn.tolist()
        figures = zip(tokens, documents, cuts, strict=True)
        came_to = {
            "taken": tuple(self._mixed.taken),
            "waiting": tuple((piece.source, *place_of(piece)) for piece in self._mixed.waiting),
            "sequences": self._sequences,
            "padding": self._sequences * self.config.sequence_length - sum(tokens),
            "figures": tuple(SourceFigures(tokens=own, documents=begun, cuts=cut) for own, begun, cut in figures),
        }
        return self._mixture.model_copy(update=came_to)

    def epochs(self) -> dict[str, float]:
        """Return how often each source was read, by documents that were begun, by another slice of it, too.

        Of a slice it is how far its own order is, where those that others drew are passed over as they come.
        """
        found = {}
        touched = [
            *self._mixed.waiting,
            *self._mixed.packed_apart,
            *(own for feed in self._feeds for own in feed.waiting),
        ]
        waiting = Counter(piece.source for piece in touched if not piece.start)
        for place, feed in enumerate(self._feeds):
            epoch, position = feed.cursor
            found[feed.source.name] = epoch + (position - waiting[place]) / feed.source.documents
        return found

    def __iter__(self) -> Iterator[Batch]:
        """Return the stream itself."""
        return self

    def __next__(self) -> Batch:
        """Return the next batch of this rank; the last one may be short, and on some ranks empty.

        Raises:
            StopIteration: a source has no more documents.
            UserError: there is not one token in a source, or its files cannot be read.
        """
        own = []
        begun = False
        for place in range(self._batch_size * self._world_size):
            sequence = self._mixed.next()
            if sequence is None:
                break
            begun = True
            self._count(sequence)
            if place % self._world_size == self._rank:
                own.append(sequence)
        if not begun:
            raise StopIteration
        with_next = self.config.packing == "concatenate"
        return make_batch(own, self._sources, self.config.sequence_length, with_next, self._padding)

    def state_dict(self) -> dict[str, object]:
        """Return where the stream is, after the batch that was returned last, as JSON can hold it."""
        return self.state().model_dump(mode="json")

    def state(self) -> StreamState:
        """Return where the stream is, after the batch that was returned last."""
        apart: dict[int, list[Piece]] = {}
        for piece in self._mixed.packed_apart:
            apart.setdefault(piece.source, []).append(piece)
        sources = {feed.source.name: feed_state(feed, apart.get(place, ())) for place, feed in enumerate(self._feeds)}
        return StreamState(
            seed=self._seed,
            sequences=self._before + self._sequences,
            mixture=self.figures(),
            sources=self._families.resting() | sources,
        )

    def load_state_dict(self, data: Mapping[str, object]) -> None:
        """Go on where a stream was, with the same mixture or another one.

        Raises:
            UserError: the state is damaged or of another format, has another seed, or the documents of a source are
                other ones; or it tells of a slice of one of the sources that is not known.
        """
        state = read_state(data, self._seed)
        same = state.mixture.is_same(self._mixture)
        drawn = [weight > 0 for weight in self._weights]
        self._families.load(state.sources if same else state.set_back(), not same, drawn)
        self._before = state.sequences - (state.mixture.sequences if same else 0)
        self._start(state.mixture if same else self._mixture)

    def _start(self, mixture: MixtureState) -> None:
        """Begin, or go on with, the mixture; the feeds stand where they are to."""
        self._sequences = mixture.sequences
        self._drawn = np.array(
            [[own.tokens, own.documents, own.cuts] for own in mixture.figures], dtype=np.int64
        ).T.copy()
        self._mixed = self._by_piece(mixture) if self.config.draw == "pieces" else self._by_sequence(mixture)

    def _by_sequence(self, mixture: MixtureState) -> MixedSequences:
        own = self.config
        if own.packing == "concatenate":
            cut = [Concatenated(feed, own.sequence_length) for feed in self._feeds]
            return BySequence(cut, SampleBlend(self._weights, mixture.taken))
        packed = [BestFit(feed, own.sequence_length, own.packing_window) for feed in self._feeds]
        return BySequence(packed, TokenBlend(self._weights, mixture.taken))

    def _by_piece(self, mixture: MixtureState) -> MixedSequences:
        own = self.config
        assert own.max_piece is not None, "filled in by _resolved"
        blend = TokenBlend(self._weights, mixture.taken)
        waiting = self._waiting_pieces(mixture)
        if own.packing == "concatenate":
            feed = PieceBlend(self._feeds, blend, own.max_piece, waiting[0] if waiting else None)
            return ByPiece(feed, Concatenated(feed, own.sequence_length))
        feed = PieceBlend(self._feeds, blend, own.max_piece)
        reach = own.sequence_length - own.max_piece
        return ByPiece(feed, BestFit(feed, own.sequence_length, own.packing_window, reach, waiting))

    def _waiting_pieces(self, mixture: MixtureState) -> list[Piece]:
        """Return the pieces that wait, of all sources in the order they were drawn in."""
        places: dict[int, list[Place]] = {}
        for source, *place in mixture.waiting:
            places.setdefault(source, []).append((place[0], place[1], place[2], place[3]))
        found = {source: iter(self._feeds[source].pieces(own)) for source, own in places.items()}
        return [next(found[source]) for source, *_ in mixture.waiting]

    def _count(self, sequence: Sequence) -> None:
        self._sequences += 1
        for segment in sequence.segments():
            source = segment[0].source
            self._drawn[0, source] += sum(piece.length for piece in segment)
            self._drawn[2 if segment[0].start else 1, source] += 1


def _resolved(config: StreamConfig, weights: Many[float]) -> StreamConfig:
    """Return the settings with what is drawn, and the length of pieces, filled in."""
    own = config
    longest = longest_piece(weights)
    if own.draw is None:
        short = own.max_piece is None and (longest is None or own.sequence_length <= longest)
        own = own.model_copy(update={"draw": "sequences" if short else "pieces"})
    if own.draw == "pieces" and own.max_piece is None:
        longest = longest_piece(weights, _out_of_order(own))
        pieces = own.sequence_length if longest is None else min(longest, own.sequence_length)
        own = own.model_copy(update={"max_piece": pieces})
    return own


def _out_of_order(config: StreamConfig) -> float:
    """Return how far pieces leave their order, in pieces of the longest length: see `blend_bounds.py`."""
    return 1.0 if config.draw == "pieces" and config.packing == "best_fit" else 0.0
