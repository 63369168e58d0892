"""The engine's side of `dedup_articles`: every phase of exact and near deduplication in one process, without Ray.

`python -m benchmarks.dedup_articles_engine INPUT OUT`, where INPUT is a file of articles, one a line after its name.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks.dedup_parts import Phases, find, only, pairs, write_parts
from dedup.minhash import MinHashConfig


def main() -> None:
    """Write the articles that stay, and print the pairs that were found as one line of JSON."""
    source, out = Path(sys.argv[1]), Path(sys.argv[2])
    texts = dict(line.split(" ", 1) for line in source.read_text(encoding="utf-8").splitlines())
    parts, documents = write_parts(texts.items(), out / "documents")
    phases = Phases()
    found = list(pairs(parts, find(parts, documents, only(MinHashConfig()), out / "work", phases)))
    gone = {name for name, _ in found}
    with (out / "kept.jsonl").open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps({"id": n, "text": text}) + "\n" for n, text in texts.items() if n not in gone)
    print(json.dumps({"pairs": found, "seconds": phases.seconds}))


if __name__ == "__main__":
    main()
