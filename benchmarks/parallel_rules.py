"""Rules of sentence pairs against people: AUC of the score and of each measure, what each rule drops, pairs a second.

The pairs are ParaCrawl's human validation sets (releases 3, 6 in its second judgement, and 7): valid is V (valid) or
MT (machine translated), bad is A (misaligned) or L (wrong language). Releases 6 and 6-2 are the same pairs judged
twice, so the first is not read; a pair that stands in two releases counts in the first of them. Rows are halved by
the hash of their texts: weights and bounds are set on the one half (`--fit` fits the weights anew), and the tables are
those of the other. The AUC is that of one release of one language pair, as bicleaner's score is of another version in
each; the means over releases are averaged over language pairs. bicleaner had passed all pairs at 0.5 or more, which
takes from its score what it was best at.

`--laser FILE` adds the column of another score: lines of `hash <tab> score`, the hash as `row_hash` gives it.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import xxhash
from numpy.typing import NDArray

from benchmarks.machine import data_folder, describe, lid_model, one_core
from configs.languages import load_languages
from curation.models import identifier_of
from curation.stopwords import bundled_stop_words
from filters.decisions import decide_columns
from filters.langid import LangIdConfig
from filters.parallel.measures import PAIR_MEASURES, PairMeasurer, PairSide
from filters.parallel.rules import PairRulesConfig
from filters.parallel.score import PENALTIES, pair_scores

Column = NDArray[np.float64]
# Release -> columns of bicleaner's score and of the label.
_RELEASES = {"v3-validation-data": (6, 7), "v6-2-validation": (4, 5), "v7-validation": (4, 5)}
_VALID, _BAD = ("V", "MT"), ("A", "L")
_QUESTIONS = {
    "V+MT | A+L": (_VALID, _BAD),
    "V | A": (("V",), ("A",)),
    "V | L": (("V",), ("L",)),
    "V | A+L": (("V",), _BAD),
    "V+MT | all others": (_VALID, ("A", "L", "E", "T", "F")),
}
_LEAST_ROWS = 5
_LID_LABELS = 10
_NEWS = (
    "arb:ar ben:bn deu:de ell:el fin:fi heb:he hin:hi ind:id jpn:ja kat:ka kor:ko rus:ru tha:th tur:tr vie:vi zho-CN:zh"
)


@dataclass(frozen=True, slots=True)
class Judged:
    """The judged pairs of one release and language pair; columns of shape (rows,)."""

    pair: str
    labels: NDArray[np.str_]
    check: NDArray[np.bool_]
    scores: dict[str, Column]
    measures: dict[str, Column]
    sides: tuple[PairSide, PairSide]

    def rows(self, labels: tuple[str, ...], check: bool) -> NDArray[np.bool_]:
        """Return which rows have one of some labels and lie in a half."""
        rows: NDArray[np.bool_] = np.isin(self.labels, labels) & (self.check == check)
        return rows


def row_hash(source: str, target: str) -> int:
    """Return the hash of a pair's texts; its lowest bit says in which half it is."""
    return xxhash.xxh64_intdigest(f"{source}\t{target}")


def auc(good: Column, bad: Column) -> float:
    """Return the probability that a good row has the higher value; equal ones count half; NaN for too few."""
    good, bad = np.sort(good[~np.isnan(good)]), bad[~np.isnan(bad)]
    if min(len(good), len(bad)) < _LEAST_ROWS:
        return math.nan
    above = len(good) - np.searchsorted(good, bad, side="right")
    equal = np.searchsorted(good, bad, side="right") - np.searchsorted(good, bad, side="left")
    return float((above + 0.5 * equal).mean() / len(good))


def pair_side(code: str) -> PairSide:
    """Return what is known of a language; outside the table it is taken to be in Latin script."""
    code = {"nb": "no"}.get(code, code)
    known = {language.code: language for language in load_languages().languages}.get(code)
    stop_words = bundled_stop_words(code)
    if known is None:
        return PairSide(code, "spaces", ("Latn",), stop_words)
    return PairSide(code, known.segmentation, known.scripts, stop_words)


def read_judged(laser: dict[int, float]) -> Iterator[Judged]:
    """Yield the judged pairs with all that is measured."""
    identifier = identifier_of(LangIdConfig())
    seen = set[int]()
    for release, (score_column, label_column) in _RELEASES.items():
        for path in sorted((data_folder() / "paracrawl_human" / f"paracrawl-{release}").glob("sorted.*")):
            pair = path.suffix[1:]
            rows = []
            for line in path.read_text(encoding="utf-8").split("\n"):
                fields = line.rstrip("\r").split("\t")
                if len(fields) > label_column and (key := row_hash(*fields[2:4]) ^ hash_of(pair)) not in seen:
                    seen.add(key)
                    rows.append(fields)
            source, target = (pair_side(code) for code in pair.split("-"))
            measurer = PairMeasurer(source, target, lambda text: identifier.scores(text, _LID_LABELS))
            measures = measurer.measure([row[2] for row in rows], [row[3] for row in rows])
            hashes = [row_hash(row[2], row[3]) for row in rows]
            scores = {
                "score": pair_scores(measures),
                "bicleaner": np.array([float(row[score_column]) for row in rows]),
                "laser": np.array([laser.get(key, math.nan) for key in hashes]),
            }
            labels, check = np.array([row[label_column] for row in rows]), np.array([bool(key & 1) for key in hashes])
            yield Judged(pair, labels, check, scores, measures, (source, target))


