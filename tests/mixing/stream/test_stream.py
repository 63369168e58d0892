"""The stream of a mixture: one order for any ranks, resumed anywhere, nothing twice and nothing left out."""

import itertools
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from configs.errors import UserError
from mixing.stream.batch import Batch
from mixing.stream.blend_bounds import longest_piece, spread
from mixing.stream.cursor import Piece
from mixing.stream.shuffle import epoch_order
from mixing.stream.state import StreamConfig
from mixing.stream.stream import TokenStream
from tests.mixing.stream.made_documents import MadeDocuments, pieces_of, shares_of

Mix = tuple[list[MadeDocuments], list[float]]
SOURCES = tuple(
    MadeDocuments(name, tuple(1 + (7919 * place + 31 * number) % 60 for place in range(count)))
    for number, (name, count) in enumerate((("el", 40), ("tr", 25), ("kk", 7), ("de-en", 60)))
)
CONFIGS = st.builds(
    StreamConfig,
    sequence_length=st.integers(16, 90),
    packing=st.sampled_from(["concatenate", "best_fit"]),
    packing_window=st.integers(1, 12),
    draw=st.sampled_from([None, "sequences"]),
) | st.builds(
    StreamConfig,
    sequence_length=st.integers(16, 90),
    packing=st.sampled_from(["concatenate", "best_fit"]),
    packing_window=st.integers(1, 12),
    draw=st.just("pieces"),
    max_piece=st.integers(1, 16),
)


@st.composite
def mixes(draw: st.DrawFn) -> Mix:
    """Return some of the sources, in any order, and weights; one may be 0."""
    sources = draw(st.permutations(SOURCES))[: draw(st.integers(1, len(SOURCES)))]
    parts = [draw(st.integers(0, 4)) for _ in sources]
    whole = sum(parts) or 1
    return list(sources), [part / whole for part in parts] if sum(parts) else [1.0, *[0.0] * (len(sources) - 1)]


def stream(
    mix: Mix,
    config: StreamConfig,
    state: Mapping[str, object] | None = None,
    batch_size: int = 1,
    rank: int = 0,
    world_size: int = 1,
) -> TokenStream:
    made = TokenStream(*mix, 5, config, batch_size, rank, world_size)
    if state is not None:
        made.load_state_dict(json.loads(json.dumps(state)))
    return made


def flat(sequences: Iterable[Iterable[Piece]]) -> list[Piece]:
    return [piece for sequence in sequences for piece in sequence]


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(mixes(), CONFIGS, st.integers(1, 4), st.integers(0, 5))
def test_ranks_share_one_order(mix: Mix, config: StreamConfig, ranks: int, steps: int) -> None:
    alone = stream(mix, config, batch_size=ranks * 2)
    together = [stream(mix, config, batch_size=2, rank=rank, world_size=ranks) for rank in range(ranks)]
    for _ in range(steps):
        whole = next(alone)
        parts = [next(own) for own in together]
        for rank, part in enumerate(parts):
            np.testing.assert_array_equal(part.tokens, whole.tokens[rank::ranks])
            assert part.sequences == whole.sequences[rank::ranks]
            for own, other in zip(part.boundaries, whole.boundaries[rank::ranks], strict=True):
                np.testing.assert_array_equal(own, other)
    states = [own.state_dict() for own in (alone, *together)]
    assert all(state == states[0] for state in states)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(mixes(), CONFIGS, st.integers(0, 8), st.lists(st.integers(1, 4), min_size=1, max_size=3))
