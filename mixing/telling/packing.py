"""Told pairs packed into documents, and consecutive sentences into paragraphs.

The order is that of content hashes, not of the input: what a document holds then depends neither on how a corpus was
read nor on how it was cut into files, and sentences that stood side by side do not fill a document with one subject,
unless paragraphs are asked for. So `pack` sorts what it is given: give it one bucket of `bucket_of` at a time, and
memory is bounded by a bucket.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import xxhash

from mixing.telling.pairs import Document, TextPair
from mixing.telling.render import RenderConfig, Renderer, content_hash, joint
from mixing.telling.templates import TemplateLibrary

# A document with its languages, or a pair without one.
_Order = tuple[bytes, str, str, str, int, bytes, str]


def pack(pairs: Iterable[TextPair], config: RenderConfig, library: TemplateLibrary | None = None) -> Iterator[Document]:
    """Yield documents with every pair in exactly one of them, whole.

    In the order of content hashes, a pair or paragraph goes into the current document if `config.max_chars` allows it,
    else it begins the next one. One that is longer than that stands alone. With `config.paragraphs`, pairs of one
    `document_id` and the same languages follow each other by `sequence`; those that are consecutive, as far as a
    paragraph fits into `config.max_chars`, are told as one text, in the way drawn for the first of them.

    Pairs of several languages may share a document: to keep them apart, pack them apart.

    Raises:
        UserError: as `Renderer.draw`.
    """
    renderer = Renderer(config, library)
    waiting: list[Document] = []
    length = 0
    for passage in _passages(pairs, renderer):
        grown = length + len(config.separator) + len(passage.text)
        if waiting and (config.max_chars is None or grown > config.max_chars):
            yield _put_together(waiting, config.separator)
            waiting = []
        length = grown if waiting else len(passage.text)
        waiting.append(passage)
    if waiting:
        yield _put_together(waiting, config.separator)


def bucket_of(pair: TextPair, config: RenderConfig, buckets: int) -> int:
    """Return the number of the bucket that a pair is packed in, below `buckets`: by its document, else by its content.

    Buckets are about equal in size, as far as documents are.
    """
    return xxhash.xxh3_64_intdigest(_order(pair, config)[0] + b"bucket") % buckets


def _order(pair: TextPair, config: RenderConfig) -> _Order:
    """Return what pairs are sorted by: sentences of a document are side by side, if paragraphs are made."""
    content = content_hash(pair, config.seed)
    if not config.paragraphs or pair.document_id is None:
        return content, "", "", "", 0, content, pair.id
    document = xxhash.xxh3_128_digest(pair.document_id.encode("utf-8", "surrogatepass"), config.seed)
    return document, pair.document_id, pair.src_lang, pair.tgt_lang, pair.sequence, content, pair.id


def _passages(pairs: Iterable[TextPair], renderer: Renderer) -> Iterator[Document]:
    """Yield pairs and paragraphs as texts of their own, in the order they are packed in."""
    config = renderer.config
    ordered = sorted(pairs, key=lambda pair: _order(pair, config))
    start = 0
    while start < len(ordered):
        telling = renderer.draw(ordered[start])
        end = _paragraph_end(ordered, start, config, telling.frame.length) if config.paragraphs else start + 1
        yield renderer.tell(ordered[start:end], telling)
        start = end


def _paragraph_end(ordered: Sequence[TextPair], start: int, config: RenderConfig, frame_length: int) -> int:
    """Return the place after the last pair of the paragraph that begins at `start`; a paragraph has one at least."""
    first = ordered[start]
    joints = len(joint(first.src_lang)) + len(joint(first.tgt_lang))
    length = frame_length + len(first.src_text) + len(first.tgt_text)
    end = start + 1
    while end < len(ordered) and _are_consecutive(ordered[end - 1], ordered[end], config.max_missing):
        length += joints + len(ordered[end].src_text) + len(ordered[end].tgt_text)
        if config.max_chars is not None and length > config.max_chars:
            break
        end += 1
    return end


def _are_consecutive(pair: TextPair, following: TextPair, max_missing: int) -> bool:
    same = pair.document_id is not None and (pair.document_id, pair.src_lang, pair.tgt_lang) == (
        following.document_id,
        following.src_lang,
        following.tgt_lang,
    )
    return same and 1 <= following.sequence - pair.sequence <= max_missing + 1


def _put_together(passages: Sequence[Document], separator: str) -> Document:
    told = []
    start = 0
    for passage in passages:
        told += [pair.moved(start) for pair in passage.pairs]
        start += len(passage.text) + len(separator)
    return Document(separator.join(passage.text for passage in passages), tuple(told))
