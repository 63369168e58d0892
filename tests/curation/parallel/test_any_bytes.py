"""Whatever stands in a file, reading it ends in units or in one clear error."""

import contextlib
import gzip
import json
import lzma
import string
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import UserError
from curation.parallel.lines import LineFault, read_lines
from curation.parallel.pairs import PairIngestConfig
from curation.parallel.streams import plain_bytes
from tests.curation.parallel.made import DEFAULT, lines, read_all, rules, texts, tmx

json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5) | st.sampled_from(["de", "en"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["de", "en", "translation", "src", "tgt", "src_lang", "score", "url"]), inner)
    ),
    max_leaves=8,
)
SEEDS = {
    "x.de-en.tsv": b"eins\tone\t0.5\nzwei\ttwo\t0.25\n" * 20,
    "x.de-en.tsv.gz": gzip.compress(b"eins\tone\n" * 50),
    "x.de-en.tsv.xz": lzma.compress(b"eins\tone\n" * 50),
    "x.jsonl": b'{"translation": {"de": "eins", "en": "one"}}\n' * 20,
    "x.tmx": tmx(
        [("eins", "one"), ("zwei", "two")] * 10, head='<?xml version="1.0"?><!DOCTYPE tmx SYSTEM "x">'
    ).encode(),
    "y.tmx": tmx([("eins", "one"), ("zwei", "two")] * 10).encode("utf-16"),
    "x.xml": b'<cesAlign><linkGrp fromDoc="de/a" toDoc="en/a"><link xtargets="1;1"/></linkGrp></cesAlign>',
}


@pytest.mark.parametrize("name", SEEDS)
@settings(max_examples=60)
@given(data=st.data())
def test_changed_files_raise_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject
) -> None:
    seed = bytearray(SEEDS[name])
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(seed)))
        end = start + data.draw(st.integers(0, 12))
        seed[start:end] = data.draw(
            st.binary(max_size=12) | st.sampled_from([b"<tu", b"<!--", b"&x;", b"]]>", b"<![CDATA["])
        )
    path = tmp_path_factory.mktemp("any") / name
    path.write_bytes(bytes(seed))
    with contextlib.suppress(UserError):
        read_all(path)


@given(st.lists(st.dictionaries(st.sampled_from(["de", "en", "translation", "src_lang"]), json_values), max_size=5))
def test_any_json_raises_nothing_else(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, object]]) -> None:
    path = tmp_path_factory.mktemp("any") / "x.jsonl"
    path.write_bytes(lines([json.dumps({"de": "a", "en": "b"}), *map(json.dumps, rows)]))
    assert len(read_all(path)) == len(rows) + 1


@given(
    st.lists(st.binary(max_size=40).filter(lambda line: b"\n" not in line), max_size=20),
    st.sampled_from([1, 3, 7, 64]),
    st.booleans(),
)
def test_lines_are_those_of_a_plain_split(raw: list[bytes], step: int, ended: bool) -> None:
    """Against a split of all bytes at once, with reads that end anywhere."""
    import io

    class Dribble(io.BytesIO):
        def read1(self, size: int | None = -1) -> bytes:
            return super().read(step)

    data = b"\n".join(raw) + (b"\n" if ended and raw else b"")
    pieces = data.split(b"\n")
    expected: list[str | LineFault] = []
    for place, piece in enumerate(pieces):
        if place == len(pieces) - 1:
            if not piece:
                break
            line = piece
        else:
            line = piece.removesuffix(b"\r")
        try:
            expected.append(LineFault.TOO_LONG if len(line) > 20 else line.decode())
        except UnicodeDecodeError:
            expected.append(LineFault.NOT_UTF8)
    stream = plain_bytes(Dribble(string.ascii_letters.encode()), "x", DEFAULT)  # the wrapper reads on
    assert stream.read() == string.ascii_letters.encode()
    assert list(read_lines(Dribble(data), 20)) == expected  # type: ignore[arg-type]


def test_the_budget_is_counted_over_the_whole_input(tmp_path: Path) -> None:
    rows = "".join(f"{'wort ' * 2000}\tword\n" for _ in range(9000))
    (tmp_path / "de-en.tsv.gz").write_bytes(gzip.compress(rows.encode()))
    units = read_all(tmp_path, config=PairIngestConfig(max_expansion=2))
    assert rules(units)["decompression_budget"] == 1
    assert sum(len(src) for src, _ in texts(units)) > 60 << 20
    assert len(read_all(tmp_path, config=PairIngestConfig(max_expansion=None))) == 9000
