"""Finished corpora for tests, as the jobs leave them behind, and a runner that needs no Ray."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from curation.parallel.schema import PAIR_DOCUMENTS
from curation.record_schema import LEDGER
from curation.runner import Progress, Runner
from curation.schema import DOCUMENTS, INDEX
from curation.stage import Task, run_task
from curation.store import Manifest, TableWriter
from dedup.minhash import MinHashConfig, MinHasher, shingles_of_texts
from filters.metrics import MEASURES
from filters.scripts import code_points
from filters.words import segmenter_for, shingle_units, words_of_texts
from mixing.telling.pairs import Document


@dataclass
class CountingRunner(Runner):
    """Runs tasks one after the other in this process, and counts those that ran, by stage."""

    ran: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(1, 0)

    def run(self, stage: str, tasks: Sequence[Task], progress: Progress | None = None) -> list[Manifest]:
        self.ran += [(stage, task.name) for task in tasks if task.finished() is None]
        return [run_task(task) for task in tasks]

    @property
    def tokenized(self) -> list[str]:
        """Files that were tokenized."""
        return [name for stage, name in self.ran if stage == "tokenize"]


def identifier(text: str, salt: object = "") -> str:
    return xxhash.xxh3_128_hexdigest(f"{salt}{text}".encode())


def write_corpus(
    folder: Path, files: Sequence[Sequence[str]], language: str = "el", index: bool = True, minhash: bool = True
) -> Path:
    """Write a corpus of one language: for each file its texts. `warc_offset` counts the documents of a file."""
    words = segmenter_for(language, "spaces")
    for number, texts in enumerate(files):
        documents, ledger = [], []
        for row, text in enumerate(texts):
            count = float(len(words.spans(text, code_points(text))[0]))
            place = {"url": f"https://example.org/{number}/{row}", "warc_file": f"{number}.warc.gz", "warc_offset": row}
            common = {"id": identifier(text, (number, row)), "text": text, "date": "2024-05-01", "language": language}
            scores = {"language_score": 0.9, "source": "blocks", "cluster_size": row + 1, "removed_chars": 0}
            metrics = dict.fromkeys(MEASURES, 0.5) | {"words": count}
            documents.append({**common, **scores, **place, "perplexity_bucket": "head", "metrics": metrics})
            record = {"record_id": f"<urn:{number}:{row}>", "outcome": "kept", "record_type": "response"}
            ledger.append({**record, **place, "document_id": common["id"], "sequence": row, "language": language})
        name = f"{number:05d}-00000.parquet"
        _write(folder / "documents" / name, documents, DOCUMENTS)
        _write(folder / "ledger" / name, ledger, LEDGER)
        if index:
            keys = band_keys(texts) if minhash else [None] * len(texts)
            rows = [
                {**dict.fromkeys(INDEX.names, 0), "document_id": own["id"], "band_keys": own_keys}
                for own, own_keys in zip(documents, keys, strict=True)
            ]
            _write(folder / "index" / name, rows, INDEX)
    size = sum(len(text.encode()) for texts in files for text in texts)
    (folder / "summary.json").write_text(json.dumps({"language": language, "utf8_bytes": size}))
    return folder


def write_pair_corpus(folder: Path, files: Sequence[Sequence[Document]], pair: str = "de-en") -> Path:
    """Write a corpus of translation pairs told as text."""
    for number, documents in enumerate(files):
        rows = []
        ledger = []
        for document in documents:
            told = [
                {
                    "id": own.id, "template": own.template, "style": own.style, "direction": own.direction,
                    "src_start": own.src[0], "src_end": own.src[1], "tgt_start": own.tgt[0], "tgt_end": own.tgt[1],
                }
                for own in document.pairs
            ]  # fmt: skip
            rows.append({"id": identifier(document.text), "text": document.text, "language": pair, "pairs": told})
            for place, own in enumerate(document.pairs):
                record = {"record_id": own.id, "document_id": own.id, "outcome": "kept", "record_type": "pair"}
                ledger.append({**record, "warc_file": "bible.zip", "warc_offset": place, "sequence": place})
        _write(folder / "documents" / f"{number:05d}.parquet", rows, PAIR_DOCUMENTS)
        _write(folder / "ledger" / f"{number:05d}.parquet", ledger, LEDGER)
    (folder / "summary.json").write_text(json.dumps({"pair": pair}))
    return folder


def band_keys(texts: Sequence[str]) -> list[list[int]]:
    """Return the band keys that the corpus job gives texts of a language with spaces."""
    config = MinHashConfig()
    hashes, borders = words_of_texts(texts, shingle_units("spaces"))
    shingles, edges = shingles_of_texts(hashes, borders, config.ngram)
    hasher = MinHasher(config)
    keys: list[list[int]] = np.asarray(hasher.band_keys(hasher.signatures(shingles, edges))).tolist()
    return keys


def _write(path: Path, rows: Sequence[Mapping[str, object]], schema: pa.Schema) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with TableWriter(path, schema, group_rows=3) as writer:
        for row in rows:
            writer.write(row)
    assert pq.read_metadata(path).num_rows == len(rows)
