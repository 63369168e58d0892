"""What the terminal shows: a line of progress for each stage, and a table at the end.

Addresses, texts and names of records come from hostile web pages: `shown` stands between them and the terminal.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from curation.charts import duration
from curation.charts import size as filesize
from curation.crawl import HEARTBEAT
from curation.duplicates.plan import Plan
from curation.report import visible

_STAGE_WORDS = {
    "crawl": "read, extract, identify",
    "measure": "measure",
    "decide": "apply the rules",
    "identify": "hash documents",
    "exact_keys": "shuffle hashes",
    "exact": "find exact duplicates",
    "sign": "sign documents (MinHash)",
    "buckets": "find candidates",
    "shingle": "shingle candidates",
    "edges": "compare candidates",
    "links": "link clusters",
    "stars": "join clusters, a round",
    "label": "sort pairs by cluster",
    "survivors": "choose survivors",
    "url_keys": "shuffle addresses",
    "same_url": "find captures of one address",
    "embed": "embed short texts",
    "semantic": "compare embeddings",
    "sizes": "count clusters",
    "line_keys": "hash lines",
    "lines": "find repeated lines",
    "tokens": "find passages (tokens)",
    "substring": "find repeated passages",
    "read": "read pairs",
    "pair_keys": "hash pairs",
    "pair": "find equal pairs",
    "left": "see what is left",
    "encode": "embed pairs (LASER)",
    "score": "score pairs (LASER)",
    "judge": "apply LASER's thresholds",
    "source_keys": "hash sources",
    "source": "find equal sources",
    "target_keys": "hash targets",
    "target": "find equal targets",
    "shuffle": "shuffle pairs",
    "scan": "look at documents",
    "choose": "choose validation documents",
    "gather": "gather what is held out",
    "standing": "look at sources that stand",
    "near": "compare them with training",
    "settle": "settle who is held out",
    "divide": "divide documents",
    "tokenize": "tokenize",
    "tell": "tell pairs as text",
    "cut": "cut documents",
    "cut_again": "cut documents, second pass",
    "output": "write documents and ledger",
}

_LINE_EVERY_S = 60.0
# A column for each of so many languages still fits a terminal; more are rows.
_FEW_LANGUAGES = 5
_SHOWN_CHARS = 4000


def shown(value: object, limit: int = _SHOWN_CHARS) -> str:
    """Return hostile text as a console may print it: on one line, without escape sequences, and no markup of rich's.

    The console has to be made with `emoji=False`, or it would draw `:key:` in an address.
    """
    return escape(visible(" ".join(str(value).splitlines()), limit))


class StageProgress:
    """A bar for each stage; where the output is no terminal, a line a minute and one when a stage is done."""

    def __init__(self, console: Console, work: Path) -> None:
        """Prepare; `work` is the job's folder of intermediate results, where open shards say how far they are."""
        self._console, self._work = console, work
        columns = (TextColumn("{task.description:<34}"), BarColumn(), MofNCompleteColumn(), TextColumn("shards"))
        self._bars = Progress(*columns, TimeElapsedColumn(), TextColumn("{task.fields[note]}"), console=console)
        self._ids: dict[str, TaskID] = {}
        self._last_line_s = time.monotonic()

    def __enter__(self) -> StageProgress:
        """Start drawing."""
        if self._console.is_terminal:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop drawing."""
        if self._console.is_terminal:
            self._bars.stop()

    def update(self, stage: str, finished: int, total: int, resumed: int) -> None:
        """Show how far a stage is."""
        words = _STAGE_WORDS.get(stage, stage)
        notes = [f"{resumed} finished before"] if resumed else []
        if stage in ("crawl", "read") and finished < total and (records := self._open_records()):
            notes.append(f"{records:,} records in open shards")
        if not self._console.is_terminal:
            self._print_line(words, finished, total, notes)
            return
        if stage not in self._ids:
            self._ids[stage] = self._bars.add_task(words, total=total, note="")
        self._bars.update(self._ids[stage], completed=finished, note=", ".join(notes))

    def _print_line(self, words: str, finished: int, total: int, notes: list[str]) -> None:
        note = f" ({', '.join(notes)})" if notes else ""
        if finished == total:
            self._console.print(f"{words}: {total} shards done{note}")
        elif time.monotonic() - self._last_line_s >= _LINE_EVERY_S:
            self._last_line_s = time.monotonic()
            self._console.print(f"{words}: {finished} of {total} shards{note}")

    def _open_records(self) -> int:
        count = 0
        for file in self._work.glob(f"scratch/*/temporary/{HEARTBEAT}"):
            with suppress(OSError, ValueError):  # the shard has just been finished
                count += int(file.read_text())
        return count


def print_plan(console: Console, plan: Plan) -> None:
    """Print what deduplication will take."""
    load = plan.load
    base = f", {load.base_documents:,} of them in the corpus that stands" if load.base_documents else ""
    console.print(f"deduplication: {load.documents:,} documents{base}, {load.words:,} words", highlight=False)
    for step in plan.steps:
        partitions = f"{step.partitions:,} partition{'s' if step.partitions > 1 else ''}"
        console.print(
            f"  {step.stage}: {step.rows:,} rows in {partitions}, {filesize(step.task_bytes)} of "
            f"memory a task, up to {filesize(step.disk_bytes)} on disk",
            highlight=False,
            soft_wrap=True,
        )
    available = f" of {filesize(plan.memory_bytes)} available" if plan.memory_bytes is not None else ""
    needs = f"{filesize(plan.needed_bytes)}{available}, about {duration(max(1.0, plan.seconds))}"
    console.print(f"  {plan.workers} workers: {needs}", highlight=False, soft_wrap=True)


def print_summary(console: Console, summaries: Mapping[str, Mapping[str, object]], out: Path) -> None:
    """Print the table at the end: per language the funnel, and where the results are."""
    few = len(summaries) <= _FEW_LANGUAGES
    console.print("Records left after each stage" if few else "Documents left after each stage")
    console.print(_by_stage(summaries) if few else _by_language(summaries))
    where = str(out / next(iter(summaries))) if len(summaries) == 1 else f"{out}/<language>"
    console.print(f"{shown(where)}/report.html, summary.json, documents/*.parquet, ledger/*.parquet", soft_wrap=True)


def _by_stage(summaries: Mapping[str, Mapping[str, object]]) -> Table:
    table = Table()
    table.add_column("stage")
    for code in summaries:
        table.add_column(code, justify="right")
    for row in zip(*(_stages(summary) for summary in summaries.values()), strict=True):
        if table.row_count == 0:
            table.add_row("(read)", *(f"{cell['in']:,}" for cell in row))
        if any(cell["in"] != cell["out"] for cell in row) or _is_on(summaries, str(row[0]["stage"])):
            table.add_row(str(row[0]["stage"]), *(f"{cell['out']:,}" for cell in row))
    table.add_section()
    for name in ("words", "characters"):
        table.add_row(name, *(f"{summary[name]:,}" for summary in summaries.values()))
    return table


def _is_on(summaries: Mapping[str, Mapping[str, object]], stage: str) -> bool:
    """Return whether the job had a stage: one that was left out needs no row."""
    config = next(iter(summaries.values())).get("config")
    stages = config["stages"] if isinstance(config, dict) else {}
    return stages.get(stage, {}) is not None


def _by_language(summaries: Mapping[str, Mapping[str, object]]) -> Table:
    names = ("langid", "rules", "exact", "minhash", "substring")
    table = Table()
    table.add_column("language")
    for name in (*names, "words", "characters"):
        table.add_column(name, justify="right")
    for code, summary in summaries.items():
        left = {str(row["stage"]): f"{row['out']:,}" for row in _stages(summary)}
        table.add_row(code, *(left[name] for name in names), *(f"{summary[n]:,}" for n in ("words", "characters")))
    return table


def _stages(summary: Mapping[str, object]) -> list[dict[str, object]]:
    rows = summary["stages"]
    assert isinstance(rows, list)
    return rows
