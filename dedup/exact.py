"""Whole-document exact duplicates: equal hashes of the text, blind to case and white space."""

from __future__ import annotations

import xxhash


def document_hash(text: str) -> bytes:
    """Return the 16-byte hash that exact duplicates share.

    Case and white space do not count: layouts of one site differ in them. With a billion documents the chance that
    any two different ones collide is 1.5e-21.
    """
    return xxhash.xxh3_128_digest(" ".join(text.casefold().split()).encode("utf-8", "replace"))
