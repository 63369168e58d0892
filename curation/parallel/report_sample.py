"""What the report of a parallel job shows of its pairs, chosen by content: the same rows however the parts are cut.

Each part chooses by itself, and what the parts chose is chosen from again (`report_data.merge`). A row among the first
n of all is among the first n of its part, so the two steps find what one over all pairs would.

Shape legend: N = pairs of a part.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from numpy.typing import NDArray
from pydantic import Field

from configs.load import StrictModel
from curation.parallel.schema import SCORES
from filters.parallel.measures import PAIR_MEASURES
from filters.rules import Bounds, sides_of

SCORE_COLUMNS = tuple(f"score_{name}" for name in SCORES)
EXCERPT_CHARS = 400
# Where a unit stands in its input; together they are its key.
_KEY = ("source", "sequence")
Numbers = NDArray[np.float64]
Places = NDArray[np.intp]

# Rows for the distributions; `order` is the hash of the pair's id.
PAIR_SAMPLE = pa.schema(
    [
        pa.field("order", pa.uint64(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("sequence", pa.int64(), nullable=False),
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("stage", pa.string()),
        pa.field("rule", pa.string()),
        *(pa.field(name, pa.float64()) for name in (*SCORE_COLUMNS, *PAIR_MEASURES)),
    ]
)
# Pairs to be read; `order` is the hash of the two texts. Near a threshold `rule` names it, of kept pairs, too, and
# `distance` says how near; it is null for all other examples. Texts are cut; `src_chars` and `tgt_chars` count the
# whole ones. Units that never became a pair have none, and no id.
PAIR_EXAMPLES = pa.schema(
    [
        pa.field("order", pa.uint64(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("sequence", pa.int64(), nullable=False),
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("stage", pa.string()),
        pa.field("rule", pa.string(), nullable=False),
        pa.field("distance", pa.float64()),
        pa.field("value", pa.float64()),
        pa.field("threshold", pa.float64()),
        pa.field("id", pa.string()),
        pa.field("src_text", pa.string()),
        pa.field("tgt_text", pa.string()),
        pa.field("src_chars", pa.int64()),
        pa.field("tgt_chars", pa.int64()),
        pa.field("duplicate_of", pa.string()),
        pa.field("detail", pa.string()),
    ]
)


class PairReportConfig(StrictModel):
    """What the report of a parallel job shows.

    Attributes:
        sample_pairs: pairs whose measures and scores make the distributions.
        examples_per_side: kept, and dropped, pairs shown next to each threshold.
        examples_per_rule: examples of each other reason: units that cannot be read, texts of benchmarks.
        duplicate_pairs: duplicates shown for each method.
    """

    sample_pairs: int = Field(default=2000, ge=0)
    examples_per_side: int = Field(default=3, ge=0)
    examples_per_rule: int = Field(default=5, ge=0)
    duplicate_pairs: int = Field(default=5, ge=0)


def sample_pairs(
    pairs: pa.Table, measures: pa.Table, endings: pa.Table, bounds: Mapping[str, Bounds], config: PairReportConfig
) -> tuple[pa.Table, pa.Table]:
    """Return what the report may show of a part: rows for the distributions, and pairs to be read.

    Args:
        pairs: N rows with the columns of `WORK_PAIRS`.
        measures: N rows with the columns of `PAIR_MEASURES` and `SCORE_COLUMNS`, NaN where one was not taken.
        endings: N rows of `outcome`, `stage`, `rule`, `value`, `threshold` and `duplicate_of`; all but the first are
            null for what was kept.
        bounds: the rules by column of `measures`; what one of them drops has `<column>.min` or `<column>.max` as its
            `rule`.
        config: how many.

    Returns:
        rows of `PAIR_SAMPLE`, those of smallest `order`; and rows of `PAIR_EXAMPLES`, see `choose_examples`.

    Raises:
        ValueError: the tables are not aligned.
    """
    if not pairs.num_rows == measures.num_rows == endings.num_rows:
        raise ValueError(f"{pairs.num_rows:,} pairs, {measures.num_rows:,} measures and {endings.num_rows:,} endings")
    keyed = pairs.select(_KEY).append_column("order", _hashes(pairs["id"]))
    rows = _by_order(keyed)[: config.sample_pairs]
    tables = [table.take(rows) for table in (keyed, measures, endings)]
    sample = {name: table[name] for table in tables for name in table.column_names}
    examples = _examples(pairs, measures, endings, bounds, config)
    return (
        pa.table([sample[name] for name in PAIR_SAMPLE.names], schema=PAIR_SAMPLE),
        choose_examples(pa.Table.from_pylist(examples, schema=PAIR_EXAMPLES), config),
    )


def sample_ledger(ledger: pa.Table, config: PairReportConfig) -> pa.Table:
    """Return examples, as rows of `PAIR_EXAMPLES` without texts, of units whose way ended before they were a pair.

    Args:
        ledger: rows of `LEDGER`; those of kept units are passed over.
        config: how many of each reason.
    """
    ended = ledger.filter(pc.not_equal(ledger["outcome"], "kept"))
    columns = {name: ended[name] for name in ("outcome", "stage", "rule", "value", "threshold", "sequence", "detail")}
    columns["source"] = ended["warc_file"]
    columns["order"] = _hashes(ended["warc_file"], pc.cast(ended["sequence"], pa.string()))
    nothing = pa.nulls(ended.num_rows)
    arrays = [columns.get(field.name, nothing).cast(field.type) for field in PAIR_EXAMPLES]
    return choose_examples(pa.table(arrays, schema=PAIR_EXAMPLES), config)


def smallest(sample: pa.Table, limit: int) -> pa.Table:
    """Return the rows of smallest `order`, ties by the key, in that order."""
    return sample.take(_by_order(sample)[:limit])


def choose_examples(examples: pa.Table, config: PairReportConfig) -> pa.Table:
    """Return some rows of each group, sorted by group.

    A group near a threshold is what was kept, or dropped, by one rule: the rows closest to the threshold, ties by the
    hash of the texts. Any other group is one reason: the rows of smallest hash. Of rows with equal texts one is shown.
    """
    table = examples.take(_by_order(examples))
    distances, orders = _floats(table["distance"]), table["order"].to_numpy()
    chosen = [np.zeros(0, dtype=np.intp)]
    for near in (True, False):
        places = np.flatnonzero(np.isnan(distances) != near)
        for (outcome, _, _), own in _by_reason(table, places):
            limit = config.examples_per_side if near else _limit(outcome, config)
            chosen.append(own[_closest(np.nan_to_num(distances[own]), orders[own], limit)])
    return table.take(np.concatenate(chosen))


def _closest(distances: Numbers, orders: NDArray[np.uint64], limit: int) -> Places:
    """Return the places of the smallest distances, ties by place, of each order the first: at most `limit`.

    Args:
        distances: shape (N,), none of them NaN.
        orders: hashes of the contents, rising, shape (N,).
        limit: how many.
    """
    near, reach = np.arange(len(distances)), limit
    # Sorting all would take most of the time; the nearest few are enough, unless they are copies of one another.
    while 0 < reach < len(distances):
        nearest = np.flatnonzero(distances <= np.partition(distances, reach - 1)[reach - 1])
        if np.count_nonzero(np.diff(orders[nearest])) + 1 >= limit:
            near = nearest
            break
        reach *= 8
    chosen: dict[int, int] = {}
    for place in near[np.argsort(distances[near], kind="stable")].tolist():
        if len(chosen) == limit:
            break
        chosen.setdefault(int(orders[place]), place)
    return np.array(list(chosen.values()), dtype=np.intp)


def _examples(
    pairs: pa.Table, measures: pa.Table, endings: pa.Table, bounds: Mapping[str, Bounds], config: PairReportConfig
) -> list[dict[str, object]]:
    """Return rows of `PAIR_EXAMPLES`: all that `choose_examples` would choose of a part, and perhaps more."""
    keyed = pairs.select(_KEY).append_column("order", _hashes(pairs["src_text"], pairs["tgt_text"]))
    rows = _by_order(keyed)
    orders, endings = keyed["order"].to_numpy()[rows], endings.take(rows)
    chosen = [
        *_near(measures.select(list(bounds)).take(rows), endings, orders, bounds, config.examples_per_side),
        *_others(endings, orders, bounds, config),
    ]
    places = np.array([place for place, _ in chosen], dtype=np.intp)
    shown = pairs.select([*_KEY, "id", "src_text", "tgt_text"]).take(rows[places])
    for side in ("src", "tgt"):
        texts = shown[f"{side}_text"]
        shown = shown.append_column(f"{side}_chars", pc.utf8_length(texts))
        index = shown.column_names.index(f"{side}_text")
        shown = shown.set_column(index, f"{side}_text", pc.utf8_slice_codeunits(texts, 0, EXCERPT_CHARS))
    shown = shown.append_column("order", pa.array(orders[places]))
    ends = endings.take(places).to_pylist()
    return [{**pair, **end, **own} for pair, end, (_, own) in zip(shown.to_pylist(), ends, chosen, strict=True)]


# A row's place, and what is said of it beside its texts and how it ended.
_Chosen = tuple[int, dict[str, object]]


def _near(
    measures: pa.Table, endings: pa.Table, orders: NDArray[np.uint64], bounds: Mapping[str, Bounds], limit: int
) -> Iterator[_Chosen]:
    """Yield the rows closest to each threshold; all rows are sorted by `orders`."""
    kept, dropped = (_equal(endings["outcome"], outcome) for outcome in ("kept", "dropped"))
    for column, own in bounds.items():
        values = _floats(measures[column])
        for side, threshold in sides_of(own):
            rule = f"{column}.{side}"
            distances = np.abs(values - threshold)
            for among in (kept, dropped & _equal(endings["rule"], rule)):
                places = np.flatnonzero(among & ~np.isnan(distances))
                for place in places[_closest(distances[places], orders[places], limit)]:
                    yield int(place), {"rule": rule, "distance": float(distances[place]),
                                       "value": float(values[place]), "threshold": threshold}  # fmt: skip


def _others(
    endings: pa.Table, orders: NDArray[np.uint64], bounds: Mapping[str, Bounds], config: PairReportConfig
) -> Iterator[_Chosen]:
    """Yield the first rows of each reason that is no threshold; all rows are sorted by `orders`."""
    outcomes, names = (
        endings["outcome"],
        [f"{name}.{side}" for name, own in bounds.items() for side, _ in sides_of(own)],
    )
    by_threshold = _flags(pc.is_in(endings["rule"], pa.array(names, pa.string()))) & _equal(outcomes, "dropped")
    places = np.flatnonzero(~by_threshold & ~_equal(outcomes, "kept"))
    for (outcome, _, rule), own in _by_reason(endings, places):
        for place in own[_closest(np.zeros(len(own)), orders[own], _limit(outcome, config))]:
            yield int(place), {"rule": rule}


def _limit(outcome: str, config: PairReportConfig) -> int:
    return config.duplicate_pairs if outcome == "duplicate" else config.examples_per_rule


def _by_reason(table: pa.Table, places: Places) -> list[tuple[tuple[str, str, str], Places]]:
    """Return the groups of some rows that share outcome, stage and rule, sorted by these, null as empty."""
    columns = [table[name].take(places).to_pylist() for name in ("outcome", "stage", "rule")]
    groups: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for place, outcome, stage, rule in zip(places.tolist(), *columns, strict=True):
        groups[outcome, stage or "", rule or ""].append(place)
    return [(reason, np.array(own, dtype=np.intp)) for reason, own in sorted(groups.items())]


def _hashes(texts: pa.ChunkedArray, others: pa.ChunkedArray | None = None) -> pa.Array:
    """Return a 64-bit hash of each text, or of each two of them."""
    hashes = [xxhash.xxh3_64_intdigest(text) for text in texts.to_pylist()]
    if others is not None:
        both = zip(others.to_pylist(), hashes, strict=True)
        hashes = [xxhash.xxh3_64_intdigest(text, seed) for text, seed in both]
    return pa.array(hashes, pa.uint64())


def _by_order(table: pa.Table) -> Places:
    """Return the rows' places sorted by `order`, ties by the key."""
    order = pc.sort_indices(table, sort_keys=[(name, "ascending") for name in ("order", *_KEY)])
    places: Places = order.to_numpy().astype(np.intp)
    return places


def _floats(column: pa.ChunkedArray) -> Numbers:
    """Return numbers as an array, null as NaN."""
    numbers: Numbers = column.cast(pa.float64()).to_numpy()
    return numbers


def _equal(column: pa.ChunkedArray, value: str) -> NDArray[np.bool_]:
    return _flags(pc.equal(column, value))


def _flags(column: pa.ChunkedArray) -> NDArray[np.bool_]:
    flags: NDArray[np.bool_] = pc.fill_null(column, False).to_numpy()
    return flags
