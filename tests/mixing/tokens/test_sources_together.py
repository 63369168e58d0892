"""Several sources in one folder of tokens: none trains on what another holds out, whenever each was made."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs.errors import UserError
from mixing.tokens.byte_level_bpe import BpeConfig, save_tokenizer, train_byte_level_bpe
from mixing.tokens.config import TokensConfig
from mixing.tokens.corpus_folder import open_corpus_folder
from mixing.tokens.folder import keep_tokenizer
from mixing.tokens.job import choose_dtype, tokenize_corpora
from mixing.tokens.publish import Made, publish
from mixing.tokens.token_source import TokenSource, load_token_source
from mixing.tokens.tokenizer_file import TokenizerFile, find_tokenizer
from mixing.tokens.validation import ValidationConfig
from tests.mixing.tokens.finished_corpora import CountingRunner, band_keys, write_corpus
from tests.mixing.tokens.test_job import fingerprint

WORDS = ["λιμάνι", "φάρος", "νησί", "πύργος", "δρόμος", "κήπος", "γεφύρι", "σχολείο", "ρολόι", "βάρκα"]


def made_text(number: int) -> str:
    return " ".join(f"{WORDS[(number * step + step) % 10]}{(number * 31 + step * 7) % 83}" for step in range(40))


TEXTS = [made_text(number) for number in range(90)]
CONFIG = TokensConfig(validation=ValidationConfig(share=0.3))
# Equal texts, in another case, and near duplicates of some of the first corpus' texts.
SHARED = [TEXTS[0], TEXTS[1].upper(), *(f"{text} τέλος" for text in TEXTS[2:14]), *TEXTS[14:24]]


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("corpora")
    return {
        "a": write_corpus(folder / "a", [TEXTS[:20], TEXTS[20:40]]),
        "b": write_corpus(folder / "b", [SHARED, TEXTS[40:60]]),
        "c": write_corpus(folder / "c", [TEXTS[60:90] + TEXTS[:6] + TEXTS[45:50]], index=False),
    }


@pytest.fixture(scope="module")
def tokenizer(corpora: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> TokenizerFile:
    folder = tmp_path_factory.mktemp("tokenizer")
    made = train_byte_level_bpe([open_corpus_folder(corpora["a"])], BpeConfig(vocabulary_size=300))
    save_tokenizer(folder, made, "made", "<|endoftext|>", {})
    return find_tokenizer(folder, None)


def run(
    corpora: Sequence[Path],
    tokenizer: TokenizerFile,
    out: Path,
    config: TokensConfig = CONFIG,
    runner: CountingRunner | None = None,
) -> dict[str, tuple[TokenSource, bool]]:
    kept = keep_tokenizer(out, tokenizer, choose_dtype(tokenizer, None))
    opened = [open_corpus_folder(own) for own in corpora]
    done = tokenize_corpora(opened, kept, out, config, runner or CountingRunner())
    return {source.source: (source, stood) for source, stood in done}


def texts_of(source: TokenSource, split: str) -> list[str]:
    """Return the texts whose tokens are in a split, read back from the corpus by file and row."""
    found = []
    folder = Path(source.corpus.folder) / "documents"
    texts = {name: pq.read_table(folder / name, columns=["text"])["text"].to_pylist() for name in source.corpus.files}
    for shard in source.shards:
        if shard.split == split:
            rows = pq.read_table(source.documents_path(shard), columns=["file", "row"]).to_pylist()
            found += [texts[row["file"]][row["row"]] for row in rows]
    return found


def check_disjoint(out: Path, indexed: Sequence[str]) -> None:
    """Fail where any source holds out what another one, or itself, trains on."""
    sources = {path.parent.name: load_token_source(path.parent) for path in sorted(out.glob("*/tokens.json"))}
    plain = {
        split: {
            name: {" ".join(text.casefold().split()) for text in texts_of(own, split)} for name, own in sources.items()
        }
        for split in ("train", "validation")
    }
    assert all(plain["train"].values())
    assert not set().union(*plain["train"].values()) & set().union(*plain["validation"].values())
    keys = {
        split: {key for name in indexed for own in band_keys(texts_of(sources[name], split) or [""]) for key in own}
        for split in ("train", "validation")
    }
    none = set(band_keys([""])[0])
    assert not keys["train"] & keys["validation"] - none


def test_sources_of_one_command(corpora: dict[str, Path], tokenizer: TokenizerFile, tmp_path: Path) -> None:
    made = run(list(corpora.values()), tokenizer, tmp_path)
    check_disjoint(tmp_path, ["a", "b"])
    assert sum(sum(own.moved_to_training.values()) for own, _ in made.values()) > 0
    for name, (own, stood) in made.items():
        assert not stood
        assert own.left_out == {}
        assert own.validation.documents > 0
        assert sorted(own.compared_with) == sorted(set(corpora) - {name})
        assert all(made[other][0].fingerprints == value for other, value in own.compared_with.items())
    assert not (tmp_path / ".work" / ".together").exists()


def test_the_order_of_a_command_does_not_matter(
    corpora: dict[str, Path], tokenizer: TokenizerFile, tmp_path: Path
) -> None:
    names = list(corpora)
    for place, order in enumerate((names, names[::-1])):
        run([corpora[name] for name in order], tokenizer, tmp_path / str(place))
    for name in names:
        assert fingerprint(tmp_path / "0" / name) == fingerprint(tmp_path / "1" / name)


@pytest.mark.parametrize("order", ["abc", "cba"])
def test_sources_that_are_added_later(
    corpora: dict[str, Path], tokenizer: TokenizerFile, tmp_path: Path, order: str
) -> None:
    before: dict[str, dict[str, str]] = {}
    left_out = 0
    for name in order:
        own, _ = run([corpora[name]], tokenizer, tmp_path)[name]
        documents = own.totals.documents + own.validation.documents + sum(own.left_out.values())
        assert documents == sum(pq.read_metadata(path).num_rows for path in (corpora[name] / "documents").iterdir())
        left_out += sum(own.left_out.values())
        before[name] = fingerprint(own.folder)
    assert left_out > 0
    check_disjoint(tmp_path, ["a", "b"])
    for name, content in before.items():  # what stood there stays as it was
        assert fingerprint(tmp_path / name) == content
    again = CountingRunner()
    assert all(stood for _, stood in run(list(corpora.values()), tokenizer, tmp_path, runner=again).values())
    assert again.ran == []


def test_what_is_left_out_is_named(corpora: dict[str, Path], tokenizer: TokenizerFile, tmp_path: Path) -> None:
    held_out = texts_of(run([corpora["a"]], tokenizer, tmp_path)["a"][0], "validation")
    made, _ = run([corpora["b"]], tokenizer, tmp_path, TokensConfig(validation=None))["b"]
    rows = pq.read_table(made.folder / "left_out.parquet").to_pylist()
    assert made.left_out == {"el": len(rows)} != {"el": 0}
    plain = {" ".join(text.casefold().split()) for text in held_out}
    for row in rows:
        path = corpora["b"] / "documents" / row["file"]
        document = pq.read_table(path, columns=["id", "text"]).slice(row["row"], 1).to_pylist()[0]
        assert document["id"] == row["document_id"]
        assert row["language"] == "el"
        assert row["reason"] == ("equal" if " ".join(document["text"].casefold().split()) in plain else "near")
    assert {row["reason"] for row in rows} == {"equal", "near"}


def test_nothing_left_for_training_is_refused(
    corpora: dict[str, Path], tokenizer: TokenizerFile, tmp_path: Path
) -> None:
    held_out = texts_of(run([corpora["a"]], tokenizer, tmp_path / "tokens")["a"][0], "validation")
    folder = write_corpus(tmp_path / "d", [held_out[:2]])
    with pytest.raises(UserError, match=r"nothing of .*/d is left for training: 2 of its documents"):
        run([folder], tokenizer, tmp_path / "tokens", TokensConfig(validation=None))


def test_a_command_that_was_killed_between_two_sources(
    corpora: dict[str, Path], tokenizer: TokenizerFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sources were settled together: the one that was published is not taken for one that stood before."""
    run(list(corpora.values()), tokenizer, tmp_path / "whole")

    def stop_at_b(made: Made, others: Mapping[str, str], folder: Path, aside: Path) -> None:
        if folder.name == "b":
            raise KeyboardInterrupt
        publish(made, others, folder, aside)

    monkeypatch.setattr("mixing.tokens.job.publish", stop_at_b)
    with pytest.raises(KeyboardInterrupt):
        run(list(corpora.values()), tokenizer, tmp_path / "killed")
    monkeypatch.undo()
    assert (tmp_path / "killed" / "a" / "tokens.json").is_file()
    assert not (tmp_path / "killed" / "b").exists()
    runner = CountingRunner()
    run(list(corpora.values()), tokenizer, tmp_path / "killed", runner=runner)
    assert runner.ran == []  # every task was finished
    for name in corpora:
        assert fingerprint(tmp_path / "killed" / name) == fingerprint(tmp_path / "whole" / name)


