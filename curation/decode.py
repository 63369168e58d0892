"""Bytes of a web page -> text: which charset is it really in?

Servers and pages lie about their charset, so the declarations are hypotheses that the bytes have to confirm.
Order of belief: a byte order mark; UTF-8 when the bytes are valid UTF-8 (text in another charset hardly ever is);
what the HTTP header and the `<meta>` element declare, when the bytes decode without an error; a statistical guess
(uchardet, through resiliparse). Labels follow the WHATWG Encoding Standard, section 4.2: `iso-8859-1` means
windows-1252 and `gb2312` means GB18030, as in every browser.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

from resiliparse.parse.encoding import detect_encoding, map_encoding_to_html5

_META_CHARSET = re.compile(rb"""<meta[^>]{0,256}?charset\s*=\s*["']?\s*([A-Za-z0-9_:.\-]{2,40})""", re.IGNORECASE)
_META_WINDOW_BYTES = 4096
_GUESS_WINDOW_BYTES = 32_768
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
# A page of valid UTF-8 that was clipped or spliced has a few bad bytes; more than this share of its
# non-ASCII bytes means that it is not UTF-8 at all.
_MAX_BAD_UTF8_SHARE = 0.02
# C1 control characters are no part of any text: a charset that yields them was the wrong one.
_C1_CONTROLS = re.compile("[\u0080-\u0084\u0086-\u009f]")
# The Encoding Standard reads these labels as the larger character set that pages really use.
_SUPERSETS = {"gbk": "gb18030", "iso8859-11": "cp874", "shift_jis": "cp932", "euc_kr": "cp949", "big5": "big5hkscs"}
_MARKUP = re.compile(rb"<(script|style)\b.*?(?:</\1\s*>|\Z)|<[^<>]*>", re.IGNORECASE | re.DOTALL)
_HIGH_RUN = re.compile("[^\x00-\x7f]+")
# Languages written in windows-1252 scatter accented letters between ASCII ones. Where most of them stand in
# runs, the bytes are another script's (Greek, Cyrillic, Thai ...) under a wrong declaration.
_MAX_MEAN_HIGH_RUN = 2.0


@dataclass(frozen=True, slots=True)
class Decoded:
    """Text of a page and the charset (Python codec name) that its bytes were read with."""

    text: str
    charset: str


def python_codec(label: str | None) -> str | None:
    """Return the Python codec for a charset label of the web, or None when the label is missing or unknown."""
    if not label:
        return None
    # An empty string means "no such label in the WHATWG table"; errors also come back as None from the mapping.
    mapped = map_encoding_to_html5(label.strip(" \t\r\n\f\"'").lower(), fallback_utf8=False)
    if not mapped:
        return None
    try:
        return codecs.lookup(_SUPERSETS.get(mapped, mapped)).name
    except LookupError:
        return None


def decode_page(body: bytes, header_charset: str | None) -> Decoded:
    """Decode the body of a page. Never raises: bytes that no charset explains become U+FFFD.

    Args:
        body: the payload after transfer and content decoding.
        header_charset: the charset parameter of the HTTP Content-Type header, or None.
    """
    for bom, codec in _BOMS:
        if body.startswith(bom):
            return Decoded(body[len(bom) :].decode(codec, "replace"), codec)
    if b"\x1b$" in body and body.isascii() and (text := _decode_clean(body, "iso2022_jp")) is not None:
        return Decoded(text, "iso2022_jp")
    try:
        return Decoded(body.decode("utf-8"), "utf-8")
    except UnicodeDecodeError:
        pass
    if _is_damaged_utf8(body):
        return Decoded(body.decode("utf-8", "replace"), "utf-8")
    for codec in _declared(body, header_charset):
        if (text := _decode_clean(body, codec)) is not None:
            return Decoded(text, codec)
    guess = _guess(_MARKUP.sub(b" ", body[: 4 * _GUESS_WINDOW_BYTES])[:_GUESS_WINDOW_BYTES])
    return Decoded(body.decode(guess, "replace"), guess)


def _guess(words: bytes) -> str:
    # Without `html5_compatible`, because that turns a name that is no label of the web into UTF-8: uchardet calls
    # Korean cp949, and knows nothing about a page with a handful of curly quotes.
    label = (detect_encoding(words, html5_compatible=False) or "").lower()
    return python_codec("euc-kr" if label == "cp949" else label) or "cp1252"


def _declared(body: bytes, header_charset: str | None) -> list[str]:
    """Charsets that the page claims, the more trustworthy first, without UTF-8, which was ruled out before.

    The author's `<meta>` is believed before the server's header: a server often sends one default for every file.
    """
    meta = _META_CHARSET.search(body[:_META_WINDOW_BYTES])
    claims = [python_codec(meta[1].decode("ascii")) if meta else None, python_codec(header_charset)]
    return [codec for codec in dict.fromkeys(claims) if codec and not codec.startswith("utf")]


def _decode_clean(body: bytes, codec: str) -> str | None:
    try:
        text = body.decode(codec)
    except UnicodeDecodeError:
        return None
    if _C1_CONTROLS.search(text) or (codec == "cp1252" and _looks_like_another_script(text)):
        return None
    return text


def _looks_like_another_script(text: str) -> bool:
    runs = _HIGH_RUN.findall(text[:_GUESS_WINDOW_BYTES])
    return bool(runs) and sum(map(len, runs)) / len(runs) > _MAX_MEAN_HIGH_RUN


def _is_damaged_utf8(body: bytes) -> bool:
    sample = body[:_GUESS_WINDOW_BYTES]
    non_ascii = len(sample) - len(sample.decode("ascii", "ignore"))
    if not non_ascii:  # the bad bytes lie behind the window: what is before them says nothing against UTF-8
        sample, non_ascii = body, len(body) - len(body.decode("ascii", "ignore"))
    bad = sample.decode("utf-8", "replace").count("\ufffd")
    return bad <= _MAX_BAD_UTF8_SHARE * non_ascii or (bad == 1 and non_ascii > 20)
