"""The pairs of a finished parallel job told as text: `pairs/*.parquet` -> `documents/*.parquet`.

shuffle   one task a file of pairs   pairs to buckets by content, or by document
tell      one task a bucket          pairs -> documents, in the order of hashes (packing.py, render.py)
publish   in the driver              documents, and `documents.json` last, which says all is there

A document holds what its bucket holds: neither the order of the pairs nor how they were cut into files matters.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from configs.errors import UserError
from configs.languages import SHIPPED as SHIPPED_LANGUAGES
from curation.duplicates.shuffle import read_table_partition, write_table_partitions
from curation.ledger import check_conservation
from curation.measured import read_summary
from curation.parallel.publish import TOLD
from curation.parallel.schema import PAIR_DOCUMENTS
from curation.published import replace_tables
from curation.runner import Progress, Runner
from curation.stage import Result, Task, make_task
from curation.store import Manifest, TableWriter, file_version, write_text_atomically
from mixing.telling.language_names import SHIPPED as SHIPPED_NAMES
from mixing.telling.packing import bucket_of, pack
from mixing.telling.pairs import Document, TextPair
from mixing.telling.render import RenderConfig, Renderer
from mixing.telling.templates import SHIPPED as SHIPPED_TEMPLATES

# A bucket's pairs are in memory at once. With paragraphs the pairs of one document are in one bucket, however many.
_BUCKET_PAIRS, _BUCKET_CHARACTERS = 50_000, 64_000_000
_BATCH_ROWS = 2_000
_COLUMNS = (
    "id", "src_lang", "tgt_lang", "src_text", "tgt_text", "source", "sequence", "src_origin", "tgt_origin",
)  # fmt: skip
_WAITING = pa.schema(
    [
        *(pa.field(name, pa.string(), nullable=False) for name in _COLUMNS[:6]),
        pa.field("sequence", pa.int64(), nullable=False),
        pa.field("src_origin", pa.string()),
        pa.field("tgt_origin", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class ShufflePairs:
    """The payload of one task that sends pairs to their buckets: a file of pairs."""

    pairs: Path
    config: RenderConfig
    buckets: int


def shuffle_pairs(payload: object, out: Path, scratch: Path) -> Result:
    """Write `pairs.arrow`: the pairs of a file, a record batch for each bucket."""
    assert isinstance(payload, ShufflePairs)
    table = pq.read_table(payload.pairs, columns=list(_COLUMNS), partitioning=None).cast(_WAITING)
    buckets = [bucket_of(pair, payload.config, payload.buckets) for pair in text_pairs(table)]
    write_table_partitions(out / "pairs.arrow", table, np.array(buckets, dtype=np.int64), payload.buckets)
    return Result({"pairs": table.num_rows})


@dataclass(frozen=True, slots=True)
class TellBucket:
    """The payload of one task that tells the pairs of a bucket.

    Attributes:
        pairs: files of `shuffle_pairs`.
        number: of the bucket.
        config: how pairs become documents.
        language: the pair of languages, `de-en`.
    """

    pairs: tuple[Path, ...]
    number: int
    config: RenderConfig
    language: str


def tell_bucket(payload: object, out: Path, scratch: Path) -> Result:
    """Write `documents.parquet`: every pair of the bucket in exactly one document."""
    assert isinstance(payload, TellBucket)
    table = read_table_partition(payload.pairs, payload.number, _WAITING)
    sources = dict(zip(table["id"].to_pylist(), table["source"].to_pylist(), strict=True))
    told = Counter[tuple[str, str]]()
    chars = 0
    with TableWriter(out / "documents.parquet", PAIR_DOCUMENTS) as documents:
        for document in pack(text_pairs(table), payload.config):
            documents.write(_row(document, sources, payload.language))
            chars += len(document.text)
            for pair in document.pairs:
                told["style", pair.style] += 1
                told["direction", pair.direction] += 1
                told["template", pair.template or "none"] += 1
    pairs = sum(count for (kind, _), count in told.items() if kind == "style")
    check_conservation(f"bucket {payload.number}", table.num_rows, {"pairs told": pairs})
    details: dict[str, object] = {"told": [[*key, count] for key, count in sorted(told.items())]}
    return Result({"pairs": pairs, "documents": documents.row_count, "characters": chars}, details)


def text_pairs(table: pa.Table) -> Iterator[TextPair]:
    """Yield the pairs of a table of `PAIRS`; those of one document of one input share a `document_id`."""
    for batch in table.to_batches(_BATCH_ROWS):
        for row in batch.to_pylist():
            origin = [row["source"], row["src_origin"], row["tgt_origin"]]
            known = row["src_origin"] is not None or row["tgt_origin"] is not None
            yield TextPair(
                id=row["id"],
                src_lang=row["src_lang"],
                tgt_lang=row["tgt_lang"],
                src_text=row["src_text"],
                tgt_text=row["tgt_text"],
                document_id=json.dumps(origin, ensure_ascii=False) if known else None,
                sequence=row["sequence"],
            )


def _row(document: Document, sources: dict[str, str], language: str) -> dict[str, object]:
    from_ = sorted({sources[pair.id] for pair in document.pairs})
    ids = "\0".join(pair.id for pair in document.pairs)
    spans = [
        {
            **{name: getattr(pair, name) for name in ("id", "template", "style", "direction")},
            **{"src_start": pair.src[0], "src_end": pair.src[1], "tgt_start": pair.tgt[0], "tgt_end": pair.tgt[1]},
        }
        for pair in document.pairs
    ]
    return {
        "id": xxhash.xxh3_128_hexdigest(f"{ids}\0{document.text}".encode()),
        "text": document.text,
        "language": language,
        "source": from_[0] if len(from_) == 1 else None,
        "pairs": spans,
    }


def check_finished(folder: Path, src: str, tgt: str) -> dict[str, object]:
    """Return the summary of a parallel corpus.

    Raises:
        UserError: it is not finished.
    """
    summary = read_summary(folder)
    if summary is None:
        turned = folder.with_name(f"{tgt}-{src}")
        hint = f"; there is {turned}: PAIR={tgt}-{src}" if (turned / "summary.json").is_file() else ""
        raise UserError(f"no finished parallel corpus at {folder}: run `make parallel PAIR={src}-{tgt}` first{hint}")
    return summary


def check_languages(config: RenderConfig, src: str, tgt: str) -> None:
    """Check that pairs of two languages can be told.

    Raises:
        UserError: no style with a weight can tell them.
    """
    Renderer(config).draw(TextPair("", src, tgt, "", ""))


def _texts_version() -> str:
    """Return a hash of the files that hold the words pairs are told in."""
    digest = hashlib.sha256()
    for path in (SHIPPED_TEMPLATES, SHIPPED_NAMES, SHIPPED_LANGUAGES):
        digest.update(path.read_bytes())
    return digest.hexdigest()


class TellJob:
    """Tells the pairs of one finished parallel job."""

    def __init__(self, folder: Path, src: str, tgt: str, work: Path, config: RenderConfig, runner: Runner) -> None:
        """Prepare.

        Args:
            folder: of the parallel corpus.
            src: code of the source language.
            tgt: of the target language.
            work: folder of intermediate results.
            config: how pairs become documents.
            runner: runs the tasks.

        Raises:
            UserError: the parallel job is not finished, or no style can tell pairs of these languages.
        """
        summary = check_finished(folder, src, tgt)
        characters = summary["characters"]
        assert isinstance(characters, dict)
        self._pairs, self._characters = int(str(summary["pairs"])), sum(characters.values())
        check_languages(config, src, tgt)
        self._folder, self._language = folder, f"{src}-{tgt}"
        self._work, self._config, self._runner = work, config, runner
        self.tasks: list[Task] = []

    def run(self, progress: Progress | None = None) -> dict[str, object]:
        """Run what is not finished yet, and return what `documents.json` says."""
        files = sorted((self._folder / "pairs").glob("*.parquet"))
        total = sum(pq.read_metadata(path).num_rows for path in files)
        if total != self._pairs:
            raise UserError(
                f"{self._folder}/pairs holds {total:,} pairs, its summary.json says {self._pairs:,}: files were lost "
                f"or added; run `make parallel PAIR={self._language}` again"
            )
        buckets = max(1, -(-total // _BUCKET_PAIRS), -(-self._characters // _BUCKET_CHARACTERS))
        facts = {"config": self._config.model_dump(), "buckets": buckets, "texts": _texts_version()}
        shuffled = self._shuffle(files, facts, progress)
        paths = tuple(manifest.path("pairs.arrow") for manifest in shuffled)
        every = {**facts, "pairs": [manifest.checksum for manifest in shuffled]}
        tasks = [
            make_task(
                "tell",
                f"{number:05d}",
                tell_bucket,
                TellBucket(paths, number, self._config, self._language),
                every,
                self._work,
            )
            for number in range(buckets)
        ]
        self.tasks += tasks
        told = self._runner.run("tell", tasks, progress)
        check_conservation("telling", total, {"pairs told": sum(manifest.counts["pairs"] for manifest in told)})
        return self._publish(told)

    def _shuffle(self, files: Sequence[Path], facts: dict[str, object], progress: Progress | None) -> list[Manifest]:
        tasks = []
        for path in files:
            payload = ShufflePairs(path, self._config, int(str(facts["buckets"])))
            own = {**facts, "file": file_version(path)}
            tasks.append(make_task("shuffle", path.stem, shuffle_pairs, payload, own, self._work))
        self.tasks += tasks
        return self._runner.run("shuffle", tasks, progress)

    def _publish(self, told: Sequence[Manifest]) -> dict[str, object]:
        tables, facts = TOLD
        (self._folder / facts).unlink(missing_ok=True)
        files = ((f"{number:05d}.parquet", own.path("documents.parquet")) for number, own in enumerate(told))
        rows = replace_tables(self._folder, tables, files, PAIR_DOCUMENTS)
        totals = {name: sum(own.counts[name] for own in told) for name in ("documents", "pairs", "characters")}
        check_conservation(f"{self._folder}/{tables}", rows, {"documents": totals["documents"]})
        counts: dict[str, Counter[str]] = {"style": Counter(), "direction": Counter(), "template": Counter()}
        for manifest in told:
            own = manifest.details["told"]
            assert isinstance(own, list)
            for kind, name, count in own:
                counts[kind][name] += count
        summary: dict[str, object] = {
            "pair": self._language,
            **totals,
            **{kind: dict(sorted(own.items())) for kind, own in counts.items()},
            "config": self._config.model_dump(mode="json"),
        }
        write_text_atomically(self._folder / facts, json.dumps(summary, indent=1, ensure_ascii=False))
        return summary
