"""Windows that occur twice by a suffix array with its LCP array (Lee et al. 2022), an oracle for anchors and hashes."""

from collections.abc import Sequence

import numpy as np
import pydivsufsort  # type: ignore[import-untyped]

_BYTES = 4


# Places of tokens that go, by the document that holds the first occurrence of the window they are in.
Removed = dict[int, set[int]]


def removed_by_suffix_array(documents: Sequence[Sequence[int]], width: int, remove: str) -> list[Removed]:
    """Return what goes of each document; documents are sorted, the best first.

    Every token is four bytes, and a token that stands nowhere else is put between documents: windows of equal tokens
    are equal stretches of 4 * width bytes that begin at a token, and no stretch over a border is equal to another one.
    Suffixes that begin with equal stretches are neighbours in the suffix array.
    """
    numbers: dict[int, int] = {}
    ids: list[int] = []
    places: list[tuple[int, int]] = []
    for document, tokens in enumerate(documents):
        ids += [numbers.setdefault(token, len(numbers)) for token in tokens]
        ids.append((1 << 31) + document)
        places += [(document, place) for place in range(len(tokens) + 1)]
    text = np.array(ids, dtype=np.uint32).tobytes()
    removed: list[Removed] = [{} for _ in documents]
    if not text:
        return removed
    suffixes = pydivsufsort.divsufsort(text)
    alike = np.concatenate([[False], pydivsufsort.kasai(text, suffixes)[:-1] >= width * _BYTES, [False]])
    begins, ends = np.flatnonzero(alike[1:] & ~alike[:-1]), np.flatnonzero(alike[:-1] & ~alike[1:])
    for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
        starts = sorted(start // _BYTES for start in suffixes[begin : end + 1].tolist() if start % _BYTES == 0)
        for start in starts[0 if remove == "all" and len(starts) > 1 else 1 :]:
            document, place = places[start]
            removed[document].setdefault(places[starts[0]][0], set()).update(range(place, place + width))
    return removed
