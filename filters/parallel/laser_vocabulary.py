"""The numbers of LASER's pieces: marks first, then the pieces of a vocabulary in its order.

LASER2 keeps them in its checkpoint, LASER3 in a file of fairseq's format beside it (`.cvocab`).
"""

from __future__ import annotations

from pathlib import Path

from configs.errors import UserError

# The numbers that these tokens have whatever a dictionary says.
BOS, PAD, EOS, UNKNOWN = 0, 1, 2, 3
RESERVED = {"<s>": BOS, "<pad>": PAD, "</s>": EOS, "<unk>": UNKNOWN}
# A vocabulary of a million pieces is a tenth of this.
_MOST_BYTES = 256 << 20


def read_vocabulary(path: Path) -> dict[str, int]:
    """Return the numbers in a vocabulary, which has a piece and its count on each line; the first is number 4.

    Raises:
        UserError: the file is missing or holds something else.
    """
    try:
        if (size := path.stat().st_size) > _MOST_BYTES:
            raise UserError(f"{path} is no vocabulary: it has {size:,} bytes")
        lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except OSError as error:
        raise UserError(f"no vocabulary at {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no vocabulary: it is not UTF-8") from error
    numbers = dict(RESERVED)
    for row, line in enumerate(lines, start=1):
        piece, space, count = line.rstrip().rpartition(" ")
        if not space or not count.isdecimal():
            raise UserError(f"{path} is no vocabulary: line {row} is {line[:100]!r}, not a piece and its count")
        if piece in numbers:
            raise UserError(f"{path} is no vocabulary: line {row} has {piece[:100]!r}, which has a number already")
        numbers[piece] = len(numbers)
    return numbers
