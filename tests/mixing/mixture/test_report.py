"""What a user sees of a mixture: report, table on the terminal, difference of two."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import pytest
import typer
import yaml
from lxml import html  # type: ignore[import-untyped]
from typer.testing import CliRunner

from configs.load import validate_config
from mixing.mixture.cli import mixdiff_command, mixture_command
from mixing.mixture.manifest_diff import compare_manifests
from mixing.mixture.manifest_schema import Manifest
from mixing.mixture.mixture import MixtureConfig
from mixing.mixture.publish import write_mixture
from mixing.mixture.report_utilization import language_name, render_mixture
from mixing.mixture.utilization import utilization
from tests.mixing.mixture.token_folders import even_rows, write_source

Data = dict[str, object]
HOSTILE = "</title><script>alert(1)</script>\u202e"


def stage(name: str, tokens: int, low: float, **settings: object) -> Data:
    return {
        "name": name,
        "tokens": tokens,
        "learning_rate": {"schedule": "linear", "peak": 1e-5, "final": 1e-6, "warmup_tokens": 10},
        "categories": {
            "low": {"share": low, "sources": ["el*", "kk"], "spread": "uniform"},
            "high": {"share": round(1 - low, 6), "sources": ["tr"], **settings},
        },
    }


def mixture(*stages: Data, **settings: object) -> Data:
    return {"name": "m", "sequence_length": 16, "max_epochs": 4, "stages": list(stages), **settings}


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    for name, count, language in (("el", 3000, "el"), ("el-news", 1000, "el"), ("kk", 500, "kk"), ("tr", 90_000, "tr")):
        write_source(tmp_path / "tokens", name, [even_rows(40, count)], [language], validation=even_rows(2, 100))
    return tmp_path / "tokens"


def make(data: Data, tokens: Path) -> Manifest:
    return write_mixture(validate_config(data, MixtureConfig, "m"), tokens, tokens.parent / "mixtures")


def cells(page: str, section: str) -> list[list[str]]:
    """Return the rows of a section's tables as texts, what is drawn left out."""
    found = []
    for row in html.fromstring(page).xpath(f"//section[@id='{section}']//tbody/tr"):
        for drawn in row.xpath(".//svg"):
            drawn.getparent().remove(drawn)
        texts = [" ".join(cell.text_content().split()) for cell in row.xpath("./th|./td")]
        found.append([text for text in texts if text])
    return found


def test_utilization_is_counted_by_category_and_language(tokens: Path) -> None:
    table = utilization(make(mixture(stage("one", 1000, 0.4), stage("two", 500, 0.8)), tokens))
    low, high = table.categories
    assert (low.whole.available, low.whole.used, low.whole.by_stage) == (4500, 800, (400, 400))
    assert [(row.name, row.sources, row.used) for row in low.languages] == [
        ("el", ("el", "el-news"), 400),
        ("kk", ("kk",), 400),
    ]
    assert low.languages[1].epochs == low.languages[1].rate == 0.8
    assert low.languages[0].epochs == pytest.approx(0.1)
    assert (high.whole.used, table.whole.used, table.whole.available) == (700, 1500, 94_500)


def test_a_slice_lowers_what_is_read_again_not_what_is_there(tokens: Path) -> None:
    table = utilization(make(mixture(stage("one", 1000, 0.4, where={"document_id": ["0" * 32]})), tokens))
    row = table.categories[1].languages[0]
    assert (row.available, row.used) == (90_000, 600)
    assert row.epochs == 600 / 2250


def test_the_report_has_every_number_and_labels_every_bar(tokens: Path) -> None:
    manifest = make(mixture(stage("one", 1000, 0.4), stage("two", 500, 0.8)), tokens)
    page = (tokens.parent / "mixtures" / "m" / "report.html").read_text()
    assert page == render_mixture(manifest)
    assert cells(page, "utilization") == [
        ["low", "4,500", "800", "17.8%", "0.8", "400", "400"],
        ["el Greek", "4,000", "400", "10%", "0.1", "200", "200"],
        ["kk Kazakh", "500", "400", "80%", "0.8", "200", "200"],
        ["high", "90,000", "700", "0.78%", "0.00778", "600", "100"],
        ["tr Turkish", "90,000", "700", "0.78%", "0.00778", "600", "100"],
        ["all together", "94,500", "1,500", "1.6%", "0.8", "1k", "500"],
    ]
    stages = cells(page, "stages")
    assert stages[0] == ["low", "400", "40%", "40%", "3", "over languages: the same for each"]
    assert stages[1] == ["high", "600", "60%", "60%", "1", "over languages: in proportion to available tokens"]
    assert stages[2] == ["tr", "high", "600", "60%", "0.00667", "0", "4 in the run", "all documents"]
    assert cells(page, "validation") == [
        ["el Greek", "el, el-news", "4", "200"],
        ["kk Kazakh", "kk", "2", "100"],
        ["tr Turkish", "tr", "2", "100"],
    ]
    for image in html.fromstring(page).xpath("//svg[not(@aria-hidden)]"):
        assert image.get("aria-label")
    assert "TOKENS" in page
    assert "linear decay from 1e-05 to 1e-06" in page


