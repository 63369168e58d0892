"""What epoch caps count is what the stream reads: told by a stream that draws the planned tokens."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mixing.mixture.reads
from configs.errors import UserError
from configs.load import validate_config
from mixing.mixture.feasible import ShortOfTokensError
from mixing.mixture.manifest_schema import Manifest, ManifestSlice
from mixing.mixture.mixture import MixtureConfig
from mixing.mixture.publish import write_mixture
from mixing.mixture.reads import SourceReads
from mixing.mixture.slices import Condition, map_lengths, slice_name, write_slice
from mixing.stream.document_source import DocumentSource
from mixing.stream.sliced_documents import SlicedDocuments, SliceNumbers, slice_source_name
from mixing.stream.state import StreamConfig
from mixing.stream.stream import TokenStream
from mixing.tokens.token_source import TokenSource, file_checksum, load_token_source
from tests.mixing.mixture.token_folders import Row, write_source
from tests.mixing.stream.made_documents import MadeDocuments, pieces_of

SEED = 3
ROWS = st.lists(
    st.fixed_dictionaries({"tokens": st.integers(0, 9), "words": st.integers(0, 9).map(float)}), min_size=1, max_size=12
).filter(lambda rows: any(row["tokens"] for row in rows))
# Of a stage: the bounds of its slice, None for the whole source, and the part of what is left that it takes.
STAGES = st.lists(
    st.tuples(st.none() | st.tuples(st.integers(0, 9), st.integers(0, 9)).map(sorted), st.fractions(0, 1)),
    min_size=1,
    max_size=4,
)


class Drawn(NamedTuple):
    where: ManifestSlice | None
    source: DocumentSource
    numbers: list[int]


def make_slice(source: TokenSource, bounds: list[int], folder: Path) -> ManifestSlice | None:
    where = {"words": Condition(min=bounds[0], max=bounds[1])}
    path = folder / "slices" / slice_name(source.source, where)
    path.parent.mkdir(exist_ok=True)
    chosen = write_slice(source, where, path)
    if not chosen.tokens:
        return None
    return ManifestSlice(
        conditions=where,
        file=f"slices/{path.name}",
        checksum=file_checksum(path),
        documents=chosen.documents,
        tokens=chosen.tokens,
        documents_by_shard=chosen.by_shard,
    )


def drawn_of(whole: MadeDocuments, where: ManifestSlice | None, folder: Path) -> Drawn:
    if where is None:
        return Drawn(None, whole, list(range(whole.documents)))
    numbers = SliceNumbers(folder / where.file)
    name = slice_source_name("el", where.checksum)
    return Drawn(where, SlicedDocuments(whole, numbers, name), numbers.at(np.arange(len(numbers))).tolist())


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(ROWS, STAGES, st.sampled_from([Fraction(1), Fraction(2), Fraction(3, 2), Fraction(1, 2)]))
def test_caps_hold_for_the_stream_whatever_slices_overlap(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[Row],
    stages: list[tuple[list[int] | None, Fraction]],
    cap: Fraction,
) -> None:
    folder = tmp_path_factory.mktemp("reads")
    source = load_token_source(write_source(folder, "el", [rows[:1], *([rows[1:]] if rows[1:] else [])]))
    whole = MadeDocuments("el", tuple(int(str(row["tokens"])) for row in rows))
    reads = SourceReads(source, SEED, folder)
    slices = [make_slice(source, bounds, folder) if bounds else None for bounds, _ in stages]
    known = [drawn_of(whole, where, folder).source for where in slices]
    read: Counter[tuple[int, int]] = Counter()
    state = None
    for where, (_, part) in zip(slices, stages, strict=True):
        own = drawn_of(whole, where, folder)
        tokens = sum(whole.of_lengths[number] for number in own.numbers)
        before = sum(count for (number, _), count in read.items() if number in own.numbers)
        assert reads.read_of(where) == before
        left = min(int(cap * tokens) - before, int(cap * sum(whole.of_lengths)) - reads.tokens)
        count = int(part * max(0, left))
        reads.draw(where, count)
        if not count:
            continue
        stream = TokenStream([own.source], [1.0], SEED, StreamConfig(sequence_length=1), known=known)
        if state is not None:
            stream.load_state_dict(state)
        for (piece,) in pieces_of(stream, count):
            read[own.numbers[piece.document], piece.start] += 1
        state = stream.state_dict()
        assert max(read.values()) <= -(-cap // 1)
        assert sum(count for (number, _), count in read.items() if number in own.numbers) <= cap * tokens
    assert sum(read.values()) == reads.tokens <= cap * sum(whole.of_lengths)


def test_going_through_an_order_in_parts_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[Row] = [{"tokens": 1 + place % 7, "words": float(place % 10)} for place in range(500)]
    source = load_token_source(write_source(tmp_path, "el", [rows[:200], rows[200:]]))
    best, some = make_slice(source, [5, 9], tmp_path), make_slice(source, [3, 6], tmp_path)
    found = []
    for chunk in (1 << 16, 7):
        monkeypatch.setattr(mixing.mixture.reads, "_CHUNK", chunk)
        reads = SourceReads(source, SEED, tmp_path)
        for where, tokens in ((None, 900), (best, 333), (some, 2000), (None, 2500)):
            reads.draw(where, tokens)
        found.append([reads.read_of(where) for where in (None, best, some)])
    assert found[0] == found[1]
    assert found[0][0] == 900 + 333 + 2000 + 2500


def test_lengths_are_those_of_all_shards_and_leave_no_file(tmp_path: Path) -> None:
    shards: list[list[Row]] = [[{"tokens": 3}, {"tokens": 0}], [], [{"tokens": 10**12}]]
    source = load_token_source(write_source(tmp_path, "el", shards, validation=[{"tokens": 8}]))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    assert map_lengths(source, scratch).tolist() == [3, 0, 10**12]
    assert not list(scratch.iterdir())
    source.documents_path(source.shards[0]).write_bytes(b"")
    with pytest.raises(UserError, match="cannot read"):
        map_lengths(source, scratch)


def mixture(folder: Path, *stages: tuple[int, Row]) -> Manifest:
    """Make a mixture of stages of so many tokens of the documents of `el` whose words are within bounds."""
    plan = {"schedule": "constant", "peak": 1e-5}
    data = {
        "name": "m",
        "sequence_length": 16,
        "stages": [
            {
                "name": f"stage-{place}",
                "tokens": tokens,
                "learning_rate": plan,
                "categories": {"all": {"share": 1, "sources": [{"name": "el", "where": {"words": words}}]}},
            }
            for place, (tokens, words) in enumerate(stages, 1)
        ],
    }
    return write_mixture(validate_config(data, MixtureConfig, "m.yaml"), folder / "tokens", folder / "mixtures")


def test_slices_count_where_they_overlap_and_nowhere_else(tmp_path: Path) -> None:
    """100 documents of 10 tokens, each once: halves can both be read whole; a part of what was read cannot."""
    rows: list[Row] = [{"tokens": 10, "words": float(place)} for place in range(100)]
    write_source(tmp_path / "tokens", "el", [rows])
    low, high, middle = {"max": 49}, {"min": 50}, {"min": 25, "max": 74}
    made = mixture(tmp_path, (500, low), (500, high))
    assert [stage.sources[0].epochs_before for stage in made.stages] == [0, 0]
    made = mixture(tmp_path, (500, low), (250, middle))
    assert [stage.sources[0].epochs_before for stage in made.stages] == [0, 0.5]
    with pytest.raises(ShortOfTokensError, match=r"'stage-2' .* is 1 tokens short \(251 planned, 250 left"):
        mixture(tmp_path, (500, low), (251, middle))
    with pytest.raises(ShortOfTokensError, match=r"'stage-3' .* is 1 tokens short \(251 planned, 250 left"):
        mixture(tmp_path, (250, {"max": 24}), (500, middle), (251, high))