def test_a_run_that_stops_goes_on_with_the_next_sequence(
    mix: Mix, config: StreamConfig, stops: int, ranks: list[int]
) -> None:
    """On another number of ranks after each stop; blend, figures and epochs are those of a run that did not stop."""
    through = stream(mix, config)
    before = pieces_of(through, 12 * len(ranks) + stops)
    resumed = stream(mix, config)
    found = pieces_of(resumed, stops)
    for world_size in ranks:
        state = resumed.state_dict()
        own = [stream(mix, config, state, rank=rank, world_size=world_size) for rank in range(world_size)]
        for _ in range(12 // world_size):
            found += [list(sequence.pieces) for each in own for sequence in next(each).sequences]
        resumed = own[0]
    assert found == before
    assert resumed.state_dict() == through.state_dict()
    assert resumed.figures() == through.figures()
    assert resumed.epochs() == through.epochs()


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(mixes(), CONFIGS, st.integers(0, 14)), min_size=1, max_size=4))
def test_no_document_is_read_twice_or_left_out(
    stages: list[tuple[Mix, StreamConfig, int]],
) -> None:
    """Whatever is changed between stages: sources, weights, their order, lengths, packing, what is drawn."""
    read: list[tuple[str, Piece]] = []
    state: dict[str, object] | None = None
    for mix, config, batches in stages:
        own = stream(mix, config, state, batch_size=2)
        read += [(mix[0][piece.source].name, piece) for piece in flat(pieces_of(own, batches))]
        state = own.state_dict()
    assert isinstance(state, dict)
    own.load_state_dict(state)
    for source in SOURCES:
        pieces = [piece for name, piece in read if name == source.name]
        tokens = Counter(
            (piece.epoch, piece.position, place)
            for piece in pieces
            for place in range(piece.start, piece.start + piece.length)
        )
        told = own.state().set_back().get(source.name)
        if told is None:
            assert not pieces
            continue
        waiting = {
            (epoch, position, place)
            for epoch, position, start, length in told.pieces
            for place in range(start, start + length)
        }
        orders = {
            epoch: epoch_order(source.documents, 5, source.name, epoch)(np.arange(source.documents)).tolist()
            for epoch in range(told.epoch + 1)
        }
        touched = {
            (epoch, position, place)
            for epoch, order in orders.items()
            for position in range(source.documents if epoch < told.epoch else told.position)
            for place in range(source.of_lengths[order[position]])
        }
        assert all(count == 1 for count in tokens.values())
        assert not waiting & tokens.keys()
        assert waiting | tokens.keys() == touched
        assert [piece.epoch for piece in pieces] == sorted(piece.epoch for piece in pieces)
        assert all(orders[piece.epoch][piece.position] == piece.document for piece in pieces)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(mixes(), CONFIGS, st.integers(0, 6))
def test_a_changed_mixture_leaves_each_source_in_its_order(mix: Mix, config: StreamConfig, batches: int) -> None:
    """A source's pieces come by position, but for the few that fill gaps: the same in any mixture."""
    own = stream(mix, config.model_copy(update={"packing": "concatenate"}))
    for number, source in enumerate(mix[0]):
        positions = [piece[1:3] for piece in flat(pieces_of(own, batches)) if piece.source == number]
        alone = stream(([source], [1.0]), StreamConfig(sequence_length=1000))
        first = list(dict.fromkeys(piece[1:3] for piece in flat(pieces_of(alone, 3))))
        assert list(dict.fromkeys(positions)) == first[: len(set(positions))]
        own = stream(mix, config.model_copy(update={"packing": "concatenate"}))


def test_a_source_that_is_left_out_goes_on_later() -> None:
    both = list(SOURCES[:2])
    config = StreamConfig(sequence_length=40)
    first = stream((both, [0.5, 0.5]), config)
    read = [piece for piece in flat(pieces_of(first, 11)) if piece.source == 0]
    second = stream(([SOURCES[1]], [1.0]), config, first.state_dict())
    pieces_of(second, 30)
    third = stream(([SOURCES[0]], [1.0]), config, second.state_dict())
    after = flat(pieces_of(third, 3))
    assert after[0].follows(read[-1]) or (after[0].position, after[0].start) == (read[-1].position + 1, 0)
    assert third.state().sequences == 44
    assert third.figures().sequences == 3


def test_a_new_mixture_begins_its_own_blend() -> None:
    """A source that had little does not catch up on what another mixture gave."""
    both = list(SOURCES[:2])
    config = StreamConfig(sequence_length=32, draw="sequences")
    first = stream((both, [0.9, 0.1]), config)
    pieces_of(first, 50)
    second = stream((both, [0.1, 0.9]), config, first.state_dict())
    drawn = [sequence[0].source for sequence in pieces_of(second, 20)]
    assert drawn.count(0) == 2


def test_sequences_are_blended_as_megatron_does() -> None:
    weights = [0.45, 0.3, 0.05, 0.2]
    own = stream((list(SOURCES), weights), StreamConfig(sequence_length=32, draw="sequences"))
    drawn = [sequence[0].source for sequence in pieces_of(own, 300)]
    taken = [0] * 4
    for step, source in enumerate(drawn):
        errors = [weight * max(step, 1) - count for weight, count in zip(weights, taken, strict=True)]
        assert source == errors.index(max(errors))
        taken[source] += 1


def long_documents(sources: int, sigma: float) -> list[MadeDocuments]:
    """Return documents as web pages are long: a few hundred tokens, some tens of thousands."""
    random = np.random.default_rng(0)
    return [
        MadeDocuments(f"s{number}", tuple(np.maximum(1, random.lognormal(6.3, sigma, 3000)).astype(int).tolist()))
        for number in range(sources)
    ]


