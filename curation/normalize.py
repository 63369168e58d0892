"""Text as it should be stored: encoding repaired, NFC, without control characters."""

from __future__ import annotations

import re
import unicodedata
from itertools import islice

import ftfy

from configs.load import StrictModel


class NormalizeConfig(StrictModel):
    """Normalisation of text.

    Attributes:
        repair_encoding: undo mojibake (UTF-8 that was read as a single-byte charset), with ftfy.
    """

    repair_encoding: bool = True


# What UTF-8 read as windows-1252 or latin-1 looks like: a lead byte's letter, then a continuation byte's symbol,
# save those that follow a letter in good text too: quotation marks, dashes, the ellipsis and the no-break space.
# ftfy weighs the whole text; this quick look spares clean pages its cost.
_SUSPECT = re.compile("[ÂÃÄÅÎÏÐÑÔÕÖ×ØÙÚÛà-ô][\u0080-\u009f¡-ª¬-º¼-¿€‚ƒ„†‡ˆ‰Š‹ŒŽ•˜™š›œžŸ]|â€|ï¿½")
_MIN_SUSPECTS = 3
_MAX_REPAIRS = 8
_LOOKS, _LOOK_CHARS = 6, 3000
# Control characters and the non-characters of Unicode, save tab and line feed; the invisible marks that only steer
# a browser (zero width space, soft hyphen, byte order mark). Joiners and direction marks belong to scripts.
_REMOVED = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u200b\u2060\ufeff\ufff9-\ufffb\ud800-\udfff\ufdd0-\ufdef]"
)
_LINE_END = re.compile("\r\n?|\x85|\u2028")
# A run of spaces is looked at once, from its first one, and not given back: a megabyte of them costs no more than
# a megabyte of letters.
_BLANK_RUNS = re.compile("(?<![ \t\u00a0\u3000])[ \t\u00a0\u3000]*+\n(?:[ \t\u00a0\u3000]*+\n)+")
_TRAILING = re.compile("(?<![ \t\u00a0\u3000])[ \t\u00a0\u3000]++(?=\n|\\Z)")


def repair_encoding(text: str) -> str:
    """Return the text with mojibake undone; a text that shows no sign of it is returned as it is.

    It has to come before extraction: an extractor throws away the control characters that a repair needs.
    """
    return ftfy.fix_encoding(text) if _is_suspect(text) else text


def repair_page(page: str) -> str:
    """The same for raw markup, of which only a few places are looked at: mojibake spoils a page throughout."""
    if len(page) <= _LOOKS * _LOOK_CHARS:
        return repair_encoding(page)
    starts = range(0, len(page) - _LOOK_CHARS, (len(page) - _LOOK_CHARS) // (_LOOKS - 1))
    sample = " ".join(page[start : start + _LOOK_CHARS] for start in starts)
    return ftfy.fix_encoding(page) if _is_suspect(sample) else page


def _is_suspect(text: str) -> bool:
    if text.isascii():
        return False
    return sum(1 for _ in islice(_SUSPECT.finditer(text), _MIN_SUSPECTS)) == _MIN_SUSPECTS


def normalize(text: str, config: NormalizeConfig) -> str:
    """Return the text in the form in which it is measured, compared and stored.

    Line ends become line feeds, runs of blank lines one blank line, and the result is NFC (Unicode Standard Annex
    15). The function is idempotent.
    """
    if config.repair_encoding:
        text = repair_encoding(text)
    text = _clean(text)
    for _ in range(_MAX_REPAIRS if config.repair_encoding else 0):  # what was removed may have stood inside mojibake
        if (repaired := repair_encoding(text)) == text:
            break
        text = _clean(repaired)
    return text


def _clean(text: str) -> str:
    text = _LINE_END.sub("\n", text).replace("\u2029", "\n\n")
    text = _REMOVED.sub("", text)
    text = _BLANK_RUNS.sub("\n\n", text)
    return unicodedata.normalize("NFC", _TRAILING.sub("", text).strip())
