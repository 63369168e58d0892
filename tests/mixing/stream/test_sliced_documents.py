"""Slices of a source share its documents: none comes twice before all have come, whichever slices are drawn when."""

import json
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from configs.errors import UserError
from mixing.stream.cursor import Piece
from mixing.stream.document_source import DocumentSource
from mixing.stream.order import DocumentOrder
from mixing.stream.shuffle import epoch_order
from mixing.stream.sliced_documents import SlicedDocuments, SliceNumbers
from mixing.stream.state import StreamConfig
from mixing.stream.stream import TokenStream
from tests.curation.peak import peak_growth_mb
from tests.mixing.stream.made_documents import MadeDocuments, pieces_of

SEED = 5
EL = MadeDocuments("el", tuple(1 + (7919 * place) % 45 for place in range(23)))
TR = MadeDocuments("tr", (20,) * 9)
CHOICES = st.lists(st.sets(st.integers(0, EL.documents - 1), min_size=1), min_size=1, max_size=3, unique_by=frozenset)
CONFIGS = st.one_of(
    st.builds(
        StreamConfig,
        sequence_length=st.integers(16, 90),
        packing=st.sampled_from(["concatenate", "best_fit"]),
        packing_window=st.integers(1, 6),
        draw=st.just("sequences"),
    ),
    st.builds(
        StreamConfig,
        sequence_length=st.integers(16, 90),
        packing=st.sampled_from(["concatenate", "best_fit"]),
        packing_window=st.integers(1, 6),
        draw=st.just("pieces"),
        max_piece=st.integers(4, 16),
    ),
)


class Stage(NamedTuple):
    """What a stage draws from, by number: 0 is another source, 1 the whole one, then slices of it."""

    sources: list[int]
    parts: list[int]
    config: StreamConfig
    batches: int
    restart_every: int


STAGES = st.lists(
    st.builds(
        Stage,
        st.lists(st.integers(0, 4), min_size=1, max_size=3, unique=True),
        st.lists(st.integers(1, 4), min_size=3, max_size=3),
        CONFIGS,
        st.integers(1, 12),
        st.integers(1, 20),
    ),
    min_size=1,
    max_size=4,
)


def sliced(numbers: Sequence[int], whole: DocumentSource = EL) -> SlicedDocuments:
    chosen = np.array(sorted(numbers), dtype=np.int64)
    return SlicedDocuments(whole, SliceNumbers(chosen), f"{whole.name}/{'-'.join(map(str, chosen))}")


def all_sources(choices: Sequence[set[int]]) -> list[DocumentSource]:
    return [TR, EL, *(sliced(sorted(own)) for own in choices)]


def members(source: DocumentSource) -> list[int]:
    """Return the numbers of a source's documents in the whole one."""
    ranks = np.arange(source.documents)
    return list((source.numbers.at(ranks) if isinstance(source, SlicedDocuments) else ranks).tolist())


def open_stream(stage: Stage, sources: Sequence[DocumentSource], rank: int = 0, ranks: int = 1) -> TokenStream:
    drawn = [sources[number] for number in dict.fromkeys(own % len(sources) for own in stage.sources)]
    parts = stage.parts[: len(drawn)]
    weights = [part / sum(parts) for part in parts]
    return TokenStream(drawn, weights, SEED, stage.config, 1, rank, ranks, known=sources)


