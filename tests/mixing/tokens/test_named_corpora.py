"""Corpora that are given a name, `name=folder`: two of one language in one folder of tokens, kept apart."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from configs.errors import UserError
from configs.load import validate_config
from mixing.mixture.mixture import MixtureConfig
from mixing.mixture.publish import write_mixture
from mixing.tokens.byte_level_bpe import BpeConfig, save_tokenizer, train_byte_level_bpe
from mixing.tokens.config import TokensConfig
from mixing.tokens.corpus_folder import find_corpora
from mixing.tokens.folder import keep_tokenizer, kept_tokenizer, refuse_reserved_names
from mixing.tokens.job import tokenize_corpora
from mixing.tokens.token_source import Split, TokenSource, load_token_source
from mixing.tokens.tokenizer_file import TokenizerFile, find_tokenizer
from mixing.tokens.validation import ValidationConfig
from mixing.tokens.where import find_place
from tests.mixing.tokens.finished_corpora import CountingRunner, write_corpus
from tests.mixing.tokens.test_job import fingerprint
from tests.mixing.tokens.test_sources_together import TEXTS, check_disjoint

CONFIG = TokensConfig(validation=ValidationConfig(share=0.3))
# The unfiltered corpus: texts of the filtered one, some of them in another case or with a line more, and others.
RAW = [*TEXTS[:12], TEXTS[12].upper(), *(f"{text} τέλος" for text in TEXTS[13:24]), *TEXTS[24:70]]


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpora")
    write_corpus(folder / "el", [TEXTS[:20], TEXTS[20:40]])
    write_corpus(folder / "raw" / "el", [RAW[:30], RAW[30:]])
    write_corpus(folder / "raw" / "tr", [["Denizin kıyısındaki ev boş duruyor."]], "tr")
    return folder


@pytest.fixture(scope="module")
def tokenizer(corpora: Path, tmp_path_factory: pytest.TempPathFactory) -> TokenizerFile:
    folder = tmp_path_factory.mktemp("tokenizer")
    made = train_byte_level_bpe(find_corpora(f"{corpora}/el"), BpeConfig(vocabulary_size=300))
    save_tokenizer(folder, made, "made", "<|endoftext|>", {})
    return find_tokenizer(folder, None)


def run(selection: str, tokenizer: TokenizerFile, out: Path) -> dict[str, tuple[TokenSource, bool]]:
    found = find_corpora(selection)
    refuse_reserved_names(found)
    kept = keep_tokenizer(out, tokenizer, "uint16")
    done = tokenize_corpora(found, kept, out, CONFIG, CountingRunner())
    return {source.source: (source, stood) for source, stood in done}


def named(selection: str) -> list[tuple[str, str]]:
    return [(own.name, own.folder.parent.name) for own in find_corpora(selection)]


def test_a_corpus_may_be_given_a_name(corpora: Path) -> None:
    parent = corpora.name
    assert named(f"{corpora}/el, el-raw = {corpora}/raw/el/") == [("el", parent), ("el-raw", "raw")]
    (found,) = find_corpora(f"de={corpora}/raw/el")
    assert (found.name, found.language) == ("de", "el")  # the corpus says what its language is
    assert named(f"α={corpora}/raw/../el") == [("α", "..")]
    composed, apart = "\u00e9t\u00e9", "e\u0301te\u0301"
    assert named(f"{apart}={corpora}/el") == [(composed, parent)]  # as a mixture would write it
    assert named(f"{'x' * 100}={corpora}/el") == [("x" * 100, parent)]
    assert named(f"a b+c:d={corpora}/el") == [("a b+c:d", parent)]


def test_what_is_named_goes_before_a_glob(corpora: Path) -> None:
    for selection in (f"{corpora}/raw/*,x={corpora}/raw/el", f"x={corpora}/raw/el,{corpora}/raw/*"):
        assert sorted(named(selection)) == [("tr", "raw"), ("x", "raw")]


def test_a_folder_that_is_there_goes_before_a_name(
    corpora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("lang=el", "run=3/lang=el", "el"):
        shutil.copytree(corpora / "el", tmp_path / name)
    assert named("lang=el") == [("lang=el", tmp_path.name)]
    assert named("run=3/lang=el") == [("lang=el", "run=3")]
    assert named("./lang=el,x=el") == [("lang=el", tmp_path.name), ("x", tmp_path.name)]
    assert named("x=lang=el") == [("x", tmp_path.name)]
    assert named("x=run=3/lang=el") == [("x", "run=3")]
    assert named("lang=*") == [("lang=el", tmp_path.name)]
    assert named(f"{tmp_path}/run=3/*") == [("lang=el", "run=3")]
    shutil.copytree(corpora / "el", tmp_path / "v[1]")
    assert named("x=v[1]") == [("x", tmp_path.name)]


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", ".hidden", "a*", "a?", "a[b]", "a\\b", "a\tb", "a\u202eb", "\udcff", "x" * 101, "語" * 86, "\0"],
)
def test_what_cannot_be_a_name_is_one_line(corpora: Path, name: str) -> None:
    with pytest.raises(UserError, match="no source can be called") as raised:
        find_corpora(f"{name}={corpora}/el")
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ("x={0}/raw/*", "a glob may stand for several corpora, and 'x' is the name of one"),
        ("x=", "there is no folder behind the name; write x=corpora/el"),
        ("x={0}/nowhere", "{0}/nowhere is not a finished corpus"),
        ("../x={0}/el", "x={0}/el is not a finished corpus"),
        ("a/b={0}/el", "a/b={0}/el is not a finished corpus"),
        ("x={0}/el,y={0}/el", "{0}/el would be two sources, 'x' and 'y'; give it one name"),
        ("{0}/el,y={0}/raw/../el", "{0}/el would be two sources, 'el' and 'y'; give it one name"),
        ("x={0}/el,x={0}/raw/el", "{0}/el and {0}/raw/el would both be the source 'x'; give one of them another name"),
        (
            "{0}/el,{0}/raw/el",
            "would both be the source 'el'; give one of them another name, as in CORPUS=el-2={0}/raw/el",
        ),
        ("el={0}/raw/tr,{0}/e*", "would both be the source 'el'"),
    ],
)
def test_mistakes_are_one_line(corpora: Path, selection: str, message: str) -> None:
    with pytest.raises(UserError) as raised:
        find_corpora(selection.format(corpora))
    assert message.format(corpora) in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


def test_reserved_names_are_refused(corpora: Path) -> None:
    with pytest.raises(UserError, match="no source may be called 'tokenizer'; give it another name"):
        refuse_reserved_names(find_corpora(f"tokenizer={corpora}/el"))


def test_the_same_name_twice_for_the_same_corpus_is_one_source(corpora: Path) -> None:
    assert named(f"x={corpora}/el,x={corpora}/el/,x={corpora}/raw/../el") == [("x", "..")]


def texts(source: TokenSource, out: Path, split: Split) -> list[str]:
    """Return the texts of a split, read back from the tokens."""
    kept = kept_tokenizer(out, None)
    assert kept is not None
    tokenizer = Tokenizer.from_file(str(kept.path))
    readers = [source.open(shard) for shard in source.of_split(split)]
    return [
        tokenizer.decode(reader.sequence(number)[:-1].tolist()) for reader in readers for number in range(len(reader))
    ]


def similarity(first: str, second: str) -> float:
    """Return the Jaccard similarity of two texts' word 5-grams, blind to case."""
    sets = []
    for text in (first, second):
        words = text.casefold().split()
        sets.append({tuple(words[place : place + 5]) for place in range(len(words) - 4)})
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


