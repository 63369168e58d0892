"""Writes parallel corpora in every format, with writers that share nothing with the readers, and reads them back."""

import bz2
import gzip
import lzma
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from xml.sax.saxutils import escape

import lz4.frame  # type: ignore[import-untyped]
import zstandard
from hypothesis import strategies as st

from curation.parallel.inputs import find_parallel_inputs
from curation.parallel.pairs import BadPair, Pair, PairIngestConfig, Unit
from curation.parallel.read import open_pairs

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".bz2": bz2.compress,
    ".zst": zstandard.ZstdCompressor().compress,
    ".lz4": lz4.frame.compress,
}
DEFAULT = PairIngestConfig()
# Everything that a careless reader takes for the end of a line, and what else is odd.
ODD = "\u2028\u2029\x85\x0b\x0c\x1c\x1d\x1e\t\0\ufeff\u00a0\ud7ff😀ß'\"<>&]"
line_texts = st.text(
    st.one_of(st.sampled_from(ODD), st.characters(codec="utf-8", exclude_characters="\n\r")), max_size=30
)
xml_texts = st.text(
    st.one_of(
        st.sampled_from("\u2028\u2029\x85\t\n\ufeff\u00a0😀ß'\"<>&]"),
        st.characters(codec="utf-8", min_codepoint=32, exclude_characters="\ufffe\uffff", exclude_categories=["Cs"]),
    ),
    max_size=30,
)
Texts = list[tuple[str, str]]


def texts_of(strategy: st.SearchStrategy[str]) -> st.SearchStrategy[Texts]:
    """Return a strategy of small corpora."""
    return st.lists(st.tuples(strategy, strategy), min_size=1, max_size=12)


def read_all(pattern: Path | str, pair: str = "de-en", config: PairIngestConfig = DEFAULT) -> list[Unit]:
    """Return the units of all inputs that a pattern means, checking that they are numbered."""
    src, tgt = pair.split("-")
    found: list[Unit] = []
    for entry in find_parallel_inputs(str(pattern), src, tgt):
        with open_pairs(entry, Path("/nonexistent"), config) as opened:
            units = list(opened.units)
        assert [unit.sequence for unit in units] == list(range(len(units)))
        assert {unit.source for unit in units} <= {entry.name}
        found += units
    return found


def texts(units: Iterable[Unit]) -> Texts:
    """Return the texts of the pairs among some units."""
    return [(unit.src_text, unit.tgt_text) for unit in units if isinstance(unit, Pair)]


def rules(units: Iterable[Unit]) -> Counter[str]:
    """Return how often each rule ended a unit; pairs count as `pair`."""
    return Counter(unit.rule if isinstance(unit, BadPair) else "pair" for unit in units)


def lines(column: Iterable[str], end: str = "\n") -> bytes:
    """Return a file with a text a line."""
    return "".join(f"{text}{end}" for text in column).encode()


def write_moses(folder: Path, rows: Texts, suffix: str = "", stem: str = "x.de-en", end: str = "\n") -> Path:
    """Write two aligned files and return the pattern that means both."""
    for side, label in enumerate(("de", "en")):
        data = lines((row[side] for row in rows), end)
        (folder / f"{stem}.{label}{suffix}").write_bytes(COMPRESS[suffix](data))
    return folder / f"{stem}.*"


def tmx(
    rows: Texts, labels: tuple[str, str] = ("de", "en"), head: str = '<?xml version="1.0"?>', more: str = ""
) -> str:
    """Return a TMX document."""
    units = "".join(
        f'<tu><tuv xml:lang="{labels[0]}"><seg>{escape(src)}</seg></tuv>'
        f'<tuv xml:lang="{labels[1]}"><seg>{escape(tgt)}</seg></tuv></tu>\n'
        for src, tgt in rows
    )
    return f'{head}<tmx version="1.4"><header srclang="de"/><body>{units}{more}</body></tmx>'
