"""What the summary tells of deduplication: sizes of clusters, and the largest of them."""

from __future__ import annotations

from collections import Counter

import pyarrow.parquet as pq

from curation.job_parts import JobResult
from curation.schema import CLUSTERS
from curation.store import read_tables

_NAMED = 20


def deduplication_facts(job: JobResult, code: str) -> dict[str, object]:
    """Return numbers of clusters by size over the whole pass, and one language's largest ones."""
    sizes: Counter[int] = Counter()
    giant = 0
    for manifest in job.found.survivors:
        rows = manifest.details["sizes"]
        assert isinstance(rows, list)
        for size, count in rows:
            sizes[size] += count
        giant += manifest.counts["giant_clusters"]
    clusters = read_tables([manifest.path("clusters.parquet") for manifest in job.found.survivors], CLUSTERS)
    rows = sorted(clusters.to_pylist(), key=lambda row: (-row["size"], row["id"]))[: 5 * _NAMED]
    largest: list[dict[str, object]] = []
    for row in rows:
        path = job.base_documents.get(row["part"]) or job.parts[row["part"]].documents_path
        columns = ["url", "language"]
        document = pq.read_table(path, columns=columns, filters=[("id", "=", row["id"])], partitioning=None).to_pylist()
        if document and document[0]["language"] == code and len(largest) < _NAMED:
            named = {name: row[name] for name in ("size", "kept", "min_similarity", "id")}
            largest.append({**named, "url": document[0]["url"]})
    return {"clusters": sorted(map(list, sizes.items())), "giant_clusters": giant, "largest": largest}
