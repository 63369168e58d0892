"""Command on the thresholds of a language pair: calibrate-pair."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from configs.load import load_config, validate_config
from curation.parallel.calibration import PairCalibrationConfig, calibrate_pair
from curation.parallel.codes import parse_pair
from curation.parallel.profile import PairThresholdsFile, pair_profile_folder
from curation.profile import THRESHOLDS, language_table
from curation.terminal import shown

# Tables need room; where the output is no terminal, nobody wraps it.
_WIDTH = 140


def calibrate_pair_command(
    pair: Annotated[str, typer.Option(help="Language pair, de-en.")],
    out: Annotated[Path, typer.Option(help="Folder of corpora.")] = Path("corpora"),
    profiles: Annotated[Path, typer.Option(help="Folder of profiles.")] = Path("profiles"),
    method: Annotated[
        Literal["percentile", "tail", "quantile", "sigma"] | None, typer.Option(help="How thresholds are fitted.")
    ] = None,
    reference: Annotated[
        Path | None, typer.Option(help="A finished parallel corpus of another pair, corpora/parallel/en-fr.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file with the settings of the calibration.")] = None,
) -> None:
    """Fit the thresholds of a language pair to what a finished job measured; write them into its profile."""
    src, tgt = parse_pair(pair, language_table(profiles))
    data = load_config(config, PairCalibrationConfig).model_dump(exclude_unset=True) if config else {}
    if method is not None:
        data["rules"] = {**data.get("rules", {}), "method": method}
    settings = validate_config(data, PairCalibrationConfig, str(config or "--method"))
    content = calibrate_pair(out, src, tgt, profiles, settings, reference)
    console = Console(emoji=False)
    print_pair_thresholds(console if console.is_terminal else Console(width=_WIDTH, emoji=False), content)
    path = pair_profile_folder(profiles, src, tgt) / THRESHOLDS
    console.print(
        f"written to {shown(path)}; the next `make parallel PAIR={src}-{tgt}` (or {tgt}-{src}) uses them",
        soft_wrap=True,
        highlight=False,
    )


def print_pair_thresholds(console: Console, content: PairThresholdsFile) -> None:
    """Show fitted and refused thresholds, and the lengths."""
    table = Table(
        "threshold", "value", "interval", "pairs", "removes", "", title=f"{content.pair}: {content.pairs:,} pairs"
    )
    for fitted in content.thresholds:
        low, high = fitted.interval
        table.add_row(
            f"{fitted.measure}.{fitted.side}",
            f"{fitted.value:g}",
            f"{low:g} - {high:g}",
            f"{fitted.documents:,}",
            f"{fitted.removed:.1%}",
            "",
        )
    for refused in content.refused:
        value = f"{refused.value:g}" if refused.value is not None else ""
        table.add_row(
            f"{refused.measure}.{refused.side}", value, "", "", "", f"[yellow]refused:[/] {shown(refused.reason)}"
        )
    console.print(table)
    console.print(f"together they remove {content.removed_together:.1%} of the sample")
    if content.lengths is None:
        console.print("lengths to expect: those of the two languages; none were fitted")
    else:
        low, high = content.lengths.interval
        ratio = f"{content.lengths.ratio:g} ({low:g} - {high:g}) characters of the target for each of the source"
        console.print(f"lengths to expect: {ratio}, variance {content.lengths.variance:g}")
