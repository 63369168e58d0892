"""How often pairs of documents of known similarity share a band, beside the theory, for both presets of MinHash.

The pairs are made of random words so that the Jaccard similarity of their 5-grams is exactly 0.50, 0.55 ... 0.95. They
pass the phases `sign` and `buckets` of deduplication. The z of a row is that of the exact binomial tail (mid-p), as
the normal approximation fails where hardly a pair meets. Beyond 3.3 lies one of a thousand sound rows; 20 rows
together are far likelier than not to stay below.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from benchmarks.dedup_parts import PART_DOCUMENTS, Document, write_parts
from benchmarks.machine import describe
from curation.duplicates.near import BucketsPartition, buckets_partition
from curation.duplicates.parts import DedupPart, parts_and_rows
from curation.duplicates.shuffle import read_partition
from curation.duplicates.sign import SignPart, sign_part
from curation.schema import BUCKETS
from dedup.minhash import MinHashConfig
from dedup.s_curve import probability

SIMILARITIES = tuple(Fraction(percent, 100) for percent in range(50, 100, 5))
LARGEST_Z = 3.3
_SHINGLES, _PARTITIONS = 300, 4


def make_pair(similarity: Fraction, ngram: int, generator: np.random.Generator) -> tuple[str, str]:
    """Return two texts of about `_SHINGLES` n-grams that have exactly this Jaccard similarity.

    Of n n-grams each, the last d are others: (n - d) / (n + d) is the similarity.
    """
    share = (1 - similarity) / (1 + similarity)
    count = share.denominator * round(_SHINGLES / share.denominator)
    changed = int(count * share)
    words = [f"{word:x}" for word in generator.integers(0, 1 << 62, count + ngram - 1 + changed).tolist()]
    own = len(words) - changed
    return " ".join(words[:own]), " ".join([*words[: own - changed], *words[own:]])


def meetings(config: MinHashConfig, pairs: int, folder: Path) -> list[int]:
    """Return for each similarity how many of the pairs share a bucket."""
    generator = np.random.default_rng(config.seed)
    texts = [text for value in SIMILARITIES for _ in range(pairs) for text in make_pair(value, config.ngram, generator)]
    documents: list[Document] = [(str(number), text) for number, text in enumerate(texts)]
    parts, _ = write_parts(documents, folder / "documents")
    bands = tuple(_sign(part, config, folder / f"sign-{part.number}") for part in parts)
    met = np.zeros(len(texts) // 2, dtype=np.bool_)
    for number in range(_PARTITIONS):
        out = folder / f"buckets-{number}"
        out.mkdir()
        buckets_partition(BucketsPartition(bands, number, frozenset()), out, out)
        columns = read_partition([out / "buckets.arrow"], 0, BUCKETS)
        part, row = parts_and_rows(columns["place"].astype(np.uint64))
        _mark(met, columns["bucket"].astype(np.int64), part * PART_DOCUMENTS + row)
    return [int(own.sum()) for own in np.split(met, len(SIMILARITIES))]


def _sign(part: DedupPart, config: MinHashConfig, out: Path) -> Path:
    out.mkdir()
    sign_part(SignPart(part, None, (), {"en": "spaces"}, config, _PARTITIONS), out, out)
    return out / "bands.arrow"


def _mark(met: NDArray[np.bool_], bucket: NDArray[np.int64], document: NDArray[np.int64]) -> None:
    """Mark the pairs of which both documents are in one bucket."""
    order = np.lexsort((document, bucket))
    bucket, document = bucket[order], document[order]
    both = (bucket[1:] == bucket[:-1]) & (document[1:] == document[:-1] + 1) & (document[:-1] % 2 == 0)
    met[document[:-1][both] // 2] = True


def z_of(found: int, pairs: int, expected: float) -> float:
    """Return the standard normal value at which as much lies below as below `found` of a binomial distribution."""
    expected = min(expected, 1 - 1e-12)  # which it is to double precision from 0.85 on
    logs = [
        math.lgamma(pairs + 1) - math.lgamma(k + 1) - math.lgamma(pairs - k + 1)
        + k * math.log(expected) + (pairs - k) * math.log1p(-expected)
        for k in range(pairs + 1)
    ]  # fmt: skip
    chances = [math.exp(log) for log in logs]
    below = math.fsum(chances[:found]) + chances[found] / 2
    above = math.fsum(chances[found + 1 :]) + chances[found] / 2
    distance = -NormalDist().inv_cdf(min(0.5, max(min(below, above), 1e-300)))
    return math.copysign(distance, below - above)


def report(preset: str, config: MinHashConfig, pairs: int, found: list[int], seconds: float) -> bool:
    """Print the table of one preset; return whether all rows agree with the theory."""
    print(f"\n{preset}: {config.bands} bands of {config.rows}, {pairs:,} pairs of each similarity, {seconds:.0f} s")
    print(f"{'similarity':>10}{'measured':>10}{'theory':>10}{'error':>9}{'z':>7}")
    values = []
    for similarity, count in zip(SIMILARITIES, found, strict=True):
        expected = probability(float(similarity), config.bands, config.rows)
        values.append(z_of(count, pairs, expected))
        error = math.sqrt(expected * (1 - expected) / pairs)
        print(f"{float(similarity):10.2f}{count / pairs:10.4f}{expected:10.4f}{error:9.4f}{values[-1]:7.2f}")
    largest = max(map(abs, values))
    verdict = "as in theory" if largest < LARGEST_Z else "NOT as in theory"
    print(f"chi2 {sum(z * z for z in values):.1f} with {len(values)} degrees of freedom;", end=" ")
    print(f"largest |z| {largest:.2f} (bound {LARGEST_Z}): {verdict}", flush=True)
    return largest < LARGEST_Z


def main() -> None:
    """Measure both presets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=2000, help="of each similarity, for fineweb")
    parser.add_argument("--pairs-refinedweb", type=int, default=500)
    arguments = parser.parse_args()
    print(describe("numpy", "pyarrow"))
    sound = True
    for preset, pairs in (("fineweb", arguments.pairs), ("refinedweb", arguments.pairs_refinedweb)):
        config = MinHashConfig.model_validate({"preset": preset})
        start = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="bench-s-curve-") as name:
            found = meetings(config, pairs, Path(name))
        sound &= report(preset, config, pairs, found, time.monotonic() - start)
    if not sound:
        raise SystemExit("bands meet more or less often than the theory says")


if __name__ == "__main__":
    main()
