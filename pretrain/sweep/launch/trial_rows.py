"""What a trial's run has written about itself so far: its evaluations and its tokens.

Nothing here loads PyTorch: trials are watched by small processes that wait most of the time.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import NamedTuple

# As `pretrain.run.journal` names them.
LOG_FILE, EVALUATIONS_FILE = "log.jsonl", "evaluations.jsonl"
# Of a log; a row is far shorter.
_TAIL_BYTES = 1 << 20


class Measured(NamedTuple):
    """An evaluation of a run.

    Attributes:
        tokens: that the run had been trained on.
        bits: per byte, by language.
        not_finite: languages whose loss is no finite number.
    """

    tokens: int
    bits: dict[str, float]
    not_finite: tuple[str, ...] = ()


def read_evaluations(run: Path) -> list[Measured]:
    """Return the evaluations in the folder of a run; a last line that is not whole yet is left out.

    Raises:
        ValueError: another line is damaged; the message names it.
    """
    path = run / EVALUATIONS_FILE
    found = []
    for number, line in enumerate(_whole_lines(_tail(path, None)), 1):
        try:
            found.append(_measured(json.loads(line)))
        except (ValueError, RecursionError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: line {number} is no evaluation") from error
    return found


def trained_tokens(run: Path) -> int:
    """Return the tokens of the last step in the log of a run; 0 where none can be read."""
    for line in reversed(_whole_lines(_tail(run / LOG_FILE, _TAIL_BYTES))):
        try:
            tokens = json.loads(line)["tokens"]
        except (ValueError, RecursionError, KeyError, TypeError):
            continue
        if isinstance(tokens, int) and tokens >= 0:
            return tokens
    return 0


def _tail(path: Path, limit: int | None) -> bytes:
    try:
        with path.open("rb") as file:
            if limit is not None:
                file.seek(max(0, path.stat().st_size - limit))
            return file.read()
    except FileNotFoundError:
        return b""


def _whole_lines(data: bytes) -> list[bytes]:
    return data.split(b"\n")[:-1]


def _measured(row: dict[str, object]) -> Measured:
    tokens, languages = row["tokens"], row["languages"]
    if not isinstance(tokens, int) or not isinstance(languages, list):
        raise TypeError
    bits, not_finite = {}, []
    for own in languages:
        name, value = str(own["language"]), own["bits_per_byte"]
        if isinstance(value, int | float) and math.isfinite(value):
            bits[name] = float(value)
        elif own["bytes"]:  # where nothing was predicted, there is no loss either
            not_finite.append(name)
    return Measured(tokens, bits, tuple(not_finite))
