"""The commands as a user types them: what they print, and that hostile text cannot write on the terminal."""

from __future__ import annotations

import json
import re
import shutil
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
    turkish = ("--corpus", f"{tmp_path}/corpora/tr", "--out", tmp_path / "tokens", "--config", config)
    config.write_text("validation: null\nbpe: {vocabulary_size: 300}\n")
    printed = call(app, "tokens", *turkish)
    assert "no TOKENIZER" not in printed
    assert "near duplicates between sources are known in part only: tr have no band keys" in printed
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


def test_other_settings_train_another_tokenizer_or_are_refused(app: typer.Typer, tmp_path: Path) -> None:
    """The tokenizer that was trained by default is never kept for a configuration that asks for another one."""
    corpus, out = ("--corpus", write_corpus(tmp_path / "el", [TEXTS])), ("--out", tmp_path / "tokens")
    config, about = tmp_path / "tokens.yaml", tmp_path / "tokens" / "tokenizer" / "about.json"
    config.write_text("validation: null\nbpe: {vocabulary_size: 300}\n")
    call(app, "tokens", *corpus, *out, "--config", config)
    before = about.read_bytes()
    assert "is up to date" in call(app, "tokens", *corpus, *out, "--config", config)
    for changed, message in (
        ("bpe: {vocabulary_size: 305}", "vocabulary_size 300, not 305"),
        ("bpe: {vocabulary_size: 300, seed: 2}", "seed 1, not 2"),
        ('eod: "</s>"\nbpe: {vocabulary_size: 300}', "eod '<|endoftext|>', not '</s>'"),
    ):
        config.write_text(f"validation: null\n{changed}\n")
        with pytest.raises(UserError, match=re.escape(message)) as caught:
            call(app, "tokens", *corpus, *out, "--config", config)
        assert "el in" in str(caught.value)
        assert f"TOKENIZER={tmp_path}/tokens/tokenizer" in str(caught.value)
        assert about.read_bytes() == before
    config.write_text("validation: null\nbpe: {vocabulary_size: 305}\n")
    kept = ("--tokenizer", tmp_path / "tokens" / "tokenizer")
    call(app, "tokens", *corpus, *out, "--config", config, *kept)
    assert load_token_source(tmp_path / "tokens" / "el").tokenizer.name == "byte-level-bpe-300"
    assert about.read_bytes() == before
    shutil.rmtree(tmp_path / "tokens" / "el")  # nothing uses it any more
    printed = call(app, "tokens", *corpus, *out, "--config", config)
    assert "the tokenizer there was trained with other settings: training a byte-level BPE of 305 tokens" in printed
    assert load_token_source(tmp_path / "tokens" / "el").tokenizer.name == "byte-level-bpe-305"


def test_a_tokenizer_that_was_given_is_kept_whatever_the_settings(app: typer.Typer, tmp_path: Path) -> None:
    corpus, config = ("--corpus", write_corpus(tmp_path / "el", [TEXTS])), tmp_path / "tokens.yaml"
    config.write_text("validation: null\nbpe: {vocabulary_size: 290}\n")
    call(app, "tokenizer", *corpus, "--out", tmp_path / "made", "--config", config)
    out = ("--out", tmp_path / "tokens")
    call(app, "tokens", *corpus, *out, "--tokenizer", tmp_path / "made", "--config", config)
    config.write_text("validation: null\nbpe: {vocabulary_size: 301}\n")
    call(app, "tokens", *corpus, *out, "--config", config)
    assert load_token_source(tmp_path / "tokens" / "el").tokenizer.name == "byte-level-bpe-290"


def test_what_was_left_out_is_said(app: typer.Typer, tmp_path: Path) -> None:
    config = tmp_path / "tokens.yaml"
    config.write_text("validation: {share: 0.3}\nbpe: {vocabulary_size: 300}\n")
    for name, texts in (("el", TEXTS), ("again", [*TEXTS, "Κάτι άλλο, που δεν υπάρχει πουθενά."])):
        folder = write_corpus(tmp_path / name, [texts], minhash=False)
        printed = call(app, "tokens", "--corpus", folder, "--out", tmp_path / "tokens", "--config", config)
        config.write_text("validation: null\nbpe: {vocabulary_size: 300}\n")
    held_out = load_token_source(tmp_path / "tokens" / "el").validation.documents
    left_out = load_token_source(tmp_path / "tokens" / "again").left_out
    assert left_out == {"el": held_out} != {"el": 0}
    assert f"again: {held_out} documents were left out" in printed
    path = tmp_path / "tokens" / "el" / "tokens.json"
    content = json.loads(path.read_text())
    del content["other_files"]
    path.write_text(json.dumps(content))
    folder = write_corpus(tmp_path / "third", [["Το τρίτο κείμενο.", "Το τέταρτο κείμενο."]])
    printed = call(app, "tokens", "--corpus", folder, "--out", tmp_path / "tokens", "--config", config)
    assert "el: made by an earlier version" in printed


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