class Ledger:
    """What was read of the whole source, and what waits: told by the pieces and by the state alone."""

    def __init__(self, sources: Sequence[DocumentSource]) -> None:
        self.sources = {source.name: source for source in sources if source is not TR}
        self.begun: Counter[int] = Counter()
        self.read: Counter[tuple[int, int]] = Counter()
        self.touched: Counter[int] = Counter()

    def add(self, stream: TokenStream, pieces: Sequence[Piece]) -> None:
        names = stream.figures().names
        seen: set[tuple[str, int]] = set()
        for piece in pieces:
            if names[piece.source] != "tr":
                self._read(self.number(names[piece.source], piece.document), piece.start, piece.length)
                seen.add((names[piece.source], self.number(names[piece.source], piece.document)))
        waiting, begun = self.waiting(stream)
        before, self.touched = self.touched, self.begun + Counter(document for _, document in begun)
        for document, count in self.touched.items():
            assert count >= before[document]
            if count > before[document]:
                owners = [name for name, own in seen | set(begun) if own == document]
                least = [min(self.touched[own] for own in members(self.sources[name])) for name in owners]
                # All in the slice that drew it were drawn as often before.
                assert max(least) >= count - 1
        for document, count in self.touched.items():
            for place in range(EL.of_lengths[document]):
                assert self.read[document, place] + waiting[document, place] == count

    def _read(self, document: int, start: int, length: int) -> None:
        self.begun[document] += start == 0
        self.read.update((document, place) for place in range(start, start + length))

    def waiting(self, stream: TokenStream) -> tuple[Counter[tuple[int, int]], list[tuple[str, int]]]:
        """Return the tokens that wait, and the documents whose first one does, by the slice that they wait in."""
        tokens: Counter[tuple[int, int]] = Counter()
        begun = []
        for name, own in stream.state().set_back().items():
            for epoch, position, start, length in own.pieces if name in self.sources else ():
                order = epoch_order(own.documents, SEED, name, epoch)
                document = self.number(name, int(order(np.array([position]))[0]))
                tokens.update((document, place) for place in range(start, start + length))
                begun += [(name, document)] if start == 0 else []
        return tokens, begun

    def number(self, name: str, document: int) -> int:
        return members(self.sources[name])[document]


@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(CHOICES, STAGES)
def test_no_document_comes_again_before_all_of_the_slice_have(choices: list[set[int]], stages: list[Stage]) -> None:
    """Whatever is drawn: the whole source, slices that overlap, side by side or in stages, with restarts."""
    sources = all_sources(choices)
    ledger = Ledger(sources)
    state: dict[str, object] | None = None
    for stage in stages:
        stream = open_stream(stage, sources)
        if state is not None:
            stream.load_state_dict(json.loads(json.dumps(state)))
            ledger.add(stream, [])
        for batch in range(stage.batches):
            if batch % stage.restart_every == stage.restart_every - 1:
                before, stream = stream.state_dict(), open_stream(stage, sources)
                stream.load_state_dict(json.loads(json.dumps(before)))
                assert stream.state_dict() == before
            ledger.add(stream, [piece for sequence in pieces_of(stream, 1) for piece in sequence])
        state = stream.state_dict()


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(CHOICES, STAGES.filter(lambda stages: len(stages) < 4), st.integers(2, 3))
def test_a_run_that_stops_goes_on_with_the_next_sequence_on_any_ranks(
    choices: list[set[int]], stages: list[Stage], ranks: int
) -> None:
    sources = all_sources(choices)
    state: dict[str, object] | None = None
    for stage in stages:
        through, halves = open_stream(stage, sources), [open_stream(stage, sources, r, ranks) for r in range(ranks)]
        for own in (through, *halves) if state is not None else ():
            own.load_state_dict(state or {})
        expected = pieces_of(through, stage.batches * ranks)
        found: list[list[Piece]] = []
        for batch in range(stage.batches):
            if batch % (stage.restart_every + 2) == 1:
                told = halves[0].state_dict()
                halves = [open_stream(stage, sources, r, ranks) for r in range(ranks)]
                for own in halves:
                    own.load_state_dict(told)
            found += [sequence for own in halves for sequence in pieces_of(own, 1)]
        assert found == expected
        assert all(own.state_dict() == through.state_dict() for own in halves)
        state = through.state_dict()


def begun(stream: TokenStream, source: DocumentSource, batches: int) -> list[int]:
    return [members(source)[piece.document] for own in pieces_of(stream, batches) for piece in own if not piece.start]


EVEN = MadeDocuments("even", (8,) * 40)


def alone(source: DocumentSource, known: Sequence[DocumentSource], before: TokenStream | None = None) -> TokenStream:
    own = TokenStream([source], [1.0], SEED, StreamConfig(sequence_length=8), known=known)
    if before is not None:
        own.load_state_dict(before.state_dict())
    return own


