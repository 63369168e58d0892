"""What the readers hand on: one `Record` for each record of an input, whatever became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from filters.verdict import Verdict

Outcome = Literal["kept", "dropped", "duplicate", "failed", "skipped"]
OUTCOMES: tuple[Outcome, ...] = ("kept", "dropped", "duplicate", "failed", "skipped")

# The stages that a record passes, in order. Each row of the ledger names the one where its way ended; a kept
# document passed all of them.
DEDUPLICATION_STAGES: tuple[str, ...] = ("same_url", "exact", "minhash", "semantic", "lines", "substring")
STAGES: tuple[str, ...] = (
    "ingest",
    "url",
    "glance",
    "extract",
    "normalize",
    "langid",
    "rules",
    "contamination",
    *DEDUPLICATION_STAGES,
)


@dataclass(frozen=True, slots=True)
class Ending:
    """Where and why the way of a record ended. For `failed` the verdict's rule is the class of the error."""

    outcome: Outcome
    stage: str
    verdict: Verdict


@dataclass(slots=True)
class Record:
    """One record of an input file.

    Attributes:
        record_id: the record's own identifier, or `<file>:<sequence>` where it has none.
        sequence: position among the records of the file, from 0: with the file's name the unique key.
        offset: byte offset in the file (compressed, where the file is), or the row number in a text corpus.
        record_type: WARC record type, `arc`, or `text` for a row of a text corpus.
        url: address of the page, or an empty string.
        date: capture time, ISO 8601, or an empty string.
        body: bytes of a web page; None when there is none or it is text already.
        charset: charset that the server declared, or None.
        text: extracted text, for WET and text corpora.
        ending: set when the way ends at ingest.
    """

    record_id: str
    sequence: int
    offset: int
    record_type: str
    url: str = ""
    date: str = ""
    body: bytes | None = None
    charset: str | None = None
    text: str | None = None
    ending: Ending | None = None

    def end(self, outcome: Outcome, rule: str, value: float | None = None, threshold: float | None = None,
            detail: str | None = None) -> Record:  # fmt: skip
        """End the record's way at ingest and return it, without its payload."""
        self.ending = Ending(outcome, "ingest", Verdict(rule, value, threshold, detail))
        self.body = self.text = None
        return self


def error_detail(error: BaseException) -> str:
    """Return an error as one short line for the ledger."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
