"""The state of a token stream: what a checkpoint keeps, the same on every rank.

It is O(sources), with the documents that wait to be packed. It says where each source stands, whether or not it is in
the mixture now, so that a source which is left out of a stage goes on in a later one. A slice of a source is told of
beside it: what it drew, the source's other slices do not draw again. What the mixture was and how far it came is there,
too, for going on with the very same one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from configs.errors import UserError
from configs.load import StrictModel, validate_config
from mixing.stream.cursor import DocumentFeed, Piece, Place
from mixing.stream.document_source import DocumentSource
from mixing.stream.sequences import Packing

Count = Annotated[int, Field(ge=0)]
Length = Annotated[int, Field(ge=1)]
CheckedPlace = tuple[Count, Count, Count, Length]
# Of what a state looks like: another one is not read.
FORMAT: Literal[2] = 2


class StreamConfig(StrictModel):
    """How documents become sequences.

    Attributes:
        sequence_length: tokens of a sequence.
        packing: `concatenate`, one stream that is cut, or `best_fit`, documents as whole as the sequence allows.
        packing_window: documents that a gap is filled from, with `best_fit`.
        draw: what the blend draws: whole `sequences`, each of one source, or `pieces` of documents, sources side by
            side in a sequence. None is sequences, if they are short enough for shares within half a percentage point in
            every window of a million tokens, else pieces. `best_fit` with few pieces in a sequence pads more.
        max_piece: tokens of the longest piece; None is as many as keep shares so exact. It asks for pieces.
    """

    sequence_length: Length
    packing: Packing = "concatenate"
    packing_window: Length = 256
    draw: Literal["pieces", "sequences"] | None = None
    max_piece: Length | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.max_piece is not None and self.draw == "sequences":
            raise ValueError("max_piece is of `draw: pieces`, not of sequences")
        if self.max_piece is not None and self.max_piece > self.sequence_length:
            raise ValueError(f"max_piece, {self.max_piece}, is above sequence_length, {self.sequence_length}")
        return self


class SourceState(StrictModel):
    """Where a source stands.

    Attributes:
        slice_of: the source that it is a slice of; None is a whole source.
        identity: what its documents are.
        documents: how many.
        epoch, position: of the first document that was not touched.
        pieces: touched and not used, in their order; they come before it.
    """

    slice_of: str | None
    identity: str
    documents: Length
    epoch: Count
    position: Count
    pieces: tuple[CheckedPlace, ...]

    @property
    def was_drawn(self) -> bool:
        """Whether anything was drawn at all."""
        return bool(self.epoch or self.position or self.pieces)

    @model_validator(mode="after")
    def _is_inside(self) -> Self:
        if max([self.position - 1, *(piece[1] for piece in self.pieces)]) >= self.documents:
            raise ValueError(f"there is no such position in {self.documents:,} documents")
        return self


class SourceFigures(StrictModel):
    """What was drawn from a source with this mixture: tokens, documents that were begun, cuts in documents."""

    tokens: Count = 0
    documents: Count = 0
    cuts: Count = 0


class MixtureState(StrictModel):
    """A mixture and how far it came.

    Attributes:
        names, weights: of its sources.
        config: with the length of pieces filled in.
        taken: what the blend counted of each source.
        waiting: number of the source and place of each piece that was counted and is in no sequence yet.
        sequences: that were handed out.
        padding: tokens in them that are none.
        figures: by source.
    """

    names: tuple[str, ...]
    weights: tuple[float, ...]
    config: StreamConfig
    taken: tuple[Count, ...] = ()
    waiting: tuple[tuple[Count, Count, Count, Count, Length], ...] = ()
    sequences: Count = 0
    padding: Count = 0
    figures: tuple[SourceFigures, ...] = ()

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if any(len(many) != len(self.names) for many in (self.weights, self.taken, self.figures)):
            raise ValueError("there is not one weight, count and figure for each source")
        if any(place[0] >= len(self.names) for place in self.waiting):
            raise ValueError("a piece is from a source that does not exist")
        return self

    def is_same(self, other: MixtureState) -> bool:
        """Whether it is the same mixture, wherever the two stand."""
        return (self.names, self.weights, self.config) == (other.names, other.weights, other.config)


class StreamState(StrictModel):
    """The state of a stream.

    Attributes:
        format: of the state.
        seed: of the order of documents.
        sequences: that were handed out, with this mixture and those before it.
        mixture: the one that they were drawn with last.
        sources: by name, those of earlier mixtures among them.
    """

    format: Literal[2] = FORMAT
    seed: int
    sequences: Count
    mixture: MixtureState
    sources: dict[str, SourceState]

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if missing := set(self.mixture.names) - set(self.sources):
            raise ValueError(f"nothing is said about {sorted(missing)[0]!r}")
        return self

    def set_back(self) -> dict[str, SourceState]:
        """Return where the sources stand if what waits is given back to them."""
        given: dict[str, list[Place]] = {}
        for source, *place in self.mixture.waiting:
            given.setdefault(self.mixture.names[source], []).append((place[0], place[1], place[2], place[3]))
        return {
            name: own.model_copy(update={"pieces": (*given.get(name, ()), *own.pieces)})
            for name, own in self.sources.items()
        }


def read_state(data: Mapping[str, object], seed: int) -> StreamState:
    """Return a state that was read from a checkpoint.

    Raises:
        UserError: it is none, is of another format, or of a stream with another seed.
    """
    found = data.get("format") if isinstance(data, Mapping) else None
    if found != FORMAT:
        raise UserError(
            f"the state of the token stream has the format {found!r:.40}, and {FORMAT} is what can be read here: go on "
            "with the version that wrote it, or from a checkpoint of this one"
        )
    state = validate_config(data, StreamState, "the state of the token stream")
    if state.seed != seed:
        raise UserError(
            f"the state of the token stream was made with the seed {state.seed}, the mixture has {seed}: documents "
            "would be read twice; use the seed of the run that it is from"
        )
    return state


def check_source(source: DocumentSource, state: SourceState) -> None:
    """Check that the state of a source is about the documents that it has.

    Raises:
        UserError: its documents are other ones.
    """
    if (source.identity, source.documents) != (state.identity, state.documents):
        raise UserError(
            f"the documents of {source.name!r} changed since the checkpoint: {state.documents:,} were "
            f"{state.identity or 'unnamed'}, {source.documents:,} are {source.identity or 'unnamed'}; what was read of "
            "them is not known: use the old ones, or give the source another name"
        )


def set_feed(feed: DocumentFeed, state: SourceState) -> None:
    """Put a feed where its source stood."""
    feed.go_to(state.epoch, state.position, state.pieces)


def feed_state(feed: DocumentFeed, packed_apart: Iterable[Piece]) -> SourceState:
    """Return where a source stands; `packed_apart` was taken from it and is in no sequence."""
    epoch, position = feed.cursor
    pieces = tuple(place_of(piece) for piece in (*packed_apart, *feed.waiting))
    return SourceState(
        slice_of=None if feed.order.whole is feed.source else feed.order.whole.name,
        identity=feed.source.identity,
        documents=feed.source.documents,
        epoch=epoch,
        position=position,
        pieces=pieces,
    )


def place_of(piece: Piece) -> Place:
    """Return a piece as a state holds it."""
    return piece.epoch, piece.position, piece.start, piece.length
