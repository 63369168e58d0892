"""The peer's side of `dedup_articles`: datasketch's MinHash and LSH index, as its documentation shows them.

112 permutations in 14 bands of 8, on 5-grams of words: `python benchmarks/peer_dedup_datasketch.py INPUT MINIMUM`,
where INPUT is a folder of JSONL files. It knows nothing of the engine.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from datasketch import MinHash, MinHashLSH

_WORD = re.compile(r"\w+(?:['’-]\w+)*")
_NGRAM, _BANDS, _ROWS = 5, 14, 8


def shingles(text: str) -> set[bytes]:
    """Return the distinct 5-grams of the words of a text."""
    words = _WORD.findall(text.lower())
    return {" ".join(words[start : start + _NGRAM]).encode() for start in range(max(1, len(words) - _NGRAM + 1))}


def main() -> None:
    """Print the candidate pairs of the index, and those of them that are truly similar, as one line of JSON."""
    minimum = float(sys.argv[2])
    index = MinHashLSH(num_perm=_BANDS * _ROWS, params=(_BANDS, _ROWS))
    sets: dict[str, set[bytes]] = {}
    candidates = []
    for path in sorted(Path(sys.argv[1]).glob("*.jsonl")):
        with path.open() as lines:
            for line in lines:
                document = json.loads(line)
                name = document["id"]
                sets[name] = shingles(document["text"])
                signature = MinHash(num_perm=_BANDS * _ROWS)
                signature.update_batch(list(sets[name]))
                candidates += [(other, name) for other in index.query(signature)]
                index.insert(name, signature)
    verified = []
    for one, other in candidates:
        common = len(sets[one] & sets[other])
        if common >= minimum * (len(sets[one]) + len(sets[other]) - common):
            verified.append((one, other))
    print(json.dumps({"pairs": candidates, "verified": verified}))


if __name__ == "__main__":
    main()
