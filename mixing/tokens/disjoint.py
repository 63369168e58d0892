"""No source trains on what another one holds out: settled over all sources of a folder of tokens.

gather    one task      fingerprints of documents that may be held out, and of those that standing sources hold out
standing  one a source  which of the former a training document of a standing source has, too
near      one a file    which of them a training document of the file has, too
settle    one task      documents that share a fingerprint with a training document are not held out
divide    one a file    which documents are for training, held out, left out; the fingerprints of both splits

The sources of one command are settled together, so their order is no matter; those that stand in the folder already
stay as they are. Guaranteed is: **no held-out document shares a fingerprint with a training document** of the same
source, of any source of the same command, or of any source that stood in the folder with its fingerprints. Fingerprints
are a hash of the text, blind to case and white space, so no training document has the text of a held-out one; and band
keys, so near duplicates are known as far as the deduplication of the corpora would find candidates for them: where both
documents have band keys, made with the same settings and the same way to find words. Whether documents that share a
band key truly are near duplicates is not asked.

A document that was to be held out and shares a fingerprint with a training document goes to training, with those that
share one with it, and so on. A document for training that shares one with what a standing source holds out is left out:
it is in neither split. So a source that is added later never changes one that stands.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from curation.stage import Result
from mixing.tokens.fingerprints import Numbers, is_in, read_fingerprints, shared, united
from mixing.tokens.validation import CANDIDATES, chosen_fingerprints


@dataclass(frozen=True, slots=True)
class GatherShard:
    """The payload of the task that gathers fingerprints.

    Attributes:
        keys: of documents that may be held out, a file a corpus.
        held_out: of documents that standing sources hold out.
    """

    keys: tuple[Path, ...]
    held_out: tuple[Path, ...]


def gather_fingerprints(payload: object, out: Path, scratch: Path) -> Result:
    """Write `keys.npy` and `held_out.npy`, each rising. Memory: those of all documents that are or may be held out."""
    assert isinstance(payload, GatherShard)
    keys, held_out = united(payload.keys), united(payload.held_out)
    np.save(out / "keys.npy", keys)
    np.save(out / "held_out.npy", held_out)
    return Result({"keys": len(keys), "held_out": len(held_out)})


@dataclass(frozen=True, slots=True)
class StandingShard:
    """The payload of one task that looks among the training documents of a standing source.

    Attributes:
        training: files of their fingerprints.
        keys: file of those that are looked for.
    """

    training: tuple[Path, ...]
    keys: Path


def find_in_standing(payload: object, out: Path, scratch: Path) -> Result:
    """Write `hits.npy`: which of the fingerprints the source's training documents have, rising."""
    assert isinstance(payload, StandingShard)
    keys = np.load(payload.keys, mmap_mode="r")
    hit = np.zeros(len(keys), dtype=np.bool_)
    for path in payload.training:
        hit |= shared(keys, np.load(path, mmap_mode="r"))
    np.save(out / "hits.npy", keys[hit])
    return Result({"hits": int(hit.sum())})


@dataclass(frozen=True, slots=True)
class NearShard:
    """The payload of one task that looks among the training documents of a file.

    Attributes:
        hashes: of its texts.
        index: its band keys; None where it has none.
        number: of the file in the corpus.
        chosen: what `choose_documents` chose of the corpus.
        keys: file of the fingerprints that are looked for.
        held_out: file of those that standing sources hold out.
    """

    hashes: Path
    index: Path | None
    number: int
    chosen: Path
    keys: Path
    held_out: Path


def find_near(payload: object, out: Path, scratch: Path) -> Result:
    """Write `hits.npy`: which of the fingerprints a training document of the file has, rising."""
    assert isinstance(payload, NearShard)
    chosen = pq.read_table(payload.chosen, columns=["file", "row"])
    chosen_rows = chosen["row"].to_numpy()[chosen["file"].to_numpy() == payload.number]
    keys, held_out = (np.load(path, mmap_mode="r") for path in (payload.keys, payload.held_out))
    hit = np.zeros(len(keys), dtype=np.bool_)
    for values, rows in read_fingerprints(payload.hashes, payload.index):
        not_training = np.concatenate((chosen_rows, rows[is_in(values, held_out)]))  # the latter are left out
        found = values[~np.isin(rows, not_training)]
        hit[np.searchsorted(keys, found[is_in(found, keys)])] = True
    np.save(out / "hits.npy", keys[hit])
    return Result({"hits": int(hit.sum())})


@dataclass(frozen=True, slots=True)
class SettleShard:
    """The payload of the task that settles which documents are held out.

    Attributes:
        chosen: the documents chosen, a file a corpus.
        hits: files of fingerprints that training documents have.
        held_out: file of those that standing sources hold out.
    """

    chosen: tuple[Path, ...]
    hits: tuple[Path, ...]
    held_out: Path


