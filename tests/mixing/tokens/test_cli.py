"""The commands as a user types them: what they print, and that hostile text cannot write on the terminal."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from typer.testing import CliRunner

from configs.errors import UserError
from mixing.tokens import cli as cli_tokens
from mixing.tokens.token_source import load_token_source
from tests.mixing.tokens.finished_corpora import CountingRunner, write_corpus

TEXTS = [f"Ο φάρος αριθμός {n} ανάβει κάθε {n % 7} νύχτες." for n in range(40)]


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    monkeypatch.setattr(cli_tokens, "Runner", lambda workers, retries: CountingRunner())
    app = typer.Typer()
    for name in ("tokens", "tokenizer", "where"):
        app.command(name)(getattr(cli_tokens, f"{name}_command"))
    return app


def call(app: typer.Typer, *words: object) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    output: str = done.output
    return output


def test_from_corpora_to_a_token_and_back(app: typer.Typer, tmp_path: Path) -> None:
    write_corpus(tmp_path / "corpora" / "el", [TEXTS])
    write_corpus(tmp_path / "corpora" / "tr", [["Denizin kıyısındaki ev boş duruyor."] * 3], "tr", index=False)
    config = tmp_path / "tokens.yaml"
    config.write_text("validation: {documents: 3}\nbpe: {vocabulary_size: 300}\n")
    wanted = ("--corpus", f"{tmp_path}/corpora/el", "--out", tmp_path / "tokens", "--config", config)
    printed = call(app, "tokens", *wanted)
    assert "no TOKENIZER was given: training a byte-level BPE of 300 tokens on el" in printed
    source = load_token_source(tmp_path / "tokens" / "el")
    assert f"{source.totals.tokens:,}" in printed
    assert f"{source.fertility['el'].tokens_per_word:.3f}" in printed
    moved = sum(source.moved_to_training.values())
    assert (f"el: {moved:,} documents that were to be held out went to training" in printed) == (moved > 0)
    assert "is up to date: every byte was compared" in call(app, "tokens", *wanted)
    config.write_text("validation: {share: 0.9}\nbpe: {vocabulary_size: 300}\n")
    turkish = ("--corpus", f"{tmp_path}/corpora/tr", "--out", tmp_path / "tokens")
    assert "no TOKENIZER" not in call(app, "tokens", *turkish)
    assert (tmp_path / "tokens" / "tr" / "tokens.json").is_file()
    told = call(app, "where", "--token", "el/00000-00000:5", "--tokens", tmp_path / "tokens")
    assert "https://example.org/0/" in told
    assert "«" in told
    assert "0.warc.gz at" in told


def test_a_tokenizer_of_ones_own(app: typer.Typer, tmp_path: Path) -> None:
    write_corpus(tmp_path / "el", [TEXTS])
    config = tmp_path / "tokens.yaml"
    config.write_text('eod: "</s>"\nbpe: {vocabulary_size: 290}\n')
    printed = call(app, "tokenizer", "--corpus", tmp_path / "el", "--out", tmp_path / "made", "--config", config)
    assert printed.startswith("290 tokens, learnt from el:")
    call(app, "tokens", "--corpus", tmp_path / "el", "--out", tmp_path / "t", "--tokenizer", tmp_path / "made")
    source = load_token_source(tmp_path / "t" / "el")
    assert (source.tokenizer.name, source.tokenizer.eod_id) == ("byte-level-bpe-290", 0)
    assert json.loads((tmp_path / "t" / "tokenizer" / "about.json").read_text())["eod"] == "</s>"


def test_mistakes_are_the_users(app: typer.Typer, tmp_path: Path) -> None:
    write_corpus(tmp_path / "el", [TEXTS])
    config = tmp_path / "tokens.yaml"
    config.write_text("validaton: null\n")
    corpus, out = ("--corpus", tmp_path / "el"), ("--out", tmp_path / "tokens")
    for options, message in (
        ((*corpus, "--config", config), "unknown key 'validaton'.*did you mean 'validation'"),
        ((*corpus, "--tokenizer", tmp_path / "none"), "no tokenizer at"),
        (("--corpus", tmp_path), "is not a finished corpus"),
    ):
        with pytest.raises(UserError, match=message):
            call(app, "tokens", *out, *options)
    assert not list((tmp_path).glob("tokens/*/tokens.json"))


def test_hostile_text_does_not_reach_the_terminal(app: typer.Typer, tmp_path: Path) -> None:
    evil = "\x1b]0;owned\x07[red]x[/red]\x1b[2J\u202e"
    folder = write_corpus(tmp_path / "el", [[evil + TEXTS[0], *TEXTS[1:]]])
    path = folder / "documents" / "00000-00000.parquet"
    table = pq.read_table(path)
    urls = pa.array([f"https://x/{evil}"] * table.num_rows, pa.string())
    pq.write_table(table.set_column(table.schema.get_field_index("url"), "url", urls), path)
    config = tmp_path / "tokens.yaml"
    config.write_text("validation: null\n")
    call(app, "tokens", "--corpus", folder, "--out", tmp_path / "t", "--config", config)
    told = call(app, "where", "--token", "el/00000-00000:0", "--tokens", tmp_path / "t")
    assert not {"\x1b", "\x07", "\u202e"} & set(told)
    assert "[red]x[/red]" in told
