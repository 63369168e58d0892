"""The peer's side of `substring_vs_suffix_array`: a suffix array with its LCP array, and a scan for repeated bytes.

It is given a file of texts with the byte 255 between them, the smallest length of a repeat in bytes, and prints JSON:
processor seconds without reading the file, peak memory in MiB less what was held after the imports, the bytes that go.
"""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path

import numpy as np
import pydivsufsort  # type: ignore[import-untyped]
from numpy.typing import NDArray


def main() -> None:
    """Measure once."""
    before = memory("VmRSS")
    text = Path(sys.argv[1]).read_bytes()
    start = time.process_time()
    removed = repeated(text, int(sys.argv[2]))
    seconds, peak = time.process_time() - start, memory("VmHWM") - before
    stretches = int(np.count_nonzero(removed[1:] & ~removed[:-1])) + int(removed[0])
    found = {"removed": int(removed.sum()), "stretches": stretches}
    print(json.dumps({"seconds": seconds, "peak": peak, "from_imports": peak, **found}))


def memory(field: str) -> float:
    """Return a field of this process' status, in MiB."""
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    assert found is not None
    return int(found[1]) / 1024


def repeated(text: bytes, length: int) -> NDArray[np.bool_]:
    """Return the bytes in stretches of `length` bytes that occurred before, shape (len(text),)."""
    suffixes = pydivsufsort.divsufsort(text)
    common = pydivsufsort.kasai(text, suffixes)
    # `common[i]` is the prefix that the suffixes i and i + 1 share.
    alike = common[: len(text) - 1] >= length
    del common
    begins = np.flatnonzero(alike & ~np.append(False, alike[:-1]))
    stops = np.flatnonzero(alike & ~np.append(alike[1:], False)) + 2
    edges = np.zeros(len(text) + 1, dtype=np.int32)
    inside = np.append(alike, False) | np.append(False, alike)
    places = suffixes[inside]
    del suffixes, alike, inside
    counts = stops - begins
    heads = np.cumsum(counts) - counts
    later = np.repeat(np.minimum.reduceat(places, heads), counts) != places if len(heads) else places != places
    np.add.at(edges, places[later], 1)
    np.subtract.at(edges, places[later] + length, 1)
    return np.cumsum(edges, out=edges)[:-1] > 0


if __name__ == "__main__":
    main()
