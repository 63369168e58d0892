"""Commands on deduplication: audit, scurve."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from configs.errors import UserError
from configs.load import load_config
from curation.audit import Audit, audit_corpus
from curation.audit_report import write_audit
from curation.charts import number, share, size
from curation.config import CorpusConfig
from curation.job_folder import locked_output
from curation.measured import open_corpus
from curation.profile import language_table
from curation.terminal import shown
from dedup.minhash import MinHashConfig
from dedup.s_curve import half, missed_at_threshold, probability
from dedup.shares import Share

# Tables need room; where the output is no terminal, nobody wraps it.
_WIDTH = 140
_SIMILARITIES = [step / 20 for step in range(10, 21)]
# Characters of the drawn curves, and what each curve is drawn with.
_PLOT_WIDTH, _PLOT_HEIGHT, _MARKS = 61, 16, "fro"
# A band key takes 8 bytes, and 8 more for its document while keys are brought together.
_KEY_BYTES, _SHUFFLED_BYTES = 8, 16


def audit_command(
    lang: Annotated[str, typer.Option(help="Language code.")],
    out: Annotated[Path, typer.Option(help="Folder of corpora.")] = Path("corpora"),
    sample: Annotated[int, typer.Option(min=1, help="Documents drawn, of all and of the near duplicates.")] = 1000,
    profiles: Annotated[Path | None, typer.Option(help="Folder of language profiles.")] = Path("profiles"),
) -> None:
    """How many near duplicates of a finished job are true ones, and how many it missed: counted by brute force."""
    out = out.expanduser().absolute()
    corpus = open_corpus(out, lang)
    columns = (TextColumn("compare with all documents"), BarColumn(), MofNCompleteColumn(), TextColumn("parts"))
    error = Console(stderr=True)
    bars = Progress(*columns, TimeElapsedColumn(), console=error, disable=not error.is_terminal)
    with locked_output(out), bars:
        bar = bars.add_task("", total=None)
        audit = audit_corpus(
            out,
            language_table(profiles),
            lang,
            sample,
            lambda done, total: bars.update(bar, completed=done, total=total),
        )
        write_audit(corpus.folder, audit)
    console = _console()
    _print_audit(console, audit)
    folder = shown(corpus.folder)
    console.print(f"written to {folder}/audit.json and into {folder}/report.html", soft_wrap=True, highlight=False)


def scurve_command(
    config: Annotated[Path | None, typer.Option(help="YAML file of a corpus job: its bands are shown, too.")] = None,
) -> None:
    """Which pairs of documents MinHash compares, by their similarity, with the bands of the presets and your own."""
    minhash = (load_config(config, CorpusConfig) if config else CorpusConfig()).stages.minhash
    if config is not None and minhash is None:
        raise UserError(f"{config} leaves minhash out: there are no bands to show")
    curves = {f"{name}": MinHashConfig.model_validate({"preset": name}) for name in ("fineweb", "refinedweb")}
    if minhash is not None and all(_bands(minhash) != _bands(own) for own in curves.values()):
        curves["own"] = minhash
    console = _console()
    console.print(_curve_table(curves))
    console.print("probability of being compared, by similarity", highlight=False)
    console.print(_plot(curves))


def _bands(config: MinHashConfig) -> tuple[int, int, float]:
    return config.bands, config.rows, config.min_similarity


def _console() -> Console:
    console = Console(emoji=False)
    return console if console.is_terminal else Console(emoji=False, width=_WIDTH)


def _print_audit(console: Console, audit: Audit) -> None:
    config = audit.config
    title = (
        f"{audit.language}: {config.bands} bands of {config.rows} rows, {config.ngram}-grams, duplicates from a "
        f"similarity of {config.min_similarity:g}"
    )
    table = Table("", "share", "95%", "of", title=title)
    for name, own, words in (
        ("precision", audit.precision, "dropped documents, each with the one it was dropped for"),
        ("recall, documents", audit.document_recall, "documents with a similar one; all of their pairs were found"),
        ("recall, pairs", audit.pair_recall, "similar pairs; one of the documents was dropped"),
    ):
        table.add_row(name, share(own.part, own.whole), _interval(own), f"{own.whole:,} {words}")
    expected = audit.expected_recall
    table.add_row(
        "expected recall", "–" if expected is None else share(expected, 1), "", "the same pairs, by the S-curve"
    )
    console.print(table)
    bands = Table("similarity", "pairs", "found", "missed", "recall", "expected")
    for band in audit.bands:
        whole = band.found + band.missed
        shares = share(band.found, whole), share(band.expected, whole)
        bands.add_row(f"{band.low:g} to {band.high:g}", f"{whole:,}", f"{band.found:,}", f"{band.missed:,}", *shares)
    if audit.pair_recall.whole:
        console.print(bands)
    base = f" and {audit.base:,} of the corpus that stood already" if audit.base else ""
    console.print(
        f"{audit.sampled:,} documents compared with all {audit.population:,}{base}; MinHash had dropped "
        f"{audit.dropped:,}; similarities in the ledger differ by {number(audit.largest_difference)} at most",
        highlight=False,
        soft_wrap=True,
    )
    if audit.not_found:
        console.print(f"{audit.not_found:,} dropped documents not judged: what they were dropped for is gone")


def _interval(own: Share) -> str:
    return f"{share(own.low, 1)} - {share(own.high, 1)}" if own.whole else "–"


def _curve_table(curves: dict[str, MinHashConfig]) -> Table:
    """Return a column for each curve: probabilities by similarity, then what the bands cost."""
    table = Table("similarity")
    for name, own in curves.items():
        table.add_column(f"{name}: {own.bands} x {own.rows}", justify="right")
    configs = list(curves.values())
    for value in _SIMILARITIES:
        chances = [probability(value, own.bands, own.rows) for own in configs]
        table.add_row(f"{value:.2f}", *(share(chance, 1) for chance in chances))
    table.add_section()
    table.add_row("compared by one half at", *(f"{half(own.bands, own.rows):.3f}" for own in configs))
    table.add_row("duplicates from", *(f"{own.min_similarity:g}" for own in configs))
    table.add_row("pairs missed there", *(share(missed_at_threshold(own), 1) for own in configs))
    table.add_row("hashes a document", *(f"{own.permutations:,}" for own in configs))
    table.add_row("bytes kept a document", *(size(own.bands * _KEY_BYTES) for own in configs))
    table.add_row("bytes shuffled a document", *(size(own.bands * _SHUFFLED_BYTES) for own in configs))
    return table


def _plot(curves: dict[str, MinHashConfig]) -> Text:
    """Return the curves drawn with letters; where they cross, the last one is seen."""
    cells = [[" "] * _PLOT_WIDTH for _ in range(_PLOT_HEIGHT + 1)]
    for mark, own in zip(_MARKS, curves.values(), strict=False):
        before = _PLOT_HEIGHT
        for column in range(_PLOT_WIDTH):
            line = round(_PLOT_HEIGHT * (1 - probability(column / (_PLOT_WIDTH - 1), own.bands, own.rows)))
            for row in {line, *range(line + 1, before)}:  # a steep curve has no gaps
                cells[row][column] = mark
            before = line
    labels = [f"{1 - line / _PLOT_HEIGHT:.0%}" if line % 4 == 0 else "" for line in range(_PLOT_HEIGHT + 1)]
    lines = [f"{label:>5} |{''.join(row)}" for label, row in zip(labels, cells, strict=True)]
    ruler = "".join(f"{tick / 10:<6.1f}" for tick in range(11))
    legend = ", ".join(f"{mark} {name}" for mark, name in zip(_MARKS, curves, strict=False))
    return Text("\n".join([*lines, "      +" + "-" * _PLOT_WIDTH, f"       {ruler}", f"       {legend}"]))