@pytest.mark.parametrize("commands", [["el", "raw"], ["raw", "el"], ["both"]])
def test_no_variant_trains_on_what_the_other_is_measured_on(
    corpora: Path, tokenizer: TokenizerFile, tmp_path: Path, commands: list[str]
) -> None:
    """Both mixtures are measured on the held-out texts of `el`: neither draws from them, or from near duplicates."""
    tokens, written = tmp_path / "tokens", {"el": f"{corpora}/el", "raw": f"el-raw={corpora}/raw/el"}
    written["both"] = ",".join(written.values())
    made: dict[str, tuple[TokenSource, bool]] = {}
    for command in commands:
        made |= run(written[command], tokenizer, tokens)
    sources = {name: own for name, (own, _) in made.items()}
    assert {name: own.languages for name, own in sources.items()} == {"el": ("el",), "el-raw": ("el",)}
    check_disjoint(tokens, ["el", "el-raw"])
    held_out = texts(sources["el"], tokens, "validation")
    assert len(held_out) > 3
    for name, own in sources.items():
        drawn = texts(own, tokens, "train")
        assert len(drawn) > 10
        assert max(similarity(text, other) for text in held_out for other in drawn) < 0.7, name
        stage = {
            "name": "one",
            "tokens": 100,
            "learning_rate": {"schedule": "constant", "peak": 1e-5},
            "categories": {"all": {"share": 1, "sources": [name]}},
        }
        data = {"name": name, "sequence_length": 16, "stages": [stage], "validation": ["el"]}
        manifest = write_mixture(validate_config(data, MixtureConfig, "m"), tokens, tmp_path / "mixtures")
        assert [(each.source, each.sequences) for each in manifest.validation] == [("el", len(held_out))]
    overlap = [text for text in texts(sources["el-raw"], tokens, "train") if text in TEXTS[:40]]
    assert len(overlap) > 5  # else there is nothing that could have leaked