def test_a_stage_of_the_best_leaves_out_what_the_stage_before_read() -> None:
    best = sliced(range(0, 40, 2), EVEN)
    first = alone(EVEN, [best])
    read = begun(first, EVEN, 30)
    second = alone(best, [best], first)
    left = [number for number in members(best) if number not in read]
    assert 0 < len(left) < 20
    found = begun(second, best, len(left) + 20)
    assert sorted(found[: len(left)]) == left
    assert sorted(found[len(left) :]) == members(best)
    # One more had been drawn by the slice: the token after its last sequence.
    rest = set(range(40)) - set(read) - set(left)
    third = alone(EVEN, [best], second)
    found = begun(third, EVEN, 1 + len(rest))
    assert rest < set(found)
    assert set(found) - rest < set(members(best))
    # Then those come that the slice has not drawn twice.
    assert set(begun(third, EVEN, 20)) == set(range(1, 40, 2))


def test_documents_that_wait_go_on_in_a_slice_that_has_them_or_stay() -> None:
    long = MadeDocuments("long", (100,) * 10)
    first = alone(long, [])
    pieces_of(first, 3)
    number = first.state().sources["long"].pieces[0][1]
    document = int(epoch_order(10, SEED, "long", 0)(np.array([number]))[0])
    with_it, others = sliced([document, (document + 1) % 10], long), sliced([(document + 1) % 10], long)
    second = alone(with_it, [with_it, others], first)
    assert second.state().sources["long"].pieces == ()
    (piece,) = pieces_of(second, 1)[0]
    assert (members(with_it)[piece.document], piece.start, piece.length) == (document, 24, 8)
    third = alone(others, [with_it, others], first)
    assert pieces_of(third, 1)[0][0].start == 0
    assert third.state().sources["long"].pieces == ((0, number, 24, 76),)
    fourth = alone(with_it, [with_it, others], third)
    assert pieces_of(fourth, 1)[0][0].start == 24


def test_a_slice_without_a_part_in_the_blend_is_given_nothing() -> None:
    first = alone(EL, [])
    pieces_of(first, 3)
    everything = sliced(range(EL.documents))
    own = TokenStream([everything, TR], [0.0, 1.0], SEED, StreamConfig(sequence_length=8))
    own.load_state_dict(first.state_dict())
    assert own.state().sources["el"] == first.state().sources["el"]


def test_many_epochs_of_the_whole_are_left_out_at_once() -> None:
    large = MadeDocuments("large", (3,) * 100_000)
    part = sliced(range(0, 100_000, 2), large)
    first = alone(large, [part])
    pieces_of(first, 1)
    state = first.state().model_dump(mode="json")
    state["sources"]["large"] |= {"epoch": 10_000, "position": 99_990, "pieces": []}
    second = alone(part, [part])
    second.load_state_dict(state)
    begin = time.process_time()
    epochs = {piece.epoch for own in pieces_of(second, 4) for piece in own}
    assert epochs <= {10_000, 10_001}
    assert time.process_time() - begin < 3


def test_epochs_and_no_tokens_are_known_with_slices_too() -> None:
    lengths = MadeDocuments("some", (0, 0, 7, 0, 0, 5))
    part, empty = sliced([0, 1, 2], lengths), sliced([0, 1], lengths)
    first = alone(lengths, [part])
    assert {piece.length for own in pieces_of(first, 60) for piece in own} >= {1}
    second = alone(part, [part], first)
    assert {piece.document for own in pieces_of(second, 9) for piece in own} <= {2}
    with pytest.raises(UserError, match="has no tokens"):
        pieces_of(alone(empty, [part], first), 1)
    ended = TokenStream([part, lengths], [0.5, 0.5], SEED, StreamConfig(sequence_length=4), epochs=1)
    pieces = [piece for own in pieces_of(ended, 100) for piece in own]
    assert sum(piece.length for piece in pieces) <= 12