def settle_documents(payload: object, out: Path, scratch: Path) -> Result:
    """Write `held_out-<n>.npy`, file and row of each held-out document of corpus n; report the others by language."""
    assert isinstance(payload, SettleShard)
    tables = [pq.read_table(path, schema=CANDIDATES) for path in payload.chosen]
    sizes = [table.num_rows for table in tables]
    parts = [chosen_fingerprints(table) for table in tables]
    keys = np.concatenate([own for own, _ in parts])
    firsts = np.concatenate(([0], np.cumsum(sizes)))
    parents = np.concatenate([own + first for (_, own), first in zip(parts, firsts[:-1], strict=True)])
    left_out = np.zeros(sum(sizes), dtype=np.bool_)  # where they are not held out
    left_out[parents[is_in(keys, np.load(payload.held_out))]] = True
    gone = _not_held_out(keys, parents, united(payload.hits), left_out)
    corpora: list[dict[str, object]] = []
    for number, (table, first) in enumerate(zip(tables, firsts[:-1].tolist(), strict=True)):
        own = slice(first, first + table.num_rows)
        kept = table.filter(~gone[own])
        np.save(out / f"held_out-{number}.npy", np.column_stack([kept["file"].to_numpy(), kept["row"].to_numpy()]))
        languages = np.array(table["language"].to_pylist(), dtype=np.str_)
        moved = Counter(languages[gone[own] & ~left_out[own]].tolist())
        corpora.append(
            {
                "held_out": kept.num_rows,
                "moved": dict(sorted(moved.items())),
                "without_keys": kept["band_keys"].null_count,
            }
        )
    return Result({"held_out": int((~gone).sum()), "not_held_out": int(gone.sum())}, {"corpora": corpora})


def _not_held_out(
    keys: Numbers, parents: NDArray[np.int64], training: Numbers, left_out: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return which documents share a fingerprint with training, or with one that goes to training for that, and so on.

    Args:
        keys: fingerprints of all documents.
        parents: the document that each is of.
        training: fingerprints of training documents.
        left_out: documents that would not go to training.
    """
    gone = np.zeros(len(left_out), dtype=np.bool_)
    while True:
        found = parents[is_in(keys, training) & ~gone[parents]]
        if not len(found):
            return gone
        gone[found] = True
        training = np.unique(np.concatenate((training, keys[(gone & ~left_out)[parents]])))


@dataclass(frozen=True, slots=True)
class DivideShard:
    """The payload of one task that divides the documents of a file.

    Attributes:
        hashes: of its texts.
        index: its band keys; None where it has none.
        number: of the file in the corpus.
        settled: file and row of the corpus' held-out documents; None where nothing is held out.
        held_out: file of the fingerprints that standing sources hold out.
    """

    hashes: Path
    index: Path | None
    number: int
    settled: Path | None
    held_out: Path


def divide_documents(payload: object, out: Path, scratch: Path) -> Result:
    """Write the rows that are held out and left out, and the fingerprints of both splits, rising.

    `held_out.npy` and `left_out.npy` are rows, `equal.npy` those of the latter whose text itself is held out elsewhere;
    `train.npy` and `validation.npy` are fingerprints. Memory: the fingerprints of a file.
    """
    assert isinstance(payload, DivideShard)
    held_out = np.zeros(0, dtype=np.int64)
    if payload.settled is not None:
        places = np.load(payload.settled)
        held_out = np.sort(places[places[:, 0] == payload.number, 1])
    elsewhere = np.load(payload.held_out, mmap_mode="r")
    texts = np.load(payload.hashes, mmap_mode="r")
    train, validation, left_out = [_NONE], [_NONE], [np.zeros(0, dtype=np.int64)]
    for values, rows in read_fingerprints(payload.hashes, payload.index):
        is_held_out = np.isin(rows, held_out)
        own = np.unique(rows[is_in(values, elsewhere) & ~is_held_out])
        left_out.append(own)
        validation.append(values[is_held_out])
        train.append(values[~is_held_out & ~np.isin(rows, own)])
    left = np.concatenate(left_out)
    for name, array in (
        ("held_out", held_out),
        ("left_out", left),
        ("equal", left[is_in(texts[left], elsewhere)]),
        ("train", np.unique(np.concatenate(train))),
        ("validation", np.unique(np.concatenate(validation))),
    ):
        np.save(out / f"{name}.npy", array)
    train_rows = len(texts) - len(held_out) - len(left)
    return Result({"train": train_rows, "validation": len(held_out), "left_out": len(left)})


_NONE = np.zeros(0, dtype=np.uint64)
