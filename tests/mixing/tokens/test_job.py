"""The tokens job: every document in one shard, its tokens those of the tokenizer, and nothing half-made or stale."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

from configs.errors import UserError
from curation.runner import Runner
from filters.metrics import MEASURES
from mixing.telling.packing import pack
from mixing.telling.pairs import TextPair
from mixing.telling.render import RenderConfig
from mixing.tokens.byte_level_bpe import BpeConfig, save_tokenizer, train_byte_level_bpe
from mixing.tokens.config import TokensConfig
from mixing.tokens.corpus_folder import open_corpus_folder
from mixing.tokens.folder import keep_tokenizer, kept_tokenizer, refuse_reserved_names
from mixing.tokens.job import TokensJob, choose_dtype
from mixing.tokens.token_source import TokenSource, load_token_source
from mixing.tokens.tokenizer_file import TokenizerFile, find_tokenizer
from mixing.tokens.validation import ValidationConfig
from tests.mixing.tokens.finished_corpora import CountingRunner, band_keys, write_corpus, write_pair_corpus

_PLACES = ["λιμάνι", "φάρος", "νησί", "πύργος", "δρόμος", "κήπος", "γεφύρι", "σχολείο"]
TEXTS = [
    " ".join(f"{_PLACES[(n * step) % 8]} {n * step % 97}" for step in range(1, 20 + n % 9)) + "." for n in range(60)
]
FILES = [TEXTS[:25], TEXTS[25:26], TEXTS[26:]]
CONFIG = TokensConfig(validation=ValidationConfig(share=0.2))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpora") / "el", FILES)


@pytest.fixture(scope="module")
def tokenizer(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> TokenizerFile:
    folder = tmp_path_factory.mktemp("tokenizer")
    made = train_byte_level_bpe([open_corpus_folder(corpus)], BpeConfig(vocabulary_size=400))
    save_tokenizer(folder, made, "made", "<|endoftext|>", {})
    return find_tokenizer(folder, None)


def run(
    corpus: Path, tokenizer: TokenizerFile, out: Path, config: TokensConfig = CONFIG, runner: Runner | None = None
) -> TokenSource:
    kept = keep_tokenizer(out, tokenizer, choose_dtype(tokenizer, config.dtype))
    return TokensJob(open_corpus_folder(corpus), kept, out, config, runner or CountingRunner()).run()[0]


@pytest.fixture(scope="module")
def source(corpus: Path, tokenizer: TokenizerFile, tmp_path_factory: pytest.TempPathFactory) -> TokenSource:
    return run(corpus, tokenizer, tmp_path_factory.mktemp("tokens"))


def rows_of(source: TokenSource) -> list[dict[str, object]]:
    return [row for shard in source.shards for row in pq.read_table(source.documents_path(shard)).to_pylist()]


def fingerprint(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_every_sequence_is_its_document_and_an_end(source: TokenSource, tokenizer: TokenizerFile) -> None:
    plain = Tokenizer.from_file(str(tokenizer.path))
    seen = []
    for shard in source.shards:
        reader = source.open(shard)
        rows = pq.read_table(source.documents_path(shard)).to_pylist()
        assert len(reader) == len(rows) == shard.sequences
        for number, row in enumerate(rows):
            text = FILES[int(row["file"][:5])][row["row"]]
            expected = [*plain.encode(text, add_special_tokens=False).ids, tokenizer.eod_id]
            assert reader.sequence(number).tolist() == expected
            told = (row["tokens"], row["words"], row["characters"], row["utf8_bytes"])
            assert told == (len(expected), len(text.split()), len(text), len(text.encode()))
            assert row["split"] == shard.split
            seen.append((row["file"], row["row"]))
    assert sorted(seen) == [
        (f"{number:05d}-00000.parquet", row) for number, own in enumerate(FILES) for row in range(len(own))
    ]


def test_megatron_reads_the_shards(source: TokenSource, tokenizer: TokenizerFile) -> None:
    megatron = pytest.importorskip("megatron.core.datasets.indexed_dataset", reason="megatron-core is not installed")
    for shard in source.shards:
        dataset = megatron.IndexedDataset(str(source.prefix(shard)))
        reader = source.open(shard)
        assert len(dataset) == shard.sequences
        for number in range(len(dataset)):
            assert np.array_equal(dataset[number], reader.sequence(number))
            assert dataset[number][-1] == tokenizer.eod_id
        assert dataset.document_indices.tolist() == list(range(shard.sequences + 1))


def test_the_sums_are_those_of_the_documents(source: TokenSource) -> None:
    rows = rows_of(source)
    for split, totals in (("train", source.totals), ("validation", source.validation)):
        own = [row for row in rows if row["split"] == split]
        assert own
        assert totals.documents == len(own)
        for name in ("tokens", "words", "characters", "utf8_bytes"):
            assert getattr(totals, name) == sum(int(str(row[name])) for row in own)
    tokens = sum(int(str(row["tokens"])) - 1 for row in rows)
    words = sum(int(str(row["words"])) for row in rows)
    assert source.fertility["el"].tokens_per_word == pytest.approx(tokens / words)
    assert source.fertility["el"].tokens_per_byte == pytest.approx(tokens / sum(len(text.encode()) for text in TEXTS))
    assert source.fertility["el"].unknown_share == 0


def test_a_mixture_may_choose_by_every_measure(source: TokenSource) -> None:
    names = set(pq.read_schema(source.documents_path(source.shards[0])).names)
    assert {f"metrics.{name}" for name in MEASURES} <= names
    assert {"perplexity_bucket", "cluster_size", "date", "source", "url", "language"} <= names
    row = rows_of(source)[0]
    assert (row["perplexity_bucket"], row["language"], row["metrics.words"]) == ("head", "el", row["words"])


def test_validation_and_training_share_no_band_key(source: TokenSource) -> None:
    keys: dict[str, set[int]] = {"train": set(), "validation": set()}
    for row in rows_of(source):
        text = FILES[int(str(row["file"])[:5])][int(str(row["row"]))]
        keys[str(row["split"])] |= set(band_keys([text])[0])
    assert not keys["train"] & keys["validation"]
    assert source.not_compared == 0


@pytest.mark.parametrize(("index", "minhash"), [(False, False), (True, False)])
def test_without_band_keys_it_says_that_nothing_was_compared(
    tmp_path: Path, tokenizer: TokenizerFile, index: bool, minhash: bool
) -> None:
    made = run(write_corpus(tmp_path / "el", FILES, index=index, minhash=minhash), tokenizer, tmp_path / "tokens")
    assert made.not_compared == made.validation.documents > 0


def test_the_same_bytes_again_and_from_an_interrupted_run(
    corpus: Path, source: TokenSource, tokenizer: TokenizerFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = CountingRunner()

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("mixing.tokens.job.publish", stop)
        with pytest.raises(KeyboardInterrupt):
            run(corpus, tokenizer, tmp_path, runner=first)
    assert len(first.tokenized) == len(FILES)
    assert not (tmp_path / "el").exists()
    (lost,) = (tmp_path / ".work" / "el" / "tokenize").glob("00001-00000-*")
    shutil.rmtree(lost)
    second = CountingRunner()
    resumed = run(corpus, tokenizer, tmp_path, runner=second)
    assert second.ran == [("tokenize", "00001-00000")]
    assert fingerprint(resumed.folder) == fingerprint(source.folder)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != ".work") == ["el", "tokenizer"]


def test_a_finished_source_is_not_made_again_unless_something_changed(
    corpus: Path, tokenizer: TokenizerFile, tmp_path: Path
) -> None:
    own = shutil.copytree(corpus, tmp_path / "el")
    made = run(own, tokenizer, tmp_path / "tokens")
    again = CountingRunner()
    run(own, tokenizer, tmp_path / "tokens", runner=again)
    assert again.ran == []
    before = fingerprint(made.folder)
    bin_path = made.prefix(made.shards[0]).with_suffix(".bin")
    content = bytearray(bin_path.read_bytes())
    content[7] ^= 1
    bin_path.write_bytes(content)  # the same size: only a checksum tells
    run(own, tokenizer, tmp_path / "tokens", runner=again)
    assert len(again.tokenized) == len(FILES)
    assert fingerprint(made.folder) == before
    write_corpus(own, [[*TEXTS[:25], "Ένα κείμενο ακόμη."], *FILES[1:]])
    larger = run(own, tokenizer, tmp_path / "tokens", runner=again)
    assert larger.totals.documents + larger.validation.documents == len(TEXTS) + 1
    assert run(own, tokenizer, tmp_path / "tokens", TokensConfig(validation=None), again).validation.documents == 0
    assert not list((tmp_path / "tokens" / "el" / "validation").iterdir())


def test_a_failed_run_leaves_the_finished_source(corpus: Path, tokenizer: TokenizerFile, tmp_path: Path) -> None:
    own = shutil.copytree(corpus, tmp_path / "el")
    before = fingerprint(run(own, tokenizer, tmp_path / "tokens").folder)
    path = own / "documents" / "00002-00000.parquet"
    content = bytearray(path.read_bytes())
    content[200:900] = bytes(700)
    path.write_bytes(content)
    with pytest.raises(UserError, match="cannot read") as caught:
        run(own, tokenizer, tmp_path / "tokens")
    assert path.name in str(caught.value)
    assert "\n" not in str(caught.value)
    assert fingerprint(tmp_path / "tokens" / "el") == before


def test_another_tokenizer_needs_another_folder(corpus: Path, tokenizer: TokenizerFile, tmp_path: Path) -> None:
    run(corpus, tokenizer, tmp_path)
    other = replace(tokenizer, sha256="0" * 64, name="other")
    with pytest.raises(UserError, match=r"holds tokens of the tokenizer made .* not of other .* another TOKENS"):
        run(corpus, other, tmp_path)
    with pytest.raises(UserError, match="documents end with 5"):
        run(corpus, replace(tokenizer, eod_id=5), tmp_path)
    with pytest.raises(UserError, match="int32"):
        run(corpus, tokenizer, tmp_path, replace_config(dtype="int32"))
    kept = kept_tokenizer(tmp_path, None)
    assert kept is not None
    assert (kept.sha256, kept.name, kept.eod_id) == (tokenizer.sha256, "made", tokenizer.eod_id)


def replace_config(**values: object) -> TokensConfig:
    return TokensConfig.model_validate(CONFIG.model_dump() | values)


def test_a_corpus_of_the_same_name_needs_another_folder(corpus: Path, tokenizer: TokenizerFile, tmp_path: Path) -> None:
    run(corpus, tokenizer, tmp_path)
    other = shutil.copytree(corpus, tmp_path / "other" / "el")
    with pytest.raises(UserError, match=r"has the same name; give it another one .*, give another TOKENS"):
        run(other, tokenizer, tmp_path)


def test_a_folder_called_as_the_tokenizer_is_refused(corpus: Path, tmp_path: Path) -> None:
    own = shutil.copytree(corpus, tmp_path / "tokenizer")
    with pytest.raises(UserError, match="no source may be called 'tokenizer'"):
        refuse_reserved_names([open_corpus_folder(own)])


def test_a_vocabulary_that_does_not_fit_is_refused(tokenizer: TokenizerFile) -> None:
    large = replace(tokenizer, vocabulary_size=70_000)
    with pytest.raises(UserError, match=r"tokens up to 69,999, and dtype uint16 holds 65,535: set dtype to int32"):
        choose_dtype(large, "uint16")
    assert choose_dtype(large, None) == "int32"
    assert choose_dtype(replace(tokenizer, vocabulary_size=65_536), "uint16") == "uint16"
    assert choose_dtype(tokenizer, None) == "uint16"


def test_thirty_two_bits(corpus: Path, source: TokenSource, tokenizer: TokenizerFile, tmp_path: Path) -> None:
    wide = run(corpus, tokenizer, tmp_path, replace_config(dtype="int32"))
    assert wide.tokenizer.dtype == "int32"
    for shard, own in zip(source.shards, wide.shards, strict=True):
        assert own.bin_bytes == 2 * shard.bin_bytes
        assert np.array_equal(source.open(shard).sequence(0), wide.open(own).sequence(0))


def test_validation_must_not_take_everything(corpus: Path, tokenizer: TokenizerFile, tmp_path: Path) -> None:
    config = TokensConfig(validation=ValidationConfig(documents=1_000))
    with pytest.raises(UserError, match="validation would take all 60 documents"):
        run(corpus, tokenizer, tmp_path, config)
    assert not (tmp_path / "el").exists()


def test_unknown_tokens_are_counted(corpus: Path, tmp_path: Path) -> None:
    """A vocabulary that knows nothing of a language would else seem to be the best one for it."""
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "φάρος": 1, ".": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens([AddedToken("[SEP]", special=True)])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    found = run(corpus, find_tokenizer(tmp_path, "[SEP]"), tmp_path / "tokens").fertility["el"]
    pieces = [piece for text in TEXTS for piece in text.replace(".", " .").split()]
    assert found.unknown_share == pytest.approx(sum(p not in ("φάρος", ".") for p in pieces) / len(pieces))


def test_a_parallel_corpus(tokenizer: TokenizerFile, tmp_path: Path) -> None:
    pairs = [TextPair(str(n), "de", "en", f"Das ist Satz {n}.", f"This is sentence {n}.") for n in range(60)]
    documents = list(pack(pairs, RenderConfig(max_chars=200)))
    folder = write_pair_corpus(tmp_path / "de-en", [documents[:9], documents[9:]])
    made = run(folder, tokenizer, tmp_path / "tokens")
    assert (made.source, made.languages) == ("de-en", ("de-en",))
    rows = rows_of(made)
    assert len(rows) == len(documents)
    assert not any(name.startswith("metrics.") for name in rows[0])
    words = sum(any(map(str.isalnum, piece)) for document in documents for piece in document.text.split())
    assert sum(int(str(row["words"])) for row in rows) == words


def test_nothing_is_left_of_the_work(corpus: Path, tokenizer: TokenizerFile, tmp_path: Path) -> None:
    run(corpus, tokenizer, tmp_path)
    assert not (tmp_path / ".work" / "el").exists()
    assert load_token_source(tmp_path / "el").totals.documents > 0
    load_token_source(tmp_path / "el").verify(deep=True)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_workers_do_not_matter(
    corpus: Path, source: TokenSource, tokenizer: TokenizerFile, tmp_path: Path, workers: int
) -> None:
    with Runner(workers, 0) as runner:
        made = run(corpus, tokenizer, tmp_path, runner=runner)
    assert fingerprint(made.folder) == fingerprint(source.folder)
    assert os.environ.get("RAY_ADDRESS") is None
    assert json.loads((made.folder / "tokens.json").read_text())["source"] == "el"
