"""What a published corpus keeps of its documents, so that a later crawl is deduplicated against it: their order, hashes
and band keys. Their texts are read only where a new document shares a band key with them, and by the stages that look
inside documents.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curation.duplicates.identities import base_rank, read_identities
from curation.duplicates.parts import DedupPart
from curation.duplicates.shuffle import read_partition, write_batch
from curation.schema import EXACT_HASHES, IDENTITIES, IDENTITY_NAMES, INDEX, SIGNATURES
from curation.stage import Result

_BATCH_ROWS = 20_000


@dataclass(frozen=True, slots=True)
class IndexFiles:
    """A part's files of identities, of exact hashes and, with MinHash, of band keys."""

    identities: Path
    hashes: Path
    signatures: Path | None


class PartIndex:
    """The rows of the index of one part."""

    def __init__(self, files: IndexFiles) -> None:
        """Open the files."""
        self._identities = read_identities(files.identities)
        self._hashes = read_partition([files.hashes], 0, EXACT_HASHES)
        self._keys: dict[int, list[int]] = {}
        if files.signatures is not None:
            table = pq.read_table(files.signatures, schema=SIGNATURES, partitioning=None)
            self._keys = dict(zip(table["row"].to_pylist(), table["band_keys"].to_pylist(), strict=True))

    def row(self, number: int) -> dict[str, object]:
        """Return the row of the document at a row of the part."""
        place = int(np.searchsorted(self._identities["row"], number))
        values = {name: int(self._identities[name][place]) for name in IDENTITY_NAMES}
        hashes = {name: int(self._hashes[name][place]) for name in ("hash0", "hash1")}
        identifier = f"{values['id0']:016x}{values['id1']:016x}"
        return {"document_id": identifier, **values, **hashes, "band_keys": self._keys.get(number)}


@dataclass(frozen=True, slots=True)
class IndexedPart:
    """The payload of one task that makes the index of a corpus readable as a part of this job.

    Attributes:
        part: the part; its documents are those of the corpus.
        index: its file of the index.
        bands: band keys of a document; None without MinHash.
    """

    part: DedupPart
    index: Path
    bands: int | None


def indexed_part(payload: object, out: Path, scratch: Path) -> Result:
    """Write `identities.arrow`, `hashes.arrow` and `signatures.parquet` without reading a text.

    Raises:
        ValueError: the index has not one row for each document, or other bands.
    """
    assert isinstance(payload, IndexedPart)
    table = pq.read_table(payload.index, schema=INDEX, partitioning=None)
    if table.num_rows != pq.read_metadata(payload.part.documents).num_rows:
        raise ValueError(f"{payload.index} is not the index of {payload.part.documents}")
    row = np.arange(table.num_rows)
    columns = {name: table[name].to_numpy() for name in IDENTITY_NAMES}
    columns["rank0"] = base_rank(columns["rank0"])
    write_batch(out / "identities.arrow", IDENTITIES, {"row": row, **columns})
    hashes = {name: table[name].to_numpy() for name in ("hash0", "hash1")}
    write_batch(out / "hashes.arrow", EXACT_HASHES, {"row": row, **hashes})
    keys = table["band_keys"].combine_chunks()
    signed = np.flatnonzero(keys.is_valid().to_numpy(zero_copy_only=False))
    lists = keys.take(pa.array(signed))
    if payload.bands is not None and len(lists.flatten()) != len(signed) * payload.bands:
        raise ValueError(f"{payload.index} was made with other bands than {payload.bands}")
    signatures = pa.table([pa.array(signed), lists], schema=SIGNATURES)
    pq.write_table(signatures, out / "signatures.parquet", compression="zstd", row_group_size=_BATCH_ROWS)
    return Result({"documents": table.num_rows})
