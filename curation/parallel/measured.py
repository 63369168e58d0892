"""Reading the measures that a parallel job stored: `corpora/parallel/<src>-<tgt>/measures/*.parquet`, as columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash
from numpy.typing import NDArray
from pydantic import ValidationError

from configs.errors import UserError
from curation.measured import as_arrays, read_summary
from curation.parallel.schema import PUBLISHED_PAIR_MEASURES
from curation.profile import input_hash
from filters.parallel.calibrate import PAIRS
from filters.rules import Bounds

# A pair that was measured has this one.
_MEASURED = "src_chars"


@dataclass(frozen=True, slots=True)
class PairCorpus:
    """A published parallel corpus.

    Attributes:
        folder: `corpora/parallel/<src>-<tgt>`.
        src: code of its source language.
        tgt: of its target language.
        rules: the bounds that it was made with by columns of its measures, those on scores among them.
    """

    folder: Path
    src: str
    tgt: str
    rules: Mapping[str, Bounds]

    @property
    def again(self) -> str:
        """The command that makes it."""
        return f"make parallel PAIR={self.src}-{self.tgt} OUT={self.folder.parents[1]}"


@dataclass(frozen=True, slots=True)
class PairSample:
    """Measures of some pairs.

    Attributes:
        columns: values by column, shape (pairs,) each; NaN where a pair has none.
        identity: hash of them, the same whatever the order of the pairs and the files that they came from.
    """

    columns: Mapping[str, NDArray[np.float64]]
    identity: str

    def __len__(self) -> int:
        """Pairs."""
        return len(self.columns[_MEASURED])


def open_pair_corpus(folder: Path) -> PairCorpus:
    """Return a finished parallel corpus.

    Raises:
        UserError: there is none, or what is there is none.
    """
    folder = folder.expanduser().absolute()
    summary = read_summary(folder)
    if summary is None or not (folder / "measures").is_dir():
        first, _, second = folder.name.partition("-")
        turned = f"{second}-{first}"
        hint = f"; there is one of {turned}" if read_summary(folder.with_name(turned)) is not None else ""
        again = f"make parallel PAIR={folder.name} OUT={folder.parent.parent}"
        raise UserError(f"no finished parallel corpus in {folder}: run `{again}` first{hint}")
    src, tgt, rules, laser = (summary.get(name) for name in ("src_lang", "tgt_lang", "rules", "laser"))
    if not isinstance(src, str) or not isinstance(tgt, str) or not isinstance(rules, dict):
        raise UserError(f"{folder} is no parallel corpus: its summary.json names no languages or no rules")
    sides = {name: bounds for name, bounds in rules.items() if name in PAIRS.measures}
    if isinstance(laser, dict):
        sides |= {f"score_laser_{name}": {"min": laser.get(f"min_{name}")} for name in ("cosine", "margin")}
    try:
        bounds = {name: Bounds.model_validate(own) for name, own in sides.items()}
    except ValidationError as error:
        raise UserError(f"{folder} is no parallel corpus: its summary.json holds rules that are none") from error
    return PairCorpus(folder, src, tgt, bounds)


def read_sample(corpus: PairCorpus, names: Iterable[str], limit: int | None) -> PairSample:
    """Return columns of the pairs that were measured, kept or not.

    Of more than `limit` pairs those with the smallest hashes of their identifiers, so that neither files nor order make
    a difference. A file at a time is in memory, besides the sample and some 30 bytes for each pair.

    Raises:
        UserError: a file is damaged.
    """
    columns = sorted({*names, _MEASURED})
    paths = sorted((corpus.folder / "measures").glob("*.parquet"))
    hashes = [_hashes(_read(corpus, path, ["id", _MEASURED])["id"]) for path in paths]
    together = np.concatenate([*hashes, np.zeros(0, dtype=np.uint64)])
    if limit is not None and len(together) > limit:
        last = np.partition(together, limit - 1)[limit - 1]
        keep = [own <= last for own in hashes]
    else:
        keep = [np.ones(len(own), dtype=np.bool_) for own in hashes]
    empty = pa.schema([PUBLISHED_PAIR_MEASURES.field(name) for name in ("id", *columns)]).empty_table()
    parts = (_read(corpus, path, ["id", *columns]).filter(pa.array(own)) for path, own in zip(paths, keep, strict=True))
    table = pa.concat_tables([empty, *parts])
    # By all columns: an identifier may stand twice.
    values = as_arrays(table.sort_by([(name, "ascending") for name in table.column_names]), columns)
    return PairSample(
        values, input_hash(piece for name in columns for piece in (name.encode(), values[name].tobytes()))
    )


def _read(corpus: PairCorpus, path: Path, names: list[str]) -> pa.Table:
    """Return columns of a file, of the pairs that were measured."""
    fields = pa.schema([PUBLISHED_PAIR_MEASURES.field(name) for name in names])
    try:
        table = pq.read_table(path, columns=names, partitioning=None).select(names).cast(fields)
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:300].rstrip(".")
        raise UserError(f"cannot read {path}: {reason}; remove it and run `{corpus.again}` again") from error
    return table.filter(pc.is_finite(table[_MEASURED]))


def _hashes(identifiers: pa.ChunkedArray) -> NDArray[np.uint64]:
    found = (xxhash.xxh3_64_intdigest(own) for own in identifiers.to_pylist())
    return np.fromiter(found, dtype=np.uint64, count=len(identifiers))