def hash_of(text: str) -> int:
    """Return a hash of a text."""
    return xxhash.xxh64_intdigest(text)


def by_pair(
    judged: list[Judged], value: Callable[[Judged], Column], question: str, check: bool = True
) -> dict[str, float]:
    """Return the AUC of each language pair: the mean over its releases."""
    found = defaultdict(list)
    for own in judged:
        column, (good, bad) = value(own), _QUESTIONS[question]
        found[own.pair].append(auc(column[own.rows(good, check)], column[own.rows(bad, check)]))
    return {pair: float(np.nanmean(own)) for pair, own in found.items() if not np.isnan(own).all()}


def _score(name: str, own: Judged) -> Column:
    return own.scores[name]


def _measure(name: str, sign: float, own: Judged) -> Column:
    return sign * own.measures[name]


def print_scores(judged: list[Judged]) -> None:
    """Print the AUC of the scores by question, and by language pair for the first question."""
    names = [
        name for name in ("score", "bicleaner", "laser") if not all(np.isnan(o.scores[name]).all() for o in judged)
    ]
    print(f"\nAUC, mean over language pairs | {' | '.join(names)} | score - bicleaner | pairs won")
    for question in _QUESTIONS:
        tables = {name: by_pair(judged, partial(_score, name), question) for name in names}
        ours, theirs = tables["score"], tables["bicleaner"]
        cells = " | ".join(f"{np.mean(list(table.values())):.3f}" for table in tables.values())
        won = sum(ours[pair] > theirs[pair] for pair in ours)
        print(f"{question} | {cells} | {np.mean([ours[p] - theirs[p] for p in ours]):+.3f} | {won} of {len(ours)}")
    tune = by_pair(judged, partial(_score, "score"), "V+MT | A+L", check=False)
    print(f"the score on the half that it was set on, V+MT | A+L: {np.mean(list(tune.values())):.3f}")
    print(f"\nV+MT | A+L by language pair | {' | '.join(names)} | rows")
    tables = {name: by_pair(judged, partial(_score, name), "V+MT | A+L") for name in names}
    for pair in sorted(tables["score"]):
        rows = sum(int(own.rows((*_VALID, *_BAD), True).sum()) for own in judged if own.pair == pair)
        print(f"{pair} | {' | '.join(f'{table.get(pair, math.nan):.3f}' for table in tables.values())} | {rows}")


def print_measures(judged: list[Judged]) -> None:
    """Print the AUC of each measure alone, in its direction, and the share of bad rows among the worst tenth."""
    print("\nmeasure | AUC V+MT | A+L | V | A | V | L | lift of bad rows in the worst tenth")
    rows = []
    for name, about in PAIR_MEASURES.items():
        sign = -1.0 if about.bad == "high" else 1.0
        questions = ("V+MT | A+L", "V | A", "V | L")
        found = [list(by_pair(judged, partial(_measure, name, sign), q).values()) for q in questions]
        if not found[0]:
            continue
        good, bad = (
            np.concatenate([sign * own.measures[name][own.rows(labels, True)] for own in judged])
            for labels in (_VALID, _BAD)
        )
        together = np.concatenate([good, bad])
        worst = np.nan_to_num(together, nan=np.inf) <= np.nanquantile(together, 0.1)
        lift = worst[len(good) :].sum() / worst.sum() / (len(bad) / len(together)) if worst.any() else math.nan
        rows.append((-np.mean(found[0]), name, [*(f"{np.mean(own):.3f}" for own in found), f"{lift:.2f}"]))
    for _, name, cells in sorted(rows):
        print(f"{name} | {' | '.join(cells)}")


def print_rules(judged: list[Judged]) -> None:
    """Print what each rule drops by itself, what all drop, and what they do to the AUC of what is left."""
    dropped: dict[str, NDArray[np.int64]] = defaultdict(lambda: np.zeros(2, dtype=np.int64))
    total = np.zeros(2, dtype=np.int64)
    config = PairRulesConfig()
    for own in judged:
        kinds = [own.rows(labels, True) for labels in (_VALID, _BAD)]
        total += [int(kind.sum()) for kind in kinds]
        rules = config.for_pair(*own.sides)
        together = np.zeros(len(own.labels), dtype=np.bool_)
        for name, bounds in rules.items():
            broken, names = decide_columns(own.measures, {name: bounds}, len(own.labels))
            for number, rule in enumerate(names):
                dropped[rule] += [int((broken[kind] == number).sum()) for kind in kinds]
            together |= broken >= 0
        dropped["all rules"] += [int(together[kind].sum()) for kind in kinds]
    print(f"\nrule | valid dropped of {total[0]:,} | bad dropped of {total[1]:,} | lift (1: as many of both)")
    for rule, (valid, bad) in sorted(dropped.items(), key=lambda item: -int(item[1][1])):
        lift = (bad / total[1]) / (valid / total[0]) if valid else math.inf if bad else math.nan
        hurts = " hurts" if lift < 1 else ""
        print(f"{rule} | {valid} ({valid / total[0]:.2%}) | {bad} ({bad / total[1]:.2%}) | {lift:.1f}{hurts}")