def test_a_slice_that_is_not_known_is_refused_only_where_it_matters() -> None:
    part = sliced([1, 2, 3])
    first = alone(part, [part])
    fresh = first.state_dict()
    pieces_of(first, 2)
    alone(TR, []).load_state_dict(first.state_dict())
    alone(EL, []).load_state_dict(fresh)
    with pytest.raises(UserError, match="documents of 'el' were drawn from the slice 'el/1-2-3', which this") as error:
        alone(EL, []).load_state_dict(first.state_dict())
    assert "\n" not in str(error.value)
    other = MadeDocuments("el", EL.of_lengths, identity="other")
    with pytest.raises(UserError, match="the documents of 'el/1-2-3' changed since the checkpoint"):
        alone(other, [sliced([1, 2, 3], other)]).load_state_dict(first.state_dict())
    whole = alone(EL, [])
    pieces_of(whole, 2)
    with pytest.raises(UserError, match="the documents of 'el' changed since the checkpoint"):
        alone(sliced([1, 2], other), []).load_state_dict(whole.state_dict())
    with pytest.raises(UserError, match="slices of 'el' are of different documents"):
        TokenStream([other, part], [0.5, 0.5], SEED, StreamConfig(sequence_length=8))


@given(st.sets(st.integers(0, 200), min_size=1), st.lists(st.integers(0, 220), max_size=30), st.booleans())
def test_numbers_are_found_in_memory_and_in_a_file(
    tmp_path_factory: pytest.TempPathFactory, chosen: set[int], asked: list[int], in_file: bool
) -> None:
    numbers = sorted(chosen)
    array = np.array(numbers, dtype=np.int64)
    path = tmp_path_factory.getbasetemp() / "numbers.npy"
    np.save(path, array)
    own = SliceNumbers(path if in_file else array)
    for _ in range(3):
        assert own.at(np.arange(len(numbers))).tolist() == numbers
        expected = [numbers.index(number) if number in chosen else -1 for number in asked]
        assert own.ranks(np.array(asked, dtype=np.int64)).tolist() == expected
    assert (len(own), own.last) == (len(numbers), numbers[-1])


@pytest.mark.parametrize("numbers", [[3, 3], [4, 2], [-1, 5]])
def test_numbers_that_do_not_ascend_are_refused(tmp_path: Path, numbers: list[int]) -> None:
    np.save(tmp_path / "a.npy", np.array(numbers))
    for own in (np.array(numbers), tmp_path / "a.npy"):
        with pytest.raises(UserError, match="is damaged: its numbers do not ascend"):
            SliceNumbers(own)


def test_numbers_beyond_the_source_and_rewritten_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not among the 23 of 'el'"):
        sliced([1, 23])
    files = []
    for place in range(70):  # more than are mapped at a time
        np.save(tmp_path / f"{place}.npy", np.arange(5))
        files.append(SliceNumbers(tmp_path / f"{place}.npy"))
    np.save(tmp_path / "0.npy", np.arange(6))
    assert files[1].at(np.array([4])).tolist() == [4]
    with pytest.raises(UserError, match="was rewritten while it was being read"):
        files[0].at(np.array([4]))


def test_orders_tell_how_often_documents_were_drawn() -> None:
    part = sliced([2, 5, 7])
    order = DocumentOrder(part, SEED)
    order.cursor = 3, 1
    first = members(part)[int(order.documents(3, np.array([0]))[0])]
    times = order.times(np.arange(EL.documents)).tolist()
    assert times == [0 if own not in (2, 5, 7) else 3 + (own == first) for own in range(EL.documents)]


def test_memory_does_not_grow_with_what_was_looked_up_in_a_slice(tmp_path: Path) -> None:
    """160 MB of numbers, looked up at random."""
    np.save(tmp_path / "a.npy", np.arange(0, 40_000_000, 2))
    grown = peak_growth_mb(
        "import numpy as np\nfrom pathlib import Path\nfrom mixing.stream.sliced_documents import SliceNumbers",
        "own = SliceNumbers(Path(sys.argv[1]))\n"
        "random = np.random.default_rng(0)\n"
        "before = status('VmRSS')\n"
        "for _ in range(300):\n"
        "    asked = random.integers(0, 20_000_000, 512)\n"
        "    assert (own.at(asked) == 2 * asked).all() and (own.ranks(2 * asked) == asked).all()\n"
        "assert status('VmRSS') - before < 70, status('VmRSS') - before",
        str(tmp_path / "a.npy"),
    )
    print(f"{grown:.0f} MiB at the peak, the first look through the file among it")
