"""FROM of `make pivot` -> two finished parallel corpora that share a language, and the rows of their files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from configs.errors import UserError
from curation.duplicates.parts import read_documents
from curation.measured import read_summary
from curation.parallel.codes import language_of
from curation.parallel.schema import PAIRS

Side = Literal["src", "tgt"]
SIDES: tuple[Side, Side] = ("src", "tgt")
# What ranks partners, best first: a score counts only where every pair of both corpora has it.
RANKED_BY = ("laser_cosine", "rules")

_READ = ("id", "src_lang", "tgt_lang", "src_text", "tgt_text", "source", "src_origin", "tgt_origin", "scores")
# A row of one corpus as the join sees it. Large strings, so that the texts of many files make one array.
SIDE_ROWS = pa.schema(
    [
        pa.field("pivot_text", pa.large_string(), nullable=False),
        pa.field("text", pa.large_string(), nullable=False),
        pa.field("pair", pa.large_string(), nullable=False),
        pa.field("source", pa.large_string(), nullable=False),
        pa.field("origin", pa.large_string()),
        pa.field("score", pa.float64()),
    ]
)


@dataclass(frozen=True, slots=True)
class PivotCorpus:
    """One of the two corpora.

    Attributes:
        folder: of the corpus.
        labels: languages of source and target as its rows name them.
        own: its side in the language of the candidates; the other one is in the shared language.
        files: of its pairs, in the order of their names, without the empty ones.
        pairs: number of pairs.
        scores: those of `RANKED_BY` that every pair has.
    """

    folder: Path
    labels: tuple[str, str]
    own: Side
    files: tuple[Path, ...]
    pairs: int
    scores: frozenset[str]

    @property
    def name(self) -> str:
        """Its pair of languages."""
        return "-".join(self.labels)


@dataclass(frozen=True, slots=True)
class Pivot:
    """What is joined: `corpora` hold the languages of the candidates, source and target, beside the shared `language`.

    `score` ranks partners, see `RANKED_BY`.
    """

    src: str
    tgt: str
    language: str
    corpora: tuple[PivotCorpus, PivotCorpus]
    score: str


def open_pivot(folders: str, src: str, tgt: str) -> Pivot:
    """Return the two corpora that candidates of a pair of languages come from.

    Args:
        folders: the folders of two finished parallel corpora, in any order, separated by a comma.
        src: code of the source language of the candidates, see `parse_pair`.
        tgt: of the target language.

    Raises:
        UserError: these are not two finished corpora with pairs of languages that give this one, or a file is damaged.
    """
    paths = [Path(piece.strip()).expanduser().absolute() for piece in folders.split(",") if piece.strip()]
    if len(paths) != 2:
        raise UserError(
            f"FROM={folders} names {len(paths)} folders; it takes two finished parallel corpora, as "
            "FROM=corpora/parallel/de-en,corpora/parallel/en-fr"
        )
    labels = [_labels(path) for path in paths]
    pairs = [tuple(language_of(label) for label in own) for own in labels]
    names = " and ".join("-".join(own) for own in labels)
    shared = set(pairs[0]) & set(pairs[1])
    if len(shared) != 1:
        held = "the same two languages" if shared else "no language"
        raise UserError(f"{names} share {held}: FROM takes two corpora that share one, as de-en and en-fr share en")
    language = str(shared.pop())
    left = [str(own[0] if own[1] == language else own[1]) for own in pairs]
    if {src, tgt} != set(left):
        raise UserError(f"{names} share {language} and give {left[0]}-{left[1]}, not {src}-{tgt}")
    opened = {
        code: _open(path, own, SIDES[codes.index(code)])
        for path, own, codes, code in zip(paths, labels, pairs, left, strict=True)
    }
    corpora = opened[src], opened[tgt]
    score = next((name for name in RANKED_BY if all(name in own.scores for own in corpora)), RANKED_BY[-1])
    return Pivot(src, tgt, language, corpora, score)


def _labels(folder: Path) -> tuple[str, str]:
    summary = read_summary(folder)
    if summary is None:
        raise UserError(
            f"no finished parallel corpus in {folder}: it has no readable summary.json; run its `make parallel` first"
        )
    found = [label for side in SIDES if isinstance(label := summary.get(f"{side}_lang"), str) and language_of(label)]
    if len(found) != 2 or language_of(found[0]) == language_of(found[1]):
        raise UserError(f"{folder}/summary.json names no two languages: FROM takes folders that `make parallel` wrote")
    return found[0], found[1]


def _open(folder: Path, labels: tuple[str, str], own: Side) -> PivotCorpus:
    paths = sorted((folder / "pairs").glob("*.parquet"))
    if not paths:
        raise UserError(f"{folder} holds no pairs/*.parquet: run its `make parallel` again")
    rows, files, scores = 0, [], set(RANKED_BY)
    for path in paths:
        with _reading(path), pq.ParquetFile(path) as file:
            metadata, schema = file.metadata, file.schema_arrow
        missing = [
            name for name in _READ if name not in schema.names or schema.field(name).type != PAIRS.field(name).type
        ]
        if missing:
            raise UserError(
                f"{path} lacks the columns of finished pairs ({', '.join(missing)}): FROM takes folders that "
                "`make parallel` wrote"
            )
        if metadata.num_rows:
            files.append(path)
            rows += metadata.num_rows
            scores &= _complete_scores(metadata)
    return PivotCorpus(folder, labels, own, tuple(files), rows, frozenset(scores))


def _complete_scores(metadata: pq.FileMetaData) -> set[str]:
    """Return those of `RANKED_BY` of which a file says that no row lacks them."""
    paths = {f"scores.{name}": name for name in RANKED_BY}
    complete = set(RANKED_BY)
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        for column in map(row_group.column, range(row_group.num_columns)):
            if column.path_in_schema in paths:
                facts = column.statistics
                if facts is None or not facts.has_null_count or facts.null_count:
                    complete.discard(paths[column.path_in_schema])
    return complete


@dataclass(frozen=True, slots=True)
class PivotPart:
    """A file of pairs, at most 20,000 as `make parallel` cuts them: what one task reads.

    Attributes:
        path: of the file.
        number: among the files of its corpus.
        labels: languages that its rows have to name, source and target.
        own: side whose text goes into the candidates.
        score: which of the scores ranks.
    """

    path: Path
    number: int
    labels: tuple[str, str]
    own: Side
    score: str

    def read(self, rows: NDArray[np.int64] | None = None) -> Iterator[tuple[NDArray[np.int64], pa.RecordBatch]]:
        """Yield rows of the file in batches: their numbers, rising, and their columns as `SIDE_ROWS`.

        Args:
            rows: which ones, rising; None for all.

        Raises:
            UserError: the file is damaged, or holds pairs of other languages.
        """
        pivot = SIDES[self.own == "src"]
        names = {"pivot_text": f"{pivot}_text", "text": f"{self.own}_text", "pair": "id", "source": "source"}
        names["origin"] = f"{self.own}_origin"
        wanted = ("src_lang", "tgt_lang", *names.values(), f"scores.{self.score}")
        with _reading(self.path):
            if rows is None:
                rows = np.arange(pq.read_metadata(self.path).num_rows)
            for own, batch in read_documents(self.path, rows, wanted):
                batch.validate(full=True)  # strings are UTF-8
                for side, label in zip(SIDES, self.labels, strict=True):
                    if not pc.all(pc.equal(batch[f"{side}_lang"], label)).as_py():
                        raise UserError(
                            f"{self.path} holds pairs of other languages than its summary.json says "
                            f"({'-'.join(self.labels)}): run its `make parallel` again"
                        )
                yield own, self._side(batch, names)

    def _side(self, batch: pa.RecordBatch, names: Mapping[str, str]) -> pa.RecordBatch:
        score = pc.struct_field(batch["scores"], self.score)
        columns = [batch[names[name]] for name in SIDE_ROWS.names[:-1]]
        columns.append(pc.if_else(pc.is_finite(score), score, None))
        for field, column in zip(SIDE_ROWS, columns, strict=True):
            if column.null_count and not field.nullable:
                raise pa.ArrowInvalid(f"{names[field.name]} is null")
        arrays = [column.cast(field.type) for field, column in zip(SIDE_ROWS, columns, strict=True)]
        return pa.record_batch(arrays, schema=SIDE_ROWS)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what Arrow says of a damaged or missing file of pairs into one line that says what to do."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())[:300].rstrip(".")
        raise UserError(f"cannot read {path}: {reason}; run its `make parallel` again") from error