def test_sources_that_were_not_compared_are_not_measured_on(
    corpora: Path, tokenizer: TokenizerFile, tmp_path: Path
) -> None:
    """As when a folder of tokens was copied beside another: `el-raw` trains on what `el` holds out."""
    tokens = tmp_path / "tokens"
    run(f"{corpora}/el", tokenizer, tokens)
    run(f"el-raw={corpora}/raw/el", tokenizer, tmp_path / "apart")
    shutil.copytree(tmp_path / "apart" / "el-raw", tokens / "el-raw")
    with pytest.raises(AssertionError):
        check_disjoint(tokens, ["el", "el-raw"])
    stage = {
        "name": "one",
        "tokens": 100,
        "learning_rate": {"schedule": "constant", "peak": 1e-5},
        "categories": {"all": {"share": 1, "sources": ["el-raw"]}},
    }
    data = {"name": "m", "sequence_length": 16, "stages": [stage], "validation": ["el"]}
    config = validate_config(data, MixtureConfig, "m")
    with pytest.raises(UserError, match=r"tokens/el-raw was not compared with .*tokens/el, whose held-out texts may"):
        write_mixture(config, tokens, tmp_path / "mixtures")
    alone = validate_config({**data, "validation": ["el-raw"]}, MixtureConfig, "m")
    write_mixture(alone, tokens, tmp_path / "mixtures")
    made = run(f"{corpora}/el,el-raw={corpora}/raw/el", tokenizer, tokens)
    assert not all(stood for _, stood in made.values())
    check_disjoint(tokens, ["el", "el-raw"])
    write_mixture(config, tokens, tmp_path / "mixtures")


def test_a_name_is_of_one_corpus_as_long_as_its_tokens_stand(
    corpora: Path, tokenizer: TokenizerFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = tmp_path / "tokens"
    own = shutil.copytree(corpora, tmp_path / "own")
    made = run(f"x={own}/el", tokenizer, tokens)["x"]
    before = fingerprint(tokens / "x")
    assert not made[1]
    monkeypatch.chdir(own / "raw")
    for again in (f"x={own}/el", f"x={own}/raw/../el/", "x=../el", f"x={os.path.relpath(own / 'el')}"):
        assert run(again, tokenizer, tokens)["x"][1]
    for other in (f"x={own}/raw/el", f"x={shutil.copytree(own / 'el', tmp_path / 'copy')}"):
        with pytest.raises(UserError, match=r"holds the tokens of .*/own/el: .* has the same name; give it another"):
            run(other, tokenizer, tokens)
    assert fingerprint(tokens / "x") == before
    shutil.rmtree(own / "el")
    write_corpus(own / "el", [TEXTS[5:20]])
    changed, stood = run(f"x={own}/el", tokenizer, tokens)["x"]
    assert not stood
    assert changed.totals.documents + changed.validation.documents == 15
    shutil.rmtree(tokens / "x")
    other_one, stood = run(f"x={own}/raw/el", tokenizer, tokens)["x"]
    assert (stood, other_one.corpus.folder) == (False, str(own / "raw" / "el"))


def test_a_corpus_under_two_names_teaches_no_held_out_text(
    corpora: Path, tokenizer: TokenizerFile, tmp_path: Path
) -> None:
    """In one command that is a mistake; in two, both train on the same texts and hold out the same ones."""
    first, _ = run(f"{corpora}/el", tokenizer, tmp_path)["el"]
    second, _ = run(f"again={corpora}/el", tokenizer, tmp_path)["again"]
    check_disjoint(tmp_path, ["el", "again"])
    assert first.validation.documents > 0
    assert (second.totals, second.validation) == (first.totals, first.validation)


def test_a_source_of_the_folders_own_name_stays_as_it_is(
    corpora: Path, tokenizer: TokenizerFile, tmp_path: Path
) -> None:
    run(f"{corpora}/el", tokenizer, tmp_path)
    before = fingerprint(tmp_path / "el")
    made = run(f"{corpora}/el,el-raw={corpora}/raw/el", tokenizer, tmp_path)
    assert {name: stood for name, (_, stood) in made.items()} == {"el": True, "el-raw": False}
    assert run(f"el={corpora}/el", tokenizer, tmp_path)["el"][1]
    assert fingerprint(tmp_path / "el") == before
    plain = run(f"{corpora}/raw/el", tokenizer, tmp_path / "plain")["el"][0]
    given = run(f"ελ raw={corpora}/raw/el", tokenizer, tmp_path / "given")["ελ raw"][0]
    assert plain.identity == given.identity
    assert plain.shards == given.shards


def test_a_token_of_a_named_corpus_leads_to_its_record(corpora: Path, tokenizer: TokenizerFile, tmp_path: Path) -> None:
    made, _ = run(f"ελ:raw={corpora}/raw/el", tokenizer, tmp_path)["ελ:raw"]
    shard = made.of_split("train")[-1]
    place = find_place(tmp_path, f"ελ:raw/{shard.name}:{shard.tokens - 1}")
    row = int(str(place.document["row"]))
    assert len(place.before) == 200
    assert RAW[30:][row].endswith(place.before)
    assert [record["url"] for record in place.records] == [f"https://example.org/1/{row}"]
    assert load_token_source(tmp_path / "ελ:raw") == made
