"""The peer's side of `dedup_articles`: datatrove's MinHash in its four stages, run by the peer's own Python.

FineWeb's settings: 14 buckets of 8 hashes on 5-grams of words, 64-bit hashes. It knows nothing of the engine:
`/tmp/bench-peer/bin/python benchmarks/peer_dedup_datatrove.py INPUT OUT`, where INPUT is a folder of JSONL files.
"""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Sequence
from pathlib import Path

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.dedup import (
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
)
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter
from datatrove.utils.hashing import HashConfig


def run(steps: Sequence[PipelineStep], tasks: int, logs: Path) -> None:
    """Run one stage in this process, one task after the other."""
    LocalPipelineExecutor(list(steps), tasks=tasks, workers=1, logging_dir=str(logs)).run()


def main() -> None:
    """Run the stages and print the pairs of documents that share a bucket, as one line of JSON."""
    source, out = sys.argv[1], Path(sys.argv[2])
    config = MinhashConfig(hash_config=HashConfig(precision=64), num_buckets=14, hashes_per_bucket=8, n_grams=5)
    signatures, buckets, removed = (str(out / name) for name in ("signatures", "buckets", "removed"))
    run([JsonlReader(source), MinhashDedupSignature(signatures, config=config)], 1, out / "logs1")
    run([MinhashDedupBuckets(signatures, buckets, config=config)], config.num_buckets, out / "logs2")
    run([MinhashDedupCluster(buckets, removed, config=config)], 1, out / "logs3")
    run(
        [JsonlReader(source), MinhashDedupFilter(removed), JsonlWriter(str(out / "kept"), compression=None)],
        1,
        out / "logs4",
    )
    names = [json.loads(line)["id"] for path in sorted(Path(source).glob("*.jsonl")) for line in path.open()]
    found = set()
    for path in sorted(Path(buckets).glob("*.dups")):
        for _, first, _, second in struct.iter_unpack("<4I", path.read_bytes()):
            found.add((names[first], names[second]))
    kept = sum(1 for path in (out / "kept").glob("*.jsonl") for _ in path.open())
    print(json.dumps({"pairs": sorted(found), "kept": kept}))


if __name__ == "__main__":
    main()
