"""The command that tells pairs as text: `python -m mixing tell --pair de-en`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from configs.load import load_config
from curation.job_folder import locked_output, remove_stale_work
from curation.parallel.codes import parse_pair
from curation.parallel.publish import pair_folder
from curation.runner import Runner
from curation.terminal import StageProgress, shown
from mixing.telling.render import RenderConfig
from mixing.telling.tell import TellJob, check_finished, check_languages

_RETRIES = 2


def tell_command(
    pair: Annotated[str, typer.Option(help="Source and target language, such as de-en.")],
    out: Annotated[Path, typer.Option(help="Folder of corpora: parallel/<pair> in it is read and written.")] = Path(
        "corpora"
    ),
    render: Annotated[Path | None, typer.Option(help="YAML file; names only what differs from the defaults.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Tasks at a time. Default: all processors.")] = None,
    check: Annotated[bool, typer.Option(help="Only see whether PAIR and RENDER can be used.")] = False,
) -> None:
    """Tell the pairs of a finished parallel job as text: documents for pretraining."""
    console = Console(stderr=True)
    src, tgt = parse_pair(pair)
    settings = load_config(render, RenderConfig) if render else RenderConfig()
    check_languages(settings, src, tgt)
    if check:
        return
    out = out.expanduser().absolute()
    folder, work = pair_folder(out, src, tgt), out / ".work" / f"tell-{src}-{tgt}"
    check_finished(folder, src, tgt)
    with locked_output(out):
        with Runner(workers, _RETRIES) as runner, StageProgress(console, work) as progress:
            job = TellJob(folder, src, tgt, work, settings, runner)
            summary = job.run(progress.update)
        remove_stale_work(work, job.tasks)
    plain = Console(emoji=False, highlight=False)
    plain.print(f"{summary['pairs']:,} pairs told in {summary['documents']:,} documents")
    for kind in ("style", "direction"):
        counts = summary[kind]
        assert isinstance(counts, dict)
        plain.print(f"  {kind}: {', '.join(f'{name} {count:,}' for name, count in counts.items())}")
    plain.print(f"{shown(folder)}/documents/*.parquet, documents.json", soft_wrap=True)