@pytest.mark.parametrize("packing", ["concatenate", "best_fit"])
@pytest.mark.parametrize(
    ("length", "weights"),
    [
        (2048, [0.6, 0.3, 0.1]),
        (2048, [0.3, 0.2, 0.15, 0.1, 0.1, 0.05, 0.05, 0.04, 0.005, 0.005]),
        (8192, [0.5, 0.5]),
        (32768, [0.3, 0.2, 0.15, 0.1, 0.1, 0.05, 0.05, 0.04, 0.005, 0.005]),
    ],
)
def test_shares_hold_in_every_window_of_a_million_tokens(packing: str, length: int, weights: list[float]) -> None:
    own = TokenStream(
        long_documents(len(weights), 1.3),
        weights,
        1,
        StreamConfig.model_validate({"sequence_length": length, "packing": packing}),
    )
    assert own.guaranteed_window <= 1_000_000
    pieces = flat(pieces_of(own, 3_000_000 // length))
    taken = shares_of(pieces, len(weights))
    total = taken.sum(axis=1)
    # The window that begins at a piece's begin, and the one that ends at its end, for every piece: between them the
    # difference changes evenly.
    for edges in (total, total[total >= 1_000_000] - 1_000_000):
        edges = edges[edges + 1_000_000 <= total[-1]]
        for source, weight in enumerate(weights):
            begin = np.interp(edges, total, taken[:, source])
            end = np.interp(edges + 1_000_000, total, taken[:, source])
            assert np.abs((end - begin) / 1_000_000 - weight).max() <= 0.005
    assert own.figures().padding < (0.2 if packing == "best_fit" else 1) * own.figures().sequences * length


def test_what_is_drawn_is_short_enough() -> None:
    weights = [0.5, 0.3, 0.2]
    limit = longest_piece(weights)
    assert limit is not None
    for length, draw in ((limit, "sequences"), (limit + 1, "pieces")):
        own = TokenStream(SOURCES[:3], weights, 0, StreamConfig(sequence_length=length))
        assert (own.config.draw, own.config.max_piece) == (draw, None if draw == "sequences" else limit)
        assert own.guaranteed_window <= 1_000_000
    packed = TokenStream(SOURCES[:3], weights, 0, StreamConfig(sequence_length=8192, packing="best_fit"))
    assert packed.config.max_piece == int(5000 / (spread(weights) + 1))
    whole = TokenStream(SOURCES[:3], weights, 0, StreamConfig(sequence_length=8192, draw="sequences"))
    assert whole.guaranteed_window > 1_000_000
    assert TokenStream(SOURCES[:1], [1.0], 0, StreamConfig(sequence_length=10**6)).config.draw == "sequences"
    longer = TokenStream(SOURCES[:3], weights, 0, StreamConfig(sequence_length=8192, max_piece=4096))
    assert longer.config.draw == "pieces"
    assert longer.guaranteed_window > 1_000_000


def test_figures_count_tokens_documents_cuts_and_padding() -> None:
    source = MadeDocuments("el", (10, 25, 3, 8))
    cut = TokenStream([source], [1.0], 0, StreamConfig(sequence_length=8), epochs=1)
    pieces = flat(pieces_of(cut, 100))
    figures = cut.figures()
    assert (figures.sequences, figures.padding) == (6, 2)
    assert (figures.figures[0].tokens, figures.figures[0].documents) == (46, 4)
    assert figures.figures[0].cuts == sum(piece.start > 0 for piece in pieces) > 0
    packed = TokenStream([source], [1.0], 0, StreamConfig(sequence_length=11, packing="best_fit"), epochs=1)
    pieces_of(packed, 100)
    assert packed.figures().figures[0].model_dump() == {"tokens": 46, "documents": 4, "cuts": 2}
    assert packed.figures().padding == packed.figures().sequences * 11 - 46
    assert packed.epochs() == {"el": 1.0}
    # Documents that wait to be packed were not read.
    first = TokenStream([source], [1.0], 0, StreamConfig(sequence_length=11, packing="best_fit"))
    begun = {piece.position for piece in flat(pieces_of(first, 1))}
    assert first.epochs() == {"el": len(begun) / 4}


@pytest.mark.parametrize("packing", ["concatenate", "best_fit"])
@pytest.mark.parametrize("ranks", [1, 3])
def test_a_stream_may_end_after_an_epoch(packing: str, ranks: int) -> None:
    """Validation reads every text once; all ranks get as many batches, the last ones shorter or empty."""
    source = SOURCES[0]
    config = StreamConfig.model_validate({"sequence_length": 64, "packing": packing})
    found: list[list[Batch]] = [
        list(TokenStream([source], [1.0], 0, config, 2, rank, ranks, epochs=1)) for rank in range(ranks)
    ]
    assert len({len(batches) for batches in found}) == 1
    pieces = flat(sequence.pieces for batches in found for batch in batches for sequence in batch.sequences)
    assert sum(piece.length for piece in pieces) == sum(source.of_lengths)
    assert len({piece.document for piece in pieces}) == source.documents
    ended = TokenStream([source], [1.0], 0, config, epochs=1)
    list(ended)
    again = TokenStream([source], [1.0], 0, config, epochs=1)
    again.load_state_dict(ended.state_dict())
    assert list(again) == []


def test_the_stream_ends_rather_than_read_a_source_again() -> None:
    sources = [MadeDocuments("small", (10,) * 5), MadeDocuments("large", (10,) * 500)]
    own = TokenStream(sources, [0.5, 0.5], 0, StreamConfig(sequence_length=10), epochs=1)
    pieces = flat(pieces_of(own, 1000))
    assert sum(piece.length for piece in pieces if piece.source == 0) == 50
    assert max(piece.epoch for piece in pieces) == 0


def test_state_is_refused_where_it_says_nothing_about_the_documents() -> None:
    config = StreamConfig(sequence_length=16)
    first = stream(([SOURCES[0]], [1.0]), config)
    pieces_of(first, 9)
    state = first.state_dict()
    with pytest.raises(UserError, match="the documents of 'el' changed since the checkpoint"):
        stream(([replace(SOURCES[0], identity="rewritten")], [1.0]), config, state)
    with pytest.raises(UserError, match="the documents of 'el' changed since the checkpoint"):
        stream(([replace(SOURCES[0], of_lengths=(5,) * 41)], [1.0]), config, state)
    with pytest.raises(UserError, match="made with the seed 5, the mixture has 6"):
        TokenStream([SOURCES[0]], [1.0], 6, config).load_state_dict(state)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("sources", "el", "position"), 41, "no such position in 40 documents"),
        (("sources", "el", "position"), -1, "sources.el.position"),
        (("sources", "el", "epoch"), "x", "sources.el.epoch"),
        (("sources", "el", "pieces"), [[0, 3, 0, 10_000]], "damaged: it tells of 10,000 tokens from token 0 on"),
        (("sources",), {}, "nothing is said about 'el'"),
        (("mixture", "taken"), [], "not one weight, count and figure"),
        (("mixture", "waiting"), [[7, 0, 0, 0, 1]], "a source that does not exist"),
        (("sequences",), None, "sequences"),
        (("unknown",), 1, "unknown"),
        (("format",), 1, "has the format 1, and 2 is what can be read here"),
        (("format",), None, "has the format None, and 2 is what can be read here"),
        (("sources", "el", "slice_of"), 3, "sources.el.slice_of"),
    ],
)
def test_a_damaged_state_is_one_clear_line(path: tuple[str, ...], value: object, said: str) -> None:
    config = StreamConfig(sequence_length=16)
    first = stream(([SOURCES[0]], [1.0]), config)
    pieces_of(first, 9)
    state = first.state_dict()
    inner: dict[str, object] = state
    for key in path[:-1]:
        found = inner[key]
        assert isinstance(found, dict)
        inner = found
    inner[path[-1]] = value
    with pytest.raises(UserError, match=said) as error:
        stream(([SOURCES[0]], [1.0]), config, state)
    assert "\n" not in str(error.value)


