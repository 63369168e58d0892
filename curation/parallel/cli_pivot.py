"""The command that joins two parallel corpora: pivot."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from configs.languages import load_languages
from configs.load import load_config
from curation.job_folder import locked_output, remove_stale_work
from curation.parallel.codes import parse_pair
from curation.parallel.pivot import PivotConfig, PivotJob, candidates_folder, pivot_work_folder, publish_candidates
from curation.parallel.pivot_corpora import open_pivot
from curation.runner import Runner
from curation.stage import Task
from curation.store import Manifest
from curation.terminal import StageProgress, shown

_PHASE_WORDS = {
    "pivot_keys": "hash shared texts",
    "pivot_match": "find shared texts",
    "pivot_texts": "gather texts",
    "pivot_join": "write candidates",
}


def pivot_command(
    pair: Annotated[str, typer.Option(help="Pair of the candidates, as de-fr.")],
    from_: Annotated[
        str, typer.Option("--from", help="Folders of two finished parallel corpora that share a language, by comma.")
    ],
    out: Annotated[Path, typer.Option(help="Output folder.")] = Path("corpora"),
    config: Annotated[Path | None, typer.Option(help="YAML file; names only what differs from the defaults.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Tasks at a time. Default: all processors.")] = None,
) -> None:
    """Candidates of a pair of languages, from two parallel corpora with the same texts in a third one."""
    console = Console(stderr=True)
    settings = load_config(config, PivotConfig) if config else PivotConfig()
    src, tgt = parse_pair(pair)
    out = out.expanduser().absolute()
    pivot = open_pivot(from_, src, tgt)
    with locked_output(out):
        work = pivot_work_folder(out, pivot)
        with Runner(workers, settings.retries) as runner, StageProgress(console, work) as progress:

            def run(phase: str, tasks: list[Task]) -> list[Manifest]:
                return runner.run(
                    phase, tasks, lambda stage, *counts: progress.update(_PHASE_WORDS.get(stage, stage), *counts)
                )

            found = PivotJob(pivot, work, settings, run).find()
        summary = publish_candidates(found, out, settings)
        remove_stale_work(work, found.tasks if settings.keep_work else [])
    _print_summary(Console(emoji=False), summary, candidates_folder(out, pivot))


def _print_summary(console: Console, summary: Mapping[str, object], folder: Path) -> None:
    """Print the table at the end: what of each corpus met the other, and where the candidates are."""
    sides = summary["from"]
    assert isinstance(sides, list)
    config = summary["config"]
    assert isinstance(config, dict)
    language = load_languages().get(str(summary["pivot_lang"])).name
    table = Table("", *(str(own["pair"]) for own in sides), title=f"{summary['pair']}: pairs with the same {language}")
    for column in table.columns[1:]:
        column.justify = "right"
    for words, name in (
        ("pairs", "pairs"),
        (f"{language} texts", "texts"),
        ("pairs whose text is in the other corpus", "matched"),
        ("the same pair again", "repeated"),
        (f"more than {config['max_partners']} for one text", "over_max"),
    ):
        table.add_row(words, *(f"{own[name]:,}" for own in sides))
    console.print(table)
    where = shown(folder)
    console.print(
        f"{summary['shared']:,} shared {language} texts give {summary['candidates']:,} candidates, "
        f"{summary['left_out']:,} more were left out; the score of each is the lower one of its two pairs "
        f"({summary['score']})",
        highlight=False,
        soft_wrap=True,
    )
    console.print(f"{where}/pairs/*.parquet, summary.json", soft_wrap=True, highlight=False)
    if summary["candidates"]:
        next_step = f"make parallel PAIR={summary['pair']} INPUT={where}/pairs"
        console.print(f"next: {next_step}", soft_wrap=True, highlight=False)
