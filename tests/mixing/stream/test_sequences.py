"""Documents into sequences: every token once, in its order, boundaries where documents begin."""

import bisect
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.errors import UserError
from mixing.stream.batch import IGNORED, Batch, make_batch
from mixing.stream.cursor import DocumentFeed, Piece
from mixing.stream.sequences import BestFit, Concatenated, Sequence, SequenceMaker
from mixing.stream.shuffle import epoch_order
from tests.mixing.megatron import megatron_helpers
from tests.mixing.stream.made_documents import MadeDocuments

LENGTHS = st.lists(st.integers(0, 30), min_size=1, max_size=40).filter(any)


def feed(lengths: Iterable[int], epochs: int | None = 1, seed: int = 0) -> DocumentFeed:
    return DocumentFeed(MadeDocuments("el", tuple(lengths)), 0, seed, epochs)


def all_of(maker: SequenceMaker) -> list[Sequence]:
    found = []
    while (sequence := maker.next()) is not None:
        found.append(sequence)
    return found


def in_order(lengths: list[int], epochs: int = 1) -> list[tuple[int, int, int]]:
    """Return epoch, document and place of every token in the order of the epochs."""
    orders = [epoch_order(len(lengths), 0, "el", epoch)(np.arange(len(lengths))).tolist() for epoch in range(epochs)]
    return [
        (epoch, document, place)
        for epoch, order in enumerate(orders)
        for document in order
        for place in range(lengths[document])
    ]


def tokens_of(sequence: Sequence) -> list[tuple[int, int, int]]:
    return [
        (piece.epoch, piece.document, place)
        for piece in sequence.pieces
        for place in range(piece.start, piece.start + piece.length)
    ]


@given(LENGTHS, st.integers(1, 50), st.integers(1, 3))
def test_a_stream_is_cut_every_so_many_tokens(lengths: list[int], length: int, epochs: int) -> None:
    sequences = all_of(Concatenated(feed(lengths, epochs), length))
    tokens = in_order(lengths, epochs)
    cut = [tokens[begin : begin + length] for begin in range(0, len(tokens), length)]
    assert [tokens_of(sequence) for sequence in sequences] == cut
    following = [
        (after.epoch, after.document, after.start) if after else None for after in (own.following for own in sequences)
    ]
    assert following == [own[0] for own in cut[1:]] + [None]


def test_documents_are_cut_where_megatron_cuts_them() -> None:
    """Its index of samples, made for our order of documents."""
    helpers = megatron_helpers()
    random = np.random.default_rng(0)
    for length in (16, 128, 1000):
        lengths = random.integers(1, 300, 500)
        order = epoch_order(500, 0, "el", 0)(np.arange(500)).astype(np.int32)
        index = helpers.build_sample_idx_int32(lengths.astype(np.int32), order, length, 1, int(lengths.sum()), True, 1)
        ours = all_of(Concatenated(feed(lengths.tolist()), length))
        begins = [(piece.position, piece.start) for piece in (sequence.pieces[0] for sequence in ours)]
        # At a document's end Megatron-LM may stay there, where we are at the begin of the next one.
        theirs = [(at + 1, 0) if offset == lengths[order[at]] else (at, offset) for at, offset in index.tolist()]
        assert len(theirs) >= len(ours) - 1 > 0
        assert begins[: len(theirs)] == theirs[: len(begins)]


@given(LENGTHS, st.integers(1, 40), st.integers(1, 12), st.integers(1, 3))
def test_packing_keeps_every_token_and_whole_documents(
    lengths: list[int], length: int, window: int, epochs: int
) -> None:
    sequences = all_of(BestFit(feed(lengths, epochs), length, window))
    tokens = [token for sequence in sequences for token in tokens_of(sequence)]
    assert sorted(tokens) == sorted(in_order(lengths, epochs))
    assert all(0 < sequence.tokens <= length for sequence in sequences)
    pieces = [piece for sequence in sequences for piece in sequence.pieces]
    for piece in pieces:
        whole = lengths[piece.document]
        if whole <= length:
            assert (piece.start, piece.length) == (0, whole)
        else:  # what is over, then as many as fit
            assert piece.length == (length if piece.start else whole % length or length)
    # Documents are read from their beginning, and an epoch before the next one.
    assert [piece.epoch for piece in pieces] == sorted(piece.epoch for piece in pieces)
    seen: dict[tuple[int, int], int] = {}
    for piece in pieces:
        assert seen.get((piece.epoch, piece.document), 0) == piece.start
        seen[piece.epoch, piece.document] = piece.start + piece.length


@given(LENGTHS, st.integers(1, 40), st.integers(1, 12))
def test_a_gap_is_left_only_where_nothing_in_the_window_fits(lengths: list[int], length: int, window: int) -> None:
    maker = BestFit(feed(lengths), length, window)
    while (sequence := maker.next()) is not None:
        gap = length - sequence.tokens
        heads = [piece.length if piece.length <= length else piece.length % length or length for piece in maker.waiting]
        assert all(head > gap for head in heads)
        assert len(maker.waiting) <= window


