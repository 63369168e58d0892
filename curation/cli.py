"""The command line of floor 3: `python -m curation corpus --lang el`; the Makefile is what users see."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from configs.errors import UserError
from configs.languages import LanguageTable, load_languages
from configs.load import load_config, validate_config
from curation.cli_checks import check_apart, check_codes
from curation.cli_dedup import audit_command, scurve_command
from curation.cli_errors import run_command_line
from curation.cli_quality import (
    calibrate_command,
    explain_command,
    kenlm_command,
    language_command,
    lmplz_command,
    stopwords_command,
    whatif_command,
)
from curation.config import OPTIONAL_STAGES, CorpusConfig
from curation.corpus import CorpusJob
from curation.inputs import find_inputs
from curation.job_folder import locked_output, remove_stale_work, work_folder
from curation.parallel.cli import parallel_command
from curation.parallel.cli_calibrate import calibrate_pair_command
from curation.parallel.cli_pivot import pivot_command
from curation.profile import language_table, load_profile
from curation.publish import publish
from curation.records import STAGES
from curation.runner import Runner
from curation.terminal import StageProgress, print_plan, print_summary

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def _root() -> None:
    """Turn crawls and text corpora into curated corpora."""


@app.command()
def corpus(
    lang: Annotated[str, typer.Option(help="Language code, several by comma, or `all`.")],
    input: Annotated[str, typer.Option(help="File, folder, glob or fsspec URL; several by comma.")],
    out: Annotated[Path, typer.Option(help="Output folder.")] = Path("corpora"),
    config: Annotated[Path | None, typer.Option(help="YAML file; names only what differs from the defaults.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Tasks at a time. Default: all processors.")] = None,
    profiles: Annotated[Path | None, typer.Option(help="Folder of language profiles; those of LANG are used.")] = None,
    against: Annotated[
        Path | None, typer.Option(help="Corpora of an earlier job: what they hold does not come again.")
    ] = None,
    skip: Annotated[str, typer.Option(help=f"Stages to leave out, by comma: {', '.join(OPTIONAL_STAGES)}.")] = "",
) -> None:
    """From a crawl to a curated corpus: documents, a ledger of every record, a summary and a report."""
    console = Console(stderr=True)
    if profiles is not None and not profiles.is_dir():
        raise UserError(f"no folder of language profiles at {profiles}; leave --profiles out, or make a profile first")
    table = language_table(profiles)
    languages = table.parse(lang)
    known = {language.code: load_profile(profiles, language.code) for language in languages}
    settings = skip_stages(load_config(config, CorpusConfig) if config else CorpusConfig(), skip)
    _check_codes(settings, table)
    inputs = find_inputs(input)
    out = out.expanduser().absolute()
    if against is not None:
        against = against.expanduser().resolve()
        if against == out.resolve():
            raise UserError(f"{against} is the output folder, too; a corpus cannot be replaced by what is new in it")
    with locked_output(out):
        check_apart(out, [entry.url for entry in inputs])
        work = work_folder(out, languages)
        with Runner(workers, settings.retries) as runner, StageProgress(console, work) as progress:
            job = CorpusJob(languages, inputs, out, settings, runner, known, against)
            result = job.run(progress.update, lambda plan: print_plan(console, plan))
        summaries = publish(result, languages, out, settings)
        remove_stale_work(work, result.tasks if settings.keep_work else [])
    print_summary(Console(emoji=False), summaries, out)


@app.command()
def languages(short: Annotated[bool, typer.Option(help="Codes and names in a few lines.")] = False) -> None:
    """List the languages that a job can be run for."""
    known = load_languages().languages
    if short:
        Console(stderr=True, highlight=False).print(
            "languages: " + ", ".join(f"{own.code} {own.name}" for own in known)
        )
        return
    table = Table("code", "ISO 639-3", "name", "own name", "script", "words", "resource", "Marco-LLM", "X-ALMA groups")
    for own in known:
        groups = ", ".join(map(str, own.x_alma_groups))
        marco = "yes" if own.marco else ""
        table.add_row(
            own.code, own.iso639_3, own.name, own.own_name, own.script, own.segmentation, own.resource, marco, groups
        )
    Console().print(table)


app.command("parallel")(parallel_command)
app.command("pivot")(pivot_command)
app.command("calibrate")(calibrate_command)
app.command("calibrate-pair")(calibrate_pair_command)
app.command("whatif")(whatif_command)
app.command("audit")(audit_command)
app.command("scurve")(scurve_command)
app.command("explain")(explain_command)
app.command("stopwords")(stopwords_command)
app.command("language")(language_command)
app.command("kenlm")(kenlm_command)
app.command("lmplz")(lmplz_command)


def skip_stages(config: CorpusConfig, names: str) -> CorpusConfig:
    """Return the configuration with some stages switched off.

    Args:
        config: the configuration.
        names: stages by comma.

    Raises:
        UserError: a stage that does not exist, or that cannot be left out; the message names the valid ones.
    """
    data = config.model_dump(exclude_unset=True)  # a bound that was not named must stay so
    for name in filter(None, (piece.strip() for piece in names.split(","))):
        if name not in OPTIONAL_STAGES:
            what = "cannot be left out" if name in STAGES else "does not exist"
            raise UserError(f"the stage {name!r} {what}; those that can are: {', '.join(OPTIONAL_STAGES)}")
        data.setdefault("stages", {})[name] = None
    return validate_config(data, CorpusConfig, "--skip")


def _check_codes(config: CorpusConfig, table: LanguageTable) -> None:
    """Refuse settings for a language that does not exist: they would never be used."""
    stages = config.stages
    settings: dict[str, Mapping[str, object]] = {
        "measure.stop_words": stages.measure.stop_words,
        "measure.flagged_words": stages.measure.flagged_words,
        "measure.kenlm": stages.measure.kenlm,
        "langid.min_score_by_language": stages.langid.min_score_by_language,
        "rules.by_language": stages.rules.by_language if stages.rules else {},
        "url.lists_by_language": stages.url.lists_by_language if stages.url else {},
    }
    check_codes(((place, code) for place, by_language in settings.items() for code in by_language), table)


def main() -> None:
    """Run a command; see `run_command_line` for the exit codes."""
    run_command_line(app)
