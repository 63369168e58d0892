"""The command of the parallel job: `python -m curation parallel --pair de-en --input ...`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from configs.errors import UserError
from configs.languages import load_languages
from configs.load import load_config, validate_config
from curation.cli_checks import check_apart, check_codes
from curation.job_folder import locked_output, remove_stale_work
from curation.parallel.codes import parse_pair
from curation.parallel.config import OPTIONAL_PAIR_STAGES, PAIR_STAGES, ParallelConfig
from curation.parallel.inputs import find_parallel_inputs
from curation.parallel.job import ParallelJob
from curation.parallel.publish import pair_folder, publish_pairs
from curation.runner import Runner
from curation.terminal import StageProgress, shown


def parallel_command(
    pair: Annotated[str, typer.Option(help="Source and target language, such as de-en.")],
    input: Annotated[
        str, typer.Option(help="Moses zips or line pairs, TMX, XCES, TSV, JSONL, Parquet: files, folders, globs.")
    ],
    out: Annotated[Path, typer.Option(help="Output folder.")] = Path("corpora"),
    config: Annotated[Path | None, typer.Option(help="YAML file; names only what differs from the defaults.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Tasks at a time. Default: all processors.")] = None,
    profiles: Annotated[Path | None, typer.Option(help="Folder of profiles; those of the pair are used.")] = None,
    laser: Annotated[str, typer.Option(help="`off` leaves LASER's scores out: the rules alone decide.")] = "on",
    skip: Annotated[str, typer.Option(help=f"Stages to leave out, by comma: {', '.join(OPTIONAL_PAIR_STAGES)}.")] = "",
) -> None:
    """From parallel corpora to filtered pairs: a ledger of every pair, a summary and a report."""
    console = Console(stderr=True)
    src, tgt = parse_pair(pair)
    profiles = profiles.expanduser() if profiles is not None else None
    if profiles is not None and not profiles.is_dir():
        raise UserError(f"no folder of profiles at {profiles}; leave --profiles out, or make a profile first")
    settings = skip_pair_stages(load_config(config, ParallelConfig) if config else ParallelConfig(), skip, laser)
    check_codes(settings.stages.codes(), load_languages())
    inputs = find_parallel_inputs(input, src, tgt)
    out = out.expanduser().absolute()
    with locked_output(out):
        urls = [file.url for entry in inputs for file in entry.files]
        for own in (pair_folder(out, src, tgt), out / ".work"):
            check_apart(own, urls)
        work = out / ".work" / f"parallel-{src}-{tgt}"
        with Runner(workers, settings.retries) as runner, StageProgress(console, work) as progress:
            job = ParallelJob(src, tgt, inputs, work, settings, runner, profiles)
            result = job.run(progress.update, lambda line: console.print(shown(line), highlight=False))
        summary = publish_pairs(result, src, tgt, out, settings)
        remove_stale_work(work, result.tasks if settings.keep_work else [])
    _print_summary(Console(emoji=False), summary, pair_folder(out, src, tgt))


def skip_pair_stages(config: ParallelConfig, names: str, laser: str) -> ParallelConfig:
    """Return the configuration with some stages switched off.

    Raises:
        UserError: a stage that does not exist, or that cannot be left out; the message names the valid ones.
    """
    wanted = [piece.strip() for piece in names.split(",") if piece.strip()]
    if laser not in ("on", "off"):
        raise UserError(f"LASER={laser}: it is on or off")
    if laser == "off":
        wanted.append("laser")
    data = config.model_dump(exclude_unset=True)  # a bound that was not named must stay so
    for name in wanted:
        if name not in OPTIONAL_PAIR_STAGES:
            what = "cannot be left out" if name in PAIR_STAGES else "does not exist"
            raise UserError(f"the stage {name!r} {what}; those that can are: {', '.join(OPTIONAL_PAIR_STAGES)}")
        data.setdefault("stages", {})[name] = None
    if "rules" in wanted:
        data["stages"].pop("score", None)  # its bounds belong to the rules
    return validate_config(data, ParallelConfig, "--skip")


def _print_summary(console: Console, summary: Mapping[str, object], folder: Path) -> None:
    """Print what is left after each stage, and where the results are."""
    table = Table("stage", title=f"Pairs left after each stage, {summary['pair']}", title_justify="left")
    for name in ("left", "dropped", "duplicate", "failed", "skipped"):
        table.add_column(name, justify="right")
    table.add_row("(read)", f"{summary['records']:,}")
    stages, settings = summary["stages"], summary["config"]
    assert isinstance(stages, list)
    assert isinstance(settings, dict)
    for row in stages:
        off = settings["stages"].get(row["stage"], {}) is None
        lost = ["" if off else f"{row[name]:,}" for name in ("dropped", "duplicate", "failed", "skipped")]
        table.add_row(str(row["stage"]), "off" if off else f"{row['out']:,}", *lost)
    console.print(table)
    rate = summary["records_per_second"]
    if rate is not None:
        console.print(f"{rate:,} pairs a second", highlight=False)
    console.print(f"{shown(folder)}/report.html, summary.json, pairs/*.parquet, ledger/*.parquet", soft_wrap=True)