def test_a_source_copied_from_elsewhere_is_found_out(
    corpora: dict[str, Path], tokenizer: TokenizerFile, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        run([corpora[name]], tokenizer, tmp_path / name)
    shutil.copytree(tmp_path / "a" / "a", tmp_path / "b" / "a")
    made = run([corpora["b"]], tokenizer, tmp_path / "b")
    assert not made["b"][1]
    check_disjoint(tmp_path / "b", ["a", "b"])
    assert run([corpora["a"]], tokenizer, tmp_path / "b")["a"][1]


def test_only_what_changed_is_made_again(corpora: dict[str, Path], tokenizer: TokenizerFile, tmp_path: Path) -> None:
    own = {name: shutil.copytree(path, tmp_path / "corpora" / name) for name, path in corpora.items()}
    out = tmp_path / "tokens"
    run(list(own.values()), tokenizer, out)
    write_corpus(own["b"], [[*SHARED, TEXTS[25], TEXTS[31]], TEXTS[40:60]])
    made = run(list(own.values()), tokenizer, out)
    assert {name: stood for name, (_, stood) in made.items()} == {"a": True, "b": False, "c": True}
    check_disjoint(out, ["a", "b"])
    assert all(stood for _, stood in run(list(own.values()), tokenizer, out).values())


def test_another_index_makes_the_source_again(
    corpora: dict[str, Path], tokenizer: TokenizerFile, tmp_path: Path
) -> None:
    own = shutil.copytree(corpora["b"], tmp_path / "b")
    out = tmp_path / "tokens"
    first, _ = run([own], tokenizer, out)["b"]
    assert sorted(first.corpus.indexes) == ["00000-00000.parquet", "00001-00000.parquet"]
    path = own / "index" / "00001-00000.parquet"
    table = pq.read_table(path)
    place = table.schema.get_field_index("band_keys")
    same = [[1, 2]] * table.num_rows  # all of them may be near duplicates now
    pq.write_table(table.set_column(place, table.schema.field(place), pa.array(same, pa.list_(pa.uint64()))), path)
    second, stood = run([own], tokenizer, out)["b"]
    assert not stood
    assert sum(second.moved_to_training.values()) > sum(first.moved_to_training.values())
    shutil.rmtree(own / "index")
    third, stood = run([own], tokenizer, out)["b"]
    assert (stood, third.corpus.indexes) == (False, {})
    assert third.not_compared == third.validation.documents


def test_a_source_of_an_earlier_version_is_left_alone(
    corpora: dict[str, Path], tokenizer: TokenizerFile, tmp_path: Path
) -> None:
    made, _ = run([corpora["a"]], tokenizer, tmp_path)["a"]
    content = json.loads((made.folder / "tokens.json").read_text())
    del content["other_files"]
    (made.folder / "tokens.json").write_text(json.dumps(content))
    own, _ = run([corpora["b"]], tokenizer, tmp_path)["b"]
    assert own.compared_with == {}
    assert run([corpora["b"]], tokenizer, tmp_path)["b"][1]


def test_rewritten_fingerprints_are_refused(corpora: dict[str, Path], tokenizer: TokenizerFile, tmp_path: Path) -> None:
    made, _ = run([corpora["a"]], tokenizer, tmp_path)["a"]
    path = made.fingerprint_paths("validation")[0]
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="is not the file that `make tokens` wrote") as caught:
        run([corpora["b"]], tokenizer, tmp_path)
    assert str(path) in str(caught.value)
