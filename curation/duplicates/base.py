"""A corpus that stands already, as parts of a new job: found by its published documents and their index."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq

from configs.errors import UserError
from curation.duplicates.config import DedupStages
from curation.duplicates.parts import DedupPart
from curation.store import file_version

# What must be the same for band keys of two jobs to meet.
_SIGNED_WITH = ("bands", "rows", "ngram", "seed")


@dataclass(slots=True)
class BaseCorpus:
    """Parts of a corpus that stands already.

    Attributes:
        parts: its documents, in parts.
        indexes: file of the index by number of part.
        documents: number of documents.
        words: of all documents.
        characters: of all documents.
    """

    parts: list[DedupPart] = field(default_factory=list)
    indexes: dict[int, Path] = field(default_factory=dict)
    documents: int = 0
    words: int = 0
    characters: int = 0


def find_base(corpora: Path, codes: Sequence[str], config: DedupStages, first_part: int) -> BaseCorpus:
    """Return the corpora of some languages as parts.

    Args:
        corpora: the folder that an earlier job wrote, with a folder for each language.
        codes: languages of the new job; those that have no folder there are new.
        config: deduplication of the new job.
        first_part: number that the first part gets.

    Raises:
        UserError: no language has a corpus there, it is not finished, has no index, or was signed in another way.
    """
    base = BaseCorpus()
    found = [code for code in codes if (corpora / code).is_dir()]
    if not found:
        raise UserError(f"{corpora} holds no corpus of {', '.join(codes)}; AGAINST is the OUT folder of an earlier job")
    for code in found:
        folder = corpora / code
        summary = _checked(folder, config)
        before = base.documents
        for index in sorted((folder / "index").glob("*.parquet")):
            documents = folder / "documents" / index.name
            rows = pq.read_metadata(index).num_rows
            if not rows:
                continue
            if not documents.is_file() or pq.read_metadata(documents).num_rows != rows:
                raise UserError(f"{index} does not belong to {documents}; run the job that made {corpora} again")
            number = first_part + len(base.parts)
            checksum = json.dumps([file_version(documents), file_version(index)])
            base.parts.append(DedupPart(number, f"base-{code}-{index.stem}", documents, None, checksum, base=True))
            base.indexes[number] = index
            base.documents += rows
        if base.documents - before != summary["documents"]:
            raise UserError(f"the index of {folder} lacks documents; run the job that made it again")
        base.words += summary["words"]
        base.characters += summary["characters"]
    return base


def _checked(folder: Path, config: DedupStages) -> dict[str, int]:
    """Return the numbers of a corpus after looking whether the job may be compared with it."""
    try:
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        stages = summary["config"]["stages"]
        numbers = {name: int(summary[name]) for name in ("documents", "words", "characters")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder} is not a finished corpus: it has no readable summary.json") from error
    if not summary["config"].get("index"):
        raise UserError(f"{folder} has no index; run the job that made it again, with `index: true`")
    if config.minhash is None:
        return numbers
    if stages.get("minhash") is None:
        raise UserError(f"{folder} was made without minhash; run that job again, or leave minhash out: SKIP=minhash")
    for name in _SIGNED_WITH:
        own, other = getattr(config.minhash, name), stages["minhash"].get(name)
        if own != other:
            raise UserError(f"{folder} was made with minhash.{name}: {other}, this job has {own}; use the same value")
    return numbers