def padding_of_windows(lengths: list[int], length: int, window: int) -> float:
    """Return the share of padding of best fit decreasing in windows that do not slide."""
    bins = 0
    for begin in range(0, len(lengths), window):
        parts = [
            part for own in lengths[begin : begin + window] for part in [length] * (own // length) + [own % length]
        ]
        free: list[int] = []
        for part in sorted((part for part in parts if part), reverse=True):
            place = bisect.bisect_left(free, part)
            bisect.insort(free, (free.pop(place) if place < len(free) else length) - part)
        bins += len(free)
    return 1 - sum(lengths) / (bins * length)


@pytest.mark.parametrize("length", [512, 2048, 8192])
@pytest.mark.parametrize(("typical", "sigma"), [(400, 1.0), (1300, 1.2)])
def test_a_sliding_window_pads_less_than_one_that_stands(length: int, typical: int, sigma: float) -> None:
    random = np.random.default_rng(0)
    lengths = np.maximum(1, random.lognormal(np.log(typical), sigma, 4000)).astype(int).tolist()
    sequences = all_of(BestFit(feed(lengths), length, 256))
    padding = 1 - sum(lengths) / (length * len(sequences))
    assert padding < 0.01
    assert padding < padding_of_windows(lengths, length, 256)


def test_documents_far_from_the_gap_do_not_fill_it() -> None:
    """With a reach, what fills a gap is within that many tokens of the feed."""
    order = epoch_order(6, 0, "el", 0)(np.arange(6)).tolist()
    lengths = [0] * 6
    for place, own in enumerate([6, 6, 6, 6, 4, 4]):
        lengths[order[place]] = own
    near = BestFit(feed(lengths), 10, 10, reach=6)
    assert [[piece.length for piece in sequence.pieces] for sequence in all_of(near)] == [[6], [6], [6, 4], [6, 4]]
    far = BestFit(feed(lengths), 10, 10)
    assert [[piece.length for piece in sequence.pieces] for sequence in all_of(far)] == [[6, 4], [6, 4], [6], [6]]


def test_one_text_among_empty_ones_is_found_in_every_epoch() -> None:
    pieces = [piece for sequence in all_of(Concatenated(feed([0, 0, 5, 0], 50), 8)) for piece in sequence.pieces]
    assert sum(piece.length for piece in pieces) == 250
    assert {piece.epoch for piece in pieces} == set(range(50))


def test_a_source_without_a_token_is_refused() -> None:
    with pytest.raises(UserError, match="the source 'el' has no documents"):
        feed([])
    with pytest.raises(UserError, match="the source 'el' has no tokens"):
        Concatenated(feed([0, 0, 0], epochs=None), 4).next()


def batch_of(lengths: list[int], length: int, packed: bool = False) -> Batch:
    source = MadeDocuments("el", tuple(lengths))
    own = DocumentFeed(source, 0, 0, 1)
    sequences = all_of(BestFit(own, length, 4) if packed else Concatenated(own, length))
    return make_batch(sequences, [source], length, not packed, padding=-7)


@given(LENGTHS, st.integers(1, 40), st.booleans())
def test_a_batch_holds_the_tokens_and_tells_where_documents_begin(
    lengths: list[int], length: int, packed: bool
) -> None:
    batch = batch_of(lengths, length, packed)
    inputs, positions = batch.inputs(), batch.positions()
    targets, across = batch.targets(), batch.targets(across_documents=True)
    assert batch.tokens.shape == (len(batch.sequences), length + (not packed))
    assert inputs.shape == positions.shape == targets.shape == across.shape == (len(batch.sequences), length)
    for row, sequence in enumerate(batch.sequences):
        flat = [1_000_000 * document + place for _, document, place in tokens_of(sequence)]
        used = len(flat)
        assert inputs[row].tolist() == flat + [-7] * (length - used)
        begins = [0] + [place for place in range(1, used) if flat[place] != flat[place - 1] + 1]
        if used < length:
            begins.append(used)
        assert batch.boundaries[row].tolist() == [*begins, length]
        assert positions[row].tolist() == [place - max(b for b in begins if b <= place) for place in range(length)]
        after = sequence.following
        nexts = [*flat[1:], 1_000_000 * after.document + after.start if after else IGNORED]
        assert across[row].tolist() == nexts + [IGNORED] * (length - used)
        own = [token if token == flat[place] + 1 else IGNORED for place, token in enumerate(nexts)]
        assert targets[row].tolist() == own + [IGNORED] * (length - used)


def test_every_token_but_the_first_of_each_document_is_a_target_once() -> None:
    lengths = [7, 1, 12, 3, 30, 2]
    targets = batch_of(lengths, 8).targets()
    wanted = [1_000_000 * document + place for document, own in enumerate(lengths) for place in range(1, own)]
    assert sorted(targets[targets != IGNORED].tolist()) == wanted


def test_pieces_know_what_follows_them() -> None:
    piece = Piece(0, 1, 2, 3, 4, 10)
    first, rest = piece.split(4)
    assert (first.start, first.length, rest.start, rest.length) == (4, 4, 8, 6)
    assert rest.follows(first)
    assert not first.follows(rest)
    assert not rest._replace(epoch=2).follows(first)