def print_news() -> None:
    """Print what the rules do to good translations in many scripts, how the score tells them from shuffled ones, and
    pairs a second on one core, without language identification.
    """
    folder = data_folder() / "ntrex" / "NTREX-128"
    english = _lines(folder / "newstest2019-src.eng.txt")
    identifier = identifier_of(LangIdConfig())
    print(f"\nnews from English (NTREX), one core ({one_core()})")
    print("language | words | dropped | most of it | AUC true | shuffled | pairs/s")
    for entry in _NEWS.split():
        name, code = entry.split(":")
        pairs = [
            (s, t) for s, t in zip(english, _lines(folder / f"newstest2019-ref.{name}.txt"), strict=False) if s and t
        ]
        sources, targets = [s for s, _ in pairs], [t for _, t in pairs]
        sides = pair_side("en"), pair_side(code)
        measurer = PairMeasurer(*sides, lambda text: identifier.scores(text, _LID_LABELS))
        measures = measurer.measure(sources, targets)
        shuffled = measurer.measure(sources, targets[1:] + targets[:1])
        broken, names = decide_columns(measures, PairRulesConfig().for_pair(*sides), len(pairs))
        most = np.bincount(broken[broken >= 0], minlength=len(names))
        plain = PairMeasurer(*sides)
        start = time.process_time()
        plain.measure(sources * 5, targets * 5)
        speed = 5 * len(pairs) / (time.process_time() - start)
        worst = f"{names[int(most.argmax())]} {int(most.max())}" if most.any() else "-"
        told = auc(pair_scores(measures), pair_scores(shuffled))
        words = measures["src_words"].mean()
        print(f"{code} | {words:.1f} | {(broken >= 0).mean():.1%} | {worst} | {told:.3f} | {speed:,.0f}")


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").split("\n")


def fit_weights(judged: list[Judged], ridge: float = 3.0, steps: int = 3000) -> tuple[float, dict[str, float]]:
    """Return intercept and weights of the penalties, none below 0: logistic regression by projected gradients with
    momentum (Beck and Teboulle 2009), valid and bad rows of a language pair weighing the same.
    """
    rows, valid, weights = [], [], []
    for own in judged:
        kept, good = own.rows((*_VALID, *_BAD), False), np.isin(own.labels, _VALID)
        shares = [
            np.nan_to_num(np.clip((own.measures[name] - p.good) / (p.bad - p.good), 0, 1))
            for name, p in PENALTIES.items()
        ]
        rows.append(np.stack(shares, axis=1)[kept])
        valid.append(good[kept])
        sizes = good[kept].sum(), (~good[kept]).sum()
        weights.append(kept.sum() * np.where(good[kept], 0.5 / max(1, sizes[0]), 0.5 / max(1, sizes[1])))
    x, y, w = -np.concatenate(rows), np.concatenate(valid), np.concatenate(weights)
    x = np.concatenate([np.ones((len(x), 1)), x], axis=1)
    decay = np.full(x.shape[1], 2 * ridge)
    decay[0] = 0.0
    step = 1 / (np.linalg.norm((x * w[:, None]).T @ x, 2) / 4 + 2 * ridge)
    now = ahead = np.zeros(x.shape[1])
    momentum = 1.0
    for _ in range(steps):
        gradient = x.T @ (w * (1 / (1 + np.exp(-x @ ahead)) - y)) + decay * ahead
        new = ahead - step * gradient
        new[1:] = np.maximum(0.0, new[1:])
        next_momentum = (1 + math.sqrt(1 + 4 * momentum**2)) / 2
        ahead = new + (momentum - 1) / next_momentum * (new - now)
        now, momentum = new, next_momentum
    return float(now[0]), dict(zip(PENALTIES, now[1:].tolist(), strict=True))


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--laser", type=Path, help="scores by row hash, to stand beside ours")
    parser.add_argument("--fit", action="store_true", help="fit the weights of the score on the tune half")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {one_core()})
    print(describe("numpy", "icu4py", "fasttext-numpy2-wheel"), f"\nidentifier: {lid_model().name} and second look")
    laser: dict[int, float] = {}
    if arguments.laser is not None:
        for line in arguments.laser.read_text(encoding="utf-8").splitlines():
            key, _, score = line.partition("\t")
            laser[int(key)] = float(score)
    judged = list(read_judged(laser))
    print(f"{sum(len(own.labels) for own in judged):,} pairs, {len({own.pair for own in judged})} language pairs")
    if arguments.fit:
        intercept, weights = fit_weights(judged)
        print(f"intercept {intercept:.2f}", *(f"{name} {weight:.2f}" for name, weight in weights.items()), sep="\n")
        return
    print_scores(judged)
    print_measures(judged)
    print_rules(judged)
    print_news()


if __name__ == "__main__":
    main()