def test_the_report_needs_nothing_else(tokens: Path) -> None:
    page = render_mixture(make(mixture(stage("one", 1000, 0.4)), tokens))
    assert not re.findall(r"<script|<link(?! rel=\"icon\" href=\"data:,\")|src=|@import|url\(|https?://", page)


def test_names_cannot_write_into_the_report(tokens: Path) -> None:
    data = mixture(stage(HOSTILE, 1000, 0.4))
    categories = data["stages"][0]["categories"]  # type: ignore[index]
    categories[HOSTILE] = categories.pop("high")
    page = render_mixture(make(data, tokens))
    assert "<script" not in page
    assert "\u202e" not in page
    assert "⟨U+202E⟩" in unescape(page)


def test_names_of_languages_and_pairs() -> None:
    assert language_name("el") == "Greek"
    assert language_name("de-en") == "German – English"
    assert language_name("el+tr") == "Greek – Turkish"
    assert language_name("xx") == ""


def test_equal_mixtures_have_no_difference(tokens: Path) -> None:
    first = make(mixture(stage("one", 1000, 0.4)), tokens)
    second = make(mixture(stage("one", 1000, 0.4), name="m"), tokens)
    assert compare_manifests(first, second) == []


def test_differences_are_found_where_they_are(tokens: Path) -> None:
    first = make(mixture(stage("one", 1000, 0.4), stage("two", 500, 0.4)), tokens)
    write_source(tokens, "kk", [even_rows(40, 500)[::-1]], validation=even_rows(2, 100))  # other tokens, same index
    second = make(mixture(stage("one", 1000, 0.5), stage("three", 500, 0.4), name="n", seed=3), tokens)
    found = {(own.place, own.what): (own.before, own.after) for own in compare_manifests(first, second)}
    assert found["mixture", "name"] == ("m", "n")
    assert found["mixture", "seed"] == ("0", "3")
    assert found["stage one, low", "share of tokens"] == ("40%", "50%")
    assert found["stage one, source tr", "tokens"] == ("600", "500")
    assert found["stage two", "tokens"] == ("500", "")
    assert found["stage three", "tokens"] == ("", "500")
    assert "stage one, source kk" in {place for place, what in found if what == "shards"}
    assert ("stage one, source el", "shards") not in found
    assert ("all together", "utilization") not in found
    assert found["high", "utilization"] == ("900 of 90,000 tokens, 1%", "800 of 90,000 tokens, 0.89%")
    assert not compare_manifests(second, second)


@pytest.fixture
def run() -> CliRunner:
    return CliRunner()


def app() -> typer.Typer:
    own = typer.Typer()
    own.command("mixture")(mixture_command)
    own.command("mixdiff")(mixdiff_command)
    return own


def test_the_commands_make_and_compare_mixtures(tokens: Path, run: CliRunner) -> None:
    files = []
    for name, low in (("a", 0.4), ("b", 0.5)):
        files.append(tokens.parent / f"{name}.yaml")
        files[-1].write_text(yaml.safe_dump(mixture(stage("one", 1000, low), name=name)))
        options = ["--mix", str(files[-1]), "--tokens", str(tokens), "--out", str(tokens.parent / "out"), "--check"]
        made = run.invoke(app(), ["mixture", *options])
        assert made.exit_code == 0, made.output
    assert "all together" in made.output
    assert "shares of a stage's TOKENS" in made.output
    assert f"{tokens.parent}/out/b/manifest.json, report.html" in made.output.replace("\n", "")
    compared = run.invoke(
        app(), ["mixdiff", "--a", str(tokens.parent / "out" / "a"), "--b", str(tokens.parent / "out" / "b")]
    )
    assert compared.exit_code == 0, compared.output
    assert re.search(r"stage one, low\s*│\s*share of tokens\s*│\s*40%\s*│\s*50%", compared.output)
    same = [
        "mixdiff",
        "--a",
        str(tokens.parent / "out" / "a"),
        "--b",
        str(tokens.parent / "out" / "a" / "manifest.json"),
    ]
    assert "train alike" in run.invoke(app(), same).output
