"""`make audit LANG=el`: how many of the near duplicates of a finished job are true ones, and how many it missed.

Precision: of documents that `minhash` dropped, drawn by hash, the true similarity to the document that each was
dropped for. Recall: documents drawn by hash from all that took part in `minhash` are compared with every other one of
them; of the pairs that are similar, at least one document should have been dropped. The texts are read again from the
intermediate results; of what the job computed nothing is used but its verdicts.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from configs.errors import UserError
from configs.languages import LanguageTable
from configs.load import validate_config
from curation.audit_compare import Comparer, Comparison, Pair, Watch
from curation.audit_parts import AuditPart, find_parts
from curation.audit_sample import Drawn, Place, Sample, ShingleSets, distinct_shingles, draw, locate, texts_at
from curation.job_folder import work_folder
from curation.measured import Corpus, open_corpus
from dedup.minhash import MinHashConfig, jaccard
from dedup.shares import Share, share_of
from filters.words import Segmentation

# Pairs that the report shows: all of them, and at most so many of each kind but the last one.
PAIRS = 50
_MISSED, _WRONG, _NEAR = 20, 10, 15
_TEXT_CHARS = 20_000


@dataclass(frozen=True, slots=True)
class Band:
    """Similar pairs of a band of similarities: found, missed, and as many as the S-curve expects to be found."""

    low: float
    high: float
    found: int
    missed: int
    expected: float


@dataclass(frozen=True, slots=True)
class ShownPair:
    """Two documents side by side.

    Attributes:
        kind: `missed`: similar and both kept; `wrong`: dropped, but not similar; `near miss`: not quite similar, both
            kept; `duplicate`: dropped and similar.
        similarity: the true one.
        urls: of both documents, the one that was dropped first.
        texts: their beginnings.
        ids: of both documents.
    """

    kind: str
    similarity: float
    urls: tuple[str, str]
    texts: tuple[str, str]
    ids: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Audit:
    """The answer.

    Attributes:
        language: code of the corpus.
        config: MinHash settings of the job.
        config_hash: of the job's whole configuration.
        population: documents that took part in `minhash`.
        base: documents of a corpus that stood already; they were compared, too.
        dropped: documents of the population that `minhash` dropped.
        sampled: documents of the population that were compared with all others.
        precision: dropped documents that are similar to what they were dropped for.
        not_found: sampled dropped documents whose other document is no longer there: they are not judged.
        largest_difference: between a similarity in the ledger and the true one.
        pair_recall: similar pairs that were found.
        document_recall: sampled documents with a similar one, of which no similar pair was missed.
        expected_recall: of the pairs, by the S-curve; None without pairs.
        bands: the pairs by similarity.
        pairs: what the report shows.
    """

    language: str
    config: MinHashConfig
    config_hash: str
    population: int
    base: int
    dropped: int
    sampled: int
    precision: Share
    not_found: int
    largest_difference: float
    pair_recall: Share
    document_recall: Share
    expected_recall: float | None
    bands: tuple[Band, ...]
    pairs: tuple[ShownPair, ...]


@dataclass(frozen=True, slots=True)
class _Checked:
    """A document that was dropped, where the other one is, and their true similarity."""

    drawn: Drawn
    kept: Place
    similarity: float


def audit_corpus(out: Path, languages: LanguageTable, code: str, count: int, watch: Watch) -> Audit:
    """Return the audit of a finished corpus.

    Args:
        out: folder of corpora.
        languages: the language table.
        code: language of the corpus.
        count: documents that are drawn, of all and of the dropped ones.
        watch: told of every part that was compared.

    Raises:
        UserError: there is no finished corpus, `minhash` was left out, or the intermediate results are not there.
    """
    corpus = open_corpus(out, code)
    config = _minhash(corpus)
    codes = corpus.summary["languages"]
    assert isinstance(codes, list)
    passed = [languages.get(own) for own in codes]
    work = work_folder(out, passed)
    segmentations: dict[str, Segmentation] = {own.code: own.segmentation for own in passed}
    parts = find_parts(corpus, work)
    sample = draw(parts, count)
    with tempfile.TemporaryFile(dir=work) as file:
        sets = ShingleSets(file)
        checked = _check(parts, sample, segmentations, config, sets)
        comparer = Comparer(parts, sample.compared, segmentations, config, PAIRS)
        compared = comparer.compare(sets, watch)
    pairs = _shown(parts, config, checked, compared)
    return _result(code, config, str(corpus.summary["config_hash"]), sample, checked, compared, pairs)


def _minhash(corpus: Corpus) -> MinHashConfig:
    """Return the settings that the corpus was deduplicated with."""
    config = corpus.summary["config"]
    settings = config["stages"].get("minhash") if isinstance(config, dict) else None
    if settings is None:
        raise UserError(f"{corpus.folder} was made without minhash: there is nothing to audit")
    return validate_config(settings, MinHashConfig, str(corpus.folder / "summary.json"))


def _check(
    parts: Sequence[AuditPart],
    sample: Sample,
    segmentations: dict[str, Segmentation],
    config: MinHashConfig,
    sets: ShingleSets,
) -> list[_Checked]:
    """Store the shingles of everything that was drawn; return the dropped documents with their true similarities."""
    kept = locate(parts, {str(own.duplicate_of) for own in sample.checked})
    wanted = {own.place for own in (*sample.compared, *sample.checked)} | set(kept.values())
    for place, text in texts_at(parts, wanted):
        sets.add(place, distinct_shingles(text, segmentations, config.ngram))
    return [
        _Checked(own, other, jaccard(sets.get(own.place), sets.get(other)))
        for own in sample.checked
        if (other := kept.get(str(own.duplicate_of))) is not None
    ]


def _result(
    code: str,
    config: MinHashConfig,
    config_hash: str,
    sample: Sample,
    checked: list[_Checked],
    compared: Comparison,
    pairs: list[ShownPair],
) -> Audit:
    found, missed = int(compared.found.sum()), int(compared.missed.sum())
    bands = zip(
        compared.borders[:-1].tolist(), compared.borders[1:].tolist(), compared.found.tolist(),
        compared.missed.tolist(), compared.expected.tolist(), strict=True,
    )  # fmt: skip
    return Audit(
        language=code,
        config=config,
        config_hash=config_hash,
        population=sample.population,
        base=sample.base,
        dropped=sample.dropped,
        sampled=len(sample.compared),
        precision=share_of(sum(own.similarity >= config.min_similarity for own in checked), len(checked)),
        not_found=len(sample.checked) - len(checked),
        largest_difference=max((abs(own.similarity - own.drawn.similarity) for own in checked), default=0.0),
        pair_recall=share_of(found, found + missed),
        document_recall=share_of(compared.alone, compared.partnered),
        expected_recall=float(compared.expected.sum()) / (found + missed) if found + missed else None,
        bands=tuple(Band(*band) for band in bands),
        pairs=tuple(pairs),
    )


def _shown(
    parts: Sequence[AuditPart], config: MinHashConfig, checked: list[_Checked], compared: Comparison
) -> list[ShownPair]:
    """Return what went wrong first, then what was nearly a duplicate, then duplicates of all similarities."""
    wrong = [_pair(own) for own in checked if own.similarity < config.min_similarity]
    right = sorted(
        (_pair(own) for own in checked if own.similarity >= config.min_similarity),
        key=lambda pair: (pair.similarity, pair.sampled.id),
    )
    chosen = [("missed", pair) for pair in compared.missed_pairs[:_MISSED]]
    chosen += [("wrong", pair) for pair in wrong[:_WRONG]]
    chosen += [("near miss", pair) for pair in compared.near_pairs[:_NEAR]]
    rest = PAIRS - len(chosen)
    spread = np.unique(np.linspace(0, len(right) - 1, min(rest, len(right))).round().astype(np.int64))
    chosen += [("duplicate", right[number]) for number in spread.tolist()]
    places = {place for _, pair in chosen for place in (pair.sampled.place, pair.other)}
    texts = {place: (text.id, text.url, text.text[:_TEXT_CHARS]) for place, text in texts_at(parts, places)}
    shown = []
    for kind, pair in chosen:
        ids, urls, beginnings = zip(texts[pair.sampled.place], texts[pair.other], strict=True)
        shown.append(ShownPair(kind, pair.similarity, urls, beginnings, ids))
    return shown


def _pair(checked: _Checked) -> Pair:
    return Pair(checked.drawn, checked.kept, checked.similarity)
