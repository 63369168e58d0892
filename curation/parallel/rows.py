"""Rows of the ledger of pairs: the columns of the records' ledger, with a pair's own facts in them."""

from __future__ import annotations

from collections.abc import Mapping

from curation.crawl import document_id

RECORD_TYPE = "pair"


def pair_id(source: str, sequence: int, *texts: str) -> str:
    """Return the id of a pair: 32 hexadecimal digits of its place and its texts."""
    return document_id(source, sequence, *texts)


def ledger_row(
    pair: Mapping[str, object], identifier: str | None, language: str, columns: Mapping[str, object]
) -> dict[str, object]:
    """Return the ledger row of a unit of an input.

    Args:
        pair: at least `source`, `sequence`, and `src_origin` where it is known.
        identifier: id of the pair; None for a unit that is none.
        language: the pair of languages, `de-en`.
        columns: outcome, and where and why the way ended.
    """
    return {
        "record_id": f"{pair['source']}:{pair['sequence']}",
        "url": pair.get("src_origin"),
        "language": language,
        "document_id": identifier,
        "record_type": RECORD_TYPE,
        "warc_file": pair["source"],
        "warc_offset": pair["sequence"],
        "sequence": pair["sequence"],
        **columns,
    }
