"""TSV in the layouts of the releases, and in others by configuration."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.errors import UserError
from configs.load import validate_config
from curation.parallel.pairs import BadPair, Pair, PairColumns, PairIngestConfig
from tests.curation.parallel.made import COMPRESS, Texts, line_texts, read_all, rules, texts, texts_of

ROWS = [(f"Das ist Satz {k}", f'This is "sentence" {k}') for k in range(200)]
cells = line_texts.filter(lambda text: "\t" not in text and "\ufeff" not in text)


def write(folder: Path, rows: Sequence[tuple[str, ...]], name: str = "x.de-en.tsv", suffix: str = "") -> Path:
    path = folder / f"{name}{suffix}"
    path.write_bytes(COMPRESS[suffix]("".join("\t".join(row) + "\n" for row in rows).encode()))
    return path


@given(texts_of(cells), st.sampled_from(list(COMPRESS)))
def test_what_is_written_comes_back(tmp_path_factory: pytest.TempPathFactory, rows: Texts, suffix: str) -> None:
    rows = [("Anfang", "start"), *rows]
    path = write(tmp_path_factory.mktemp("tsv"), [*rows], suffix=suffix)
    units = read_all(path)
    assert len(units) == len(rows)
    for unit, row in zip(units, rows, strict=True):
        if isinstance(unit, BadPair):
            assert unit.rule == "blank_line"
            assert not "".join(row).strip()
        else:
            assert (unit.src_text, unit.tgt_text) == row


Make = Callable[[int, str, str], tuple[str, ...]]
LAYOUTS: dict[str, tuple[Make, str | None, tuple[str, str] | None]] = {
    "two texts": (lambda k, a, b: (a, b), None, None),
    "ccaligned sentences": (lambda k, a, b: (a, b, f"{k / 8}"), "score", None),
    "score first": (lambda k, a, b: (f"{k / 8}", a, b), "score", None),
    "ccaligned documents": (
        lambda k, a, b: ("e.org", f"http://e.org/a/{k}", a, f"https://e.org/b/{k}", b),
        None,
        ("http://e.org/a/{}", "https://e.org/b/{}"),
    ),
    "paracrawl": (
        lambda k, a, b: (f"http://e.org/a/{k}", f"e.org/b/{k}", a, b, "-7.5", f"{k / 8}", "V", "", "9"),
        "score",
        ("http://e.org/a/{}", "e.org/b/{}"),
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("swapped", [False, True])
def test_the_layouts_of_the_releases(tmp_path: Path, layout: str, swapped: bool) -> None:
    make, scored, places = LAYOUTS[layout]
    name = "en_XX-de_DE.tsv" if swapped else "de_DE-en_XX.tsv"
    rows = [make(k, *(row[::-1] if swapped else row)) for k, row in enumerate(ROWS)]
    units = read_all(write(tmp_path, rows, name, ".xz"))
    assert texts(units) == ROWS
    for k, unit in enumerate(units):
        assert isinstance(unit, Pair)
        assert unit.score == (k / 8 if scored else None)
        expected = tuple(place.format(k) for place in places) if places else (None, None)
        assert (unit.src_origin, unit.tgt_origin) == (expected[::-1] if swapped else expected)


def test_single_damaged_rows_do_not_hide_the_layout(tmp_path: Path) -> None:
    rows: list[tuple[str, ...]] = [(a, b, "0.5") for a, b in ROWS]
    rows[0], rows[3], rows[7] = ("kaputt",), ("a", "b", "high"), ("a", "b", "c", "1")
    units = read_all(write(tmp_path, rows))
    assert rules(units) == {"pair": 198, "column_count": 2}
    assert isinstance(units[3], Pair)
    assert units[3].score is None


@pytest.mark.parametrize(
    "header", [("de", "en"), ("deu_Latn", "en-US"), ("src", "tgt"), ("Source", "Target"), ("src_text", "tgt_text")]
)
def test_a_header_names_the_columns(tmp_path: Path, header: tuple[str, str]) -> None:
    rows = [(f"{k}", header[0], header[1], "x") if k == 0 else (f"{k}", *ROWS[k], "x") for k in range(50)]
    units = read_all(write(tmp_path, rows))
    assert rules(units) == {"header": 1, "pair": 49}
    assert texts(units) == ROWS[1:50]


def test_named_languages_go_before_the_name_of_the_file(tmp_path: Path) -> None:
    assert texts(read_all(write(tmp_path, [("en", "de"), ("a", "b")]))) == [("b", "a")]


def test_columns_by_configuration(tmp_path: Path) -> None:
    rows = [(f"{k}", "x", en, de, f"doc{k}", "y") for k, (de, en) in enumerate(ROWS[:5])]
    numbers = PairColumns(src=4, tgt=3, score=1, src_origin=5, tgt_origin=5)
    units = read_all(write(tmp_path, rows), config=PairIngestConfig(columns=numbers))
    assert units[2] == Pair("x.de-en.tsv", 2, *ROWS[2], "doc2", "doc2", 2.0)
    names = PairColumns(src="german", tgt="english")
    rows.insert(0, ("n", "x", "english", "german", "doc", "y"))
    assert texts(read_all(write(tmp_path, rows), config=PairIngestConfig(columns=names))) == ROWS[:5]
    with pytest.raises(UserError, match=r"no column 'greek'; its first line is: n \| x \| english"):
        read_all(write(tmp_path, rows), config=PairIngestConfig(columns=PairColumns(src="greek", tgt="english")))


def test_a_layout_that_is_not_known_says_how_to_name_the_columns(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"4 columns of no known layout; say which is which, e.g. columns: \{src: 1, tgt"
    ):
        read_all(write(tmp_path, [("a", "b", "c", "d")] * 5))


def test_long_lines_bytes_that_are_no_text_and_blank_lines(tmp_path: Path) -> None:
    path = tmp_path / "x.de-en.tsv"
    path.write_bytes(b"\xef\xbb\xbfa\tb\r\n\n" + b"w" * 5000 + b"\tx\n\xff\ty\nc\td")
    units = read_all(path, config=PairIngestConfig(max_line_bytes=1000))
    assert texts(units) == [("a", "b"), ("c", "d")]
    assert rules(units) == {"pair": 2, "blank_line": 1, "line_too_long": 1, "not_utf8": 1}


def test_the_layout_is_that_of_the_first_lines_with_text(tmp_path: Path) -> None:
    path = tmp_path / "x.de-en.tsv"
    path.write_bytes(b"\n" * 300 + b"\xff\n" * 300 + b"en\tde\n" + b"a\tb\n" * 300)
    assert rules(read_all(path)) == {"blank_line": 300, "not_utf8": 300, "header": 1, "pair": 300}


def test_columns_that_cannot_be() -> None:
    for columns in ({"src": 0, "tgt": 1}, {"src": 2, "tgt": 2}, {"src": "", "tgt": "x"}, {"src": 1}):
        with pytest.raises(UserError, match="columns"):
            validate_config({"columns": columns}, PairIngestConfig, "my.yaml")


def test_a_table_that_breaks_off_keeps_what_came_before(tmp_path: Path) -> None:
    path = write(tmp_path, [*ROWS], suffix=".gz")
    path.write_bytes(path.read_bytes()[:-12])
    units = read_all(path)
    assert isinstance(units[-1], BadPair)
    assert units[-1].rule == "unreadable_bytes"
    assert texts(units) == ROWS[: len(units) - 1]
    path.write_bytes(path.read_bytes()[:15])
    assert rules(read_all(path)) == {"unreadable_bytes": 1}
