"""URLs and e-mail addresses of both sides of a pair: a translation keeps them, but for a path in its own language."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
from numpy.typing import NDArray

from filters.parallel.batch import Batch

_ADDRESS = re.compile(
    r"(?:https?://|www\.)[^\s<>\"'«»“”()\[\]{}，。、；：！？）】」]{1,500}|[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,5}",
    re.IGNORECASE,
)
_SCHEME = re.compile(r"(?:https?://)?(?:www\.)?", re.IGNORECASE)


def address_mismatch(source: Batch, target: Batch) -> NDArray[np.float64]:
    """Return the share of hosts and e-mail addresses that the other side does not have, shape (N,); 0 where neither
    side has any. Hosts are compared without `www.` and without what stands behind their last dot, as the site of
    another language is often the same name in another country.
    """
    left, right = _addresses(source), _addresses(target)
    mismatch = np.zeros(source.count)
    for number in left.keys() | right.keys():
        own, other = left.get(number, Counter()), right.get(number, Counter())
        common = (own & other).total()
        mismatch[number] = 1 - 2 * common / (own.total() + other.total())
    return mismatch


def _addresses(batch: Batch) -> dict[int, Counter[str]]:
    found: dict[int, Counter[str]] = {}
    for owner in _candidates(batch):
        start = int(batch.starts[owner])
        text = batch.text[start : start + int(batch.lengths[owner])]
        if addresses := _ADDRESS.findall(text):
            found[owner] = Counter(_name(address.lower()) for address in addresses)
    return found


def _candidates(batch: Batch) -> list[int]:
    """Return the texts with a sign of an address: few, and a search for it is faster than the expression."""
    points = batch.points
    signs = points == ord("@")
    signs[:-2] |= (points[:-2] == ord(":")) & (points[1:-1] == ord("/"))
    signs[:-2] |= (points[:-2] | 0x20 == ord("w")) & (points[1:-1] | 0x20 == ord("w")) & (points[2:] | 0x20 == ord("w"))
    texts: list[int] = np.unique(batch.owner[signs]).tolist()
    return texts


def _name(address: str) -> str:
    if "@" in address and not address.startswith(("http:", "https:", "www.")):
        return address.rstrip(".-_")
    host = re.split(r"[/?#:]", _SCHEME.sub("", address, count=1), maxsplit=1)[0].rstrip(".,;!")
    return host.rpartition(".")[0] or host
