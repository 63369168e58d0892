"""Three languages of made-up words whose best mixture is known: two contradict each other, one helps both.

A text is a word that says nothing, so that texts differ, a context x, and what follows it, y: a reader cannot tell the
language from what comes before y, and the first word of a text is not predicted. P(y|x) is the language's own table:
`left` and `right` contradict each other on three of four contexts; `helper` says what `left` says on one part of them,
what `right` says on another, and something of its own on the third. On the rest all three agree.

Who reads a mixture with shares w and cannot tell the languages apart learns q = sum_i w_i P_i at best. The loss of
language i is then -E_i log q, and a weighted sum of them, with weights v, is smallest where q = sum_i v_i P_i: a cross
entropy is smallest at the truth. The tables are linearly independent, so that is w = v, and nowhere else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, pre_tokenizers

Table = NDArray[np.float64]
LANGUAGES = ("left", "right", "helper")
CONTEXTS, SILENT = 16, 1024
_SURE = 0.9


def tables() -> dict[str, Table]:
    """Return P(y|x) of each language, shape (contexts, contexts): row x sums to 1."""
    quarter = CONTEXTS // 4
    first, second, third = (np.roll(np.arange(CONTEXTS), turn) for turn in (1, 5, 9))
    parts = {
        "left": np.concatenate([first[: 3 * quarter], third[3 * quarter :]]),
        "right": np.concatenate([second[: 3 * quarter], third[3 * quarter :]]),
        "helper": np.concatenate([first[:quarter], second[quarter : 2 * quarter], third[2 * quarter :]]),
    }
    found = {}
    for name in LANGUAGES:
        table = np.full((CONTEXTS, CONTEXTS), (1 - _SURE) / (CONTEXTS - 1))
        table[np.arange(CONTEXTS), parts[name]] = _SURE
        found[name] = table
    return found


def bits_of_a_text(shares: Mapping[str, float]) -> dict[str, float]:
    """Return the bits of x and y in a text of each language, to whoever learnt a mixture perfectly."""
    own = tables()
    mixed = sum((share * own[name] for name, share in shares.items()), np.zeros((CONTEXTS, CONTEXTS)))
    context = np.log2(CONTEXTS)
    return {name: float(context - (table * np.log2(mixed)).sum() / CONTEXTS) for name, table in own.items()}


def best_shares(weights: Mapping[str, float], base: Mapping[str, float]) -> dict[str, float]:
    """Return the shares that are best for the weighted mean of changes against what a base mixture gives."""
    reference = bits_of_a_text(base)
    exact = {name: weights[name] / reference[name] for name in LANGUAGES}
    return {name: own / sum(exact.values()) for name, own in exact.items()}


def write_languages(folder: Path, texts: int, seed: int = 1) -> tuple[Path, Path]:
    """Write a corpus of each language, and a tokenizer with a token for each word.

    Args:
        folder: that is filled.
        texts: of each language.
        seed: of the draws.

    Returns:
        The folder of corpora, and the tokenizer's.
    """
    for number, (name, table) in enumerate(tables().items()):
        draws = np.random.default_rng([seed, number])
        silent = draws.integers(SILENT, size=texts)
        contexts = draws.integers(CONTEXTS, size=texts)
        following = (draws.random(texts)[:, None] > table.cumsum(axis=1)[contexts]).sum(axis=1).clip(max=CONTEXTS - 1)
        rows = zip(silent.tolist(), contexts.tolist(), following.tolist(), strict=True)
        words = [f"{start:04} x{x:02} y{y:02}" for start, x, y in rows]
        _write_corpus(folder / "corpora" / name, name, words)
    vocabulary = [f"{own:04}" for own in range(SILENT)] + [
        f"{kind}{own:02}" for kind in "xy" for own in range(CONTEXTS)
    ]
    model = models.WordLevel(
        {word: place for place, word in enumerate(["<|endoftext|>", "<unk>", *vocabulary])}, "<unk>"
    )
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(["<|endoftext|>"])
    place = folder / "tokenizer"
    place.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(place / "tokenizer.json"))
    return folder / "corpora", place


def _write_corpus(folder: Path, name: str, texts: list[str]) -> None:
    (folder / "documents").mkdir(parents=True)
    ids = [hashlib.sha256(f"{name} {place} {text}".encode()).hexdigest()[:32] for place, text in enumerate(texts)]
    table = pa.table({"id": ids, "text": texts, "language": [name] * len(texts)})
    pq.write_table(table, folder / "documents" / "00000.parquet")
    size = sum(map(len, texts))
    (folder / "summary.json").write_text(json.dumps({"language": name, "utf8_bytes": size}), encoding="utf-8")
