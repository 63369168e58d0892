"""URL lists: domains, addresses and words of fraudulent and adult sites (RefinedWeb, appendix G.1).

The lists hold millions of domains. They are looked up as 64-bit hashes in a sorted array: 36 MB that all workers of a
machine share through the page cache, where a Python set of the strings takes 800 MB in every worker.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import numpy as np
import xxhash
from numpy.typing import NDArray
from pydantic import Field

from configs.load import StrictModel
from filters.rules import Verdict


class UrlConfig(StrictModel):
    """URL lists.

    Attributes:
        bundled_lists: use the domain, URL and word lists that ship with datatrove.
        extra_domains: further domains to drop, with their subdomains.
        allowed_domains: domains that no list may drop, with their subdomains.
        soft_words: number of different words of the soft list in an URL that drops it; None switches it off.
    """

    bundled_lists: bool = True
    extra_domains: tuple[str, ...] = ()
    allowed_domains: tuple[str, ...] = ()
    soft_words: int | None = Field(default=2, ge=1)


@dataclass(frozen=True)
class UrlLists:
    """The lists in the form that is searched. Words are lower-case letters and digits.

    Attributes:
        domains: sorted hashes of domains (`hash_names`).
        urls: sorted hashes of addresses without scheme, `www.` and trailing slash.
        words: an URL with one of these words is dropped.
        subwords: an URL that holds one of these anywhere, separators left out, is dropped.
        soft_words: an URL with several of these words is dropped.
    """

    domains: NDArray[np.uint64]
    urls: NDArray[np.uint64]
    words: frozenset[str] = frozenset()
    subwords: frozenset[str] = frozenset()
    soft_words: frozenset[str] = frozenset()


_SEPARATORS = re.compile(r"[^a-zA-Z0-9]+")


def hash_names(names: Iterable[str]) -> NDArray[np.uint64]:
    """Return the sorted 64-bit hashes of domains or addresses.

    With 4.6 million entries the chance that an innocent name collides with one of them is 2.5e-13.
    """
    hashes = np.fromiter(map(_hash, names), dtype=np.uint64)
    return np.unique(hashes)


def domain_with_parents(host: str) -> Iterator[str]:
    """Yield a host and the domains above it, down to two labels: a.b.example.org, b.example.org, example.org."""
    labels = host.rstrip(".").split(".")
    for start in range(max(1, len(labels) - 1)):
        yield ".".join(labels[start:])


def plain_address(url: str) -> str:
    """Return an URL without scheme, `www.`, fragment and trailing slash, its host in lower case."""
    parts = urlsplit(url)
    host = (parts.hostname or "").removeprefix("www.")
    query = f"?{parts.query}" if parts.query else ""
    return f"{host}{parts.path}{query}".rstrip("/")


class UrlFilter:
    """Judges URLs by the lists."""

    def __init__(self, lists: UrlLists, config: UrlConfig) -> None:
        """Prepare the lists together with the domains that the configuration adds or allows."""
        self._lists = lists
        self._soft_words = config.soft_words
        self._extra = frozenset(domain.lower() for domain in config.extra_domains)
        self._allowed = frozenset(domain.lower() for domain in config.allowed_domains)
        self._subwords = sorted(lists.subwords)

    def judge(self, url: str) -> Verdict | None:
        """Return why a record with this URL is dropped, or None. The verdict's detail is the entry that matched."""
        try:
            host = (urlsplit(url).hostname or "").lower()
            address = plain_address(url)
        except ValueError:  # for example an IPv6 host that does not close
            return Verdict("malformed_url", detail=url[:200])
        domains = list(domain_with_parents(host)) if host else []
        if any(domain in self._allowed for domain in domains):
            return None
        for domain in domains:
            if domain in self._extra or _contains(self._lists.domains, domain):
                return Verdict("domain", detail=domain)
        if _contains(self._lists.urls, address):
            return Verdict("url", detail=address)
        return self._judge_words(url)

    def _judge_words(self, url: str) -> Verdict | None:
        words = set(_SEPARATORS.sub(" ", url).lower().split())
        if hard := sorted(words & self._lists.words):
            return Verdict("word", detail=hard[0])
        soft = sorted(words & self._lists.soft_words)
        if self._soft_words is not None and len(soft) >= self._soft_words:
            return Verdict("soft_words", len(soft), self._soft_words, " ".join(soft))
        joined = _SEPARATORS.sub("", url).lower()
        for subword in self._subwords:  # faster than one regular expression of all
            if subword in joined:
                return Verdict("subword", detail=subword)
        return None


def _contains(hashes: NDArray[np.uint64], name: str) -> bool:
    wanted = np.uint64(_hash(name))
    position = int(np.searchsorted(hashes, wanted))
    return position < len(hashes) and bool(hashes[position] == wanted)


def _hash(name: str) -> int:
    return xxhash.xxh64_intdigest(name.encode("utf-8", "replace"))