def test_what_cannot_be_is_refused() -> None:
    config = StreamConfig(sequence_length=16)
    for weights in ([0.5, 0.4], [1.5, -0.5], [float("nan"), 1.0], [1.0]):
        with pytest.raises(UserError, match="weight"):
            TokenStream(SOURCES[:2], weights, 0, config)
    with pytest.raises(UserError, match="names of their own"):
        TokenStream([SOURCES[0], SOURCES[0]], [0.5, 0.5], 0, config)
    for batch_size, rank, ranks in ((0, 0, 1), (1, 2, 2), (1, -1, 2)):
        with pytest.raises(UserError, match="there is no rank"):
            TokenStream(SOURCES[:1], [1.0], 0, config, batch_size, rank, ranks)


@pytest.mark.parametrize(
    ("settings_", "said"),
    [
        ({"sequence_length": 8, "max_piece": 9}, "max_piece, 9, is above sequence_length, 8"),
        ({"sequence_length": 8, "draw": "sequences", "max_piece": 4}, "max_piece is of `draw: pieces`"),
        ({"sequence_length": 0}, "sequence_length"),
        ({"sequence_length": 8, "packing": "first_fit"}, "packing"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings_: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        StreamConfig.model_validate(settings_)


def test_hundreds_of_sources_and_next_to_nothing() -> None:
    sources = [MadeDocuments(f"s{number}", (50, 60, 70)) for number in range(300)]
    weights = [0.0, 1e-9, *[(1 - 1e-9) / 298] * 298]
    for draw, packing in itertools.product(("pieces", "sequences"), ("concatenate", "best_fit")):
        config = StreamConfig.model_validate(
            {"sequence_length": 100, "draw": draw, "packing": packing, "packing_window": 4}
        )
        own = TokenStream(sources, weights, 0, config)
        pieces = flat(pieces_of(own, 900))
        assert {piece.source for piece in pieces} >= set(range(2, 300))
        assert not any(piece.source == 0 for piece in pieces)
