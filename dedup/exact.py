"""Whole-document exact duplicates: equal hashes of the text, blind to case and white space."""

from __future__ import annotations

import xxhash

from dedup.stretches import stretches

_STRETCH = 1 << 18


def document_hash(text: str) -> bytes:
    """Return the 16-byte hash that exact duplicates share.

    Case and white space do not count: layouts of one site differ in them. With a billion documents the chance that
    any two different ones collide is 1.5e-21.
    """
    digest = xxhash.xxh3_128()
    space = b""
    for stretch in stretches(text, _STRETCH):
        if words := stretch.casefold().split():
            digest.update(space + " ".join(words).encode("utf-8", "replace"))
            space = b" "
    return digest.digest()
