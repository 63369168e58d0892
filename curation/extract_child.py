"""The process that runs the extractors: `python -m curation.extract_child`, driven by `curation.extract`.

Extractors hang, leak and crash on hostile pages. They run here, where the kernel enforces the page's budget: a page
that takes more processor time than it may is killed with this process (RLIMIT_CPU), whatever C code it is stuck in.

Protocol, on standard input and output: a request is a JSON header line `{"extractor", "mode", "cpu_s", "bytes"}` and
as many bytes of UTF-8; an answer is `{"bytes", "error"}` and as many bytes of UTF-8.
"""

from __future__ import annotations

import json
import logging
import resource
import sys
from typing import BinaryIO


def main() -> None:
    """Answer requests until standard input ends."""
    memory_bytes = int(sys.argv[1])
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # a library that prints must not break the protocol
    logging.disable(logging.CRITICAL)
    import resiliparse.extract.html2text  # noqa: F401  (imports before the limit, which is for the page alone)
    import trafilatura  # noqa: F401

    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, resource.RLIM_INFINITY))
    sink.write(b"ready\n")
    sink.flush()
    while line := source.readline():
        request = json.loads(line)
        page = source.read(request["bytes"]).decode("utf-8")
        _limit_cpu(request["cpu_s"])
        try:
            text, error = extract(page, request["extractor"], request["mode"]), None
        except MemoryError:
            text, error = "", "MemoryError: over the memory budget"
        except Exception as problem:  # an extractor may raise anything on a hostile page: it becomes a ledger row
            text, error = "", f"{type(problem).__name__}: {' '.join(str(problem).split())[:200]}"
        _answer(sink, text, error)


def extract(page: str, extractor: str, mode: str) -> str:
    """Return the main text of a page, or an empty string where the extractor finds none."""
    if extractor == "resiliparse":
        from resiliparse.extract.html2text import extract_plain_text

        return extract_plain_text(page, main_content=True, alt_texts=False, links=False, form_fields=False) or ""
    import trafilatura

    return (
        trafilatura.extract(
            page,
            output_format="txt",
            include_comments=False,
            include_tables=True,
            deduplicate=False,  # its memory of earlier pages would make the result depend on the order of pages
            fast=mode == "fast",
            favor_precision=mode == "precision",
            favor_recall=mode == "recall",
        )
        or ""
    )


def _limit_cpu(cpu_s: int) -> None:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    used = usage.ru_utime + usage.ru_stime
    resource.setrlimit(resource.RLIMIT_CPU, (int(used) + 1 + cpu_s, resource.RLIM_INFINITY))


def _answer(sink: BinaryIO, text: str, error: str | None) -> None:
    data = text.encode("utf-8", "replace")
    sink.write(json.dumps({"bytes": len(data), "error": error}).encode() + b"\n" + data)
    sink.flush()


if __name__ == "__main__":
    main()
