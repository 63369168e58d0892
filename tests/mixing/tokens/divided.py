"""The tasks that divide documents into splits, run on made-up corpora without a tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curation.schema import DOCUMENTS, INDEX
from mixing.tokens.disjoint import (
    DivideShard,
    GatherShard,
    NearShard,
    SettleShard,
    StandingShard,
    divide_documents,
    find_in_standing,
    find_near,
    gather_fingerprints,
    settle_documents,
)
from mixing.tokens.validation import ChooseShard, ScanShard, ValidationConfig, choose_documents, scan_documents


@dataclass(frozen=True)
class MadeCorpus:
    """A corpus: for each file its texts, band keys of each (None for no index), and languages (None for `el`)."""

    name: str
    files: Sequence[Sequence[str]]
    keys: Sequence[Sequence[list[int] | None]] | None = None
    languages: Sequence[Sequence[str]] | None = None


@dataclass(frozen=True)
class Divided:
    """What became of a corpus: rows by file, and files of fingerprints."""

    held_out: list[list[int]]
    left_out: list[list[int]]
    equal: list[list[int]]
    train: list[Path]
    validation: list[Path]
    moved: object


def divide(
    folder: Path, corpora: Sequence[MadeCorpus], config: ValidationConfig | None, beside: Sequence[Divided] = ()
) -> dict[str, Divided]:
    """Run all tasks on some corpora together, beside others that stand already."""
    scanned = {own.name: _scan(folder / own.name, own, config) for own in corpora}
    chosen: dict[str, Path] = {}
    if config is not None:
        for name, files in scanned.items():
            chosen[name] = _folder(folder / name / "choose")
            payload = ChooseShard(tuple(own / "candidates.parquet" for own, _ in files), config)
            choose_documents(payload, chosen[name], folder)
    gathered = _folder(folder / "gather")
    elsewhere = tuple(path for own in beside for path in own.validation)
    gather_fingerprints(GatherShard(tuple(own / "keys.npy" for own in chosen.values()), elsewhere), gathered, folder)
    settled = _settle(folder, scanned, chosen, gathered, beside) if config is not None else None
    found = {}
    for place, (name, files) in enumerate(scanned.items()):
        outs = []
        for number, (own, index) in enumerate(files):
            outs.append(_folder(folder / name / f"divide{number}"))
            rows = settled[0] / f"held_out-{place}.npy" if settled is not None else None
            held_out = gathered / "held_out.npy"
            divide_documents(DivideShard(own / "hashes.npy", index, number, rows, held_out), outs[-1], folder)
        found[name] = Divided(
            held_out=[np.load(out / "held_out.npy").tolist() for out in outs],
            left_out=[np.load(out / "left_out.npy").tolist() for out in outs],
            equal=[np.load(out / "equal.npy").tolist() for out in outs],
            train=[out / "train.npy" for out in outs],
            validation=[out / "validation.npy" for out in outs],
            moved=settled[1][place]["moved"] if settled is not None else {},
        )
    return found


def _scan(folder: Path, corpus: MadeCorpus, config: ValidationConfig | None) -> list[tuple[Path, Path | None]]:
    found = []
    for number, texts in enumerate(corpus.files):
        out = _folder(folder / f"scan{number}")
        documents, index = folder / f"d{number}.parquet", folder / f"i{number}.parquet"
        named = corpus.languages[number] if corpus.languages is not None else ["el"] * len(texts)
        schema = pa.schema([DOCUMENTS.field(name) for name in ("id", "text", "language")])
        columns = {"id": [f"{number}-{row}" for row in range(len(texts))], "text": list(texts), "language": list(named)}
        pq.write_table(pa.table(columns, schema=schema), documents, row_group_size=2)
        if corpus.keys is not None:
            own = pa.array(list(corpus.keys[number]), INDEX.field("band_keys").type)
            pq.write_table(pa.table({"band_keys": own}), index, row_group_size=3)
        known = index if corpus.keys is not None else None
        scan_documents(ScanShard(documents, known, number, "el", config), out, folder)
        found.append((out, known))
    return found


def _settle(
    folder: Path,
    scanned: dict[str, list[tuple[Path, Path | None]]],
    chosen: dict[str, Path],
    gathered: Path,
    beside: Sequence[Divided],
) -> tuple[Path, list[dict[str, object]]]:
    hits = []
    keys, held_out = gathered / "keys.npy", gathered / "held_out.npy"
    for number, own in enumerate(beside):
        hits.append(_folder(folder / f"standing{number}"))
        find_in_standing(StandingShard(tuple(own.train), keys), hits[-1], folder)
    for name, files in scanned.items():
        for number, (scan, index) in enumerate(files):
            hits.append(_folder(folder / name / f"near{number}"))
            payload = NearShard(scan / "hashes.npy", index, number, chosen[name] / "chosen.parquet", keys, held_out)
            find_near(payload, hits[-1], folder)
    out = _folder(folder / "settle")
    settle = SettleShard(
        tuple(own / "chosen.parquet" for own in chosen.values()), tuple(own / "hits.npy" for own in hits), held_out
    )
    details = settle_documents(settle, out, folder).details["corpora"]
    assert isinstance(details, list)
    return out, details


def _folder(path: Path) -> Path:
    path.mkdir(parents=True)
    return path
