"""From a token back to its text, document and record, on every token of small corpora."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from configs.errors import UserError
from mixing.telling.packing import pack
from mixing.telling.pairs import Document, TextPair
from mixing.telling.render import RenderConfig
from mixing.tokens.byte_level_bpe import BpeConfig, save_tokenizer, train_byte_level_bpe
from mixing.tokens.config import TokensConfig
from mixing.tokens.corpus_folder import open_corpus_folder
from mixing.tokens.folder import keep_tokenizer
from mixing.tokens.indexed import IndexedWriter
from mixing.tokens.job import TokensJob
from mixing.tokens.token_source import TokenSource, load_token_source
from mixing.tokens.tokenizer_file import find_tokenizer
from mixing.tokens.validation import ValidationConfig
from mixing.tokens.where import find_place, parse_token
from tests.mixing.tokens.finished_corpora import CountingRunner, write_corpus, write_pair_corpus

FILES = [[f"Ο φάρος {n} ανάβει. 😀 Cafe\u0301 {n}" for n in range(7)], [f"Η πόλη {n}" for n in range(7, 9)]]
DOCUMENTS = list(
    pack([TextPair(f"p{n}", "de", "en", f"Satz {n}.", f"Sentence {n}.") for n in range(9)], RenderConfig(max_chars=120))
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Corpora and their tokens."""
    folder = tmp_path_factory.mktemp("where")
    corpora = [write_corpus(folder / "el", FILES), write_pair_corpus(folder / "de-en", [DOCUMENTS])]
    opened = [open_corpus_folder(corpus) for corpus in corpora]
    made = train_byte_level_bpe(opened, BpeConfig(vocabulary_size=300))
    save_tokenizer(folder / "made", made, "made", "<|endoftext|>", {})
    kept = keep_tokenizer(folder / "tokens", find_tokenizer(folder / "made", None), "uint16")
    config = TokensConfig(validation=ValidationConfig(documents=2))
    for corpus in opened:
        TokensJob(corpus, kept, folder / "tokens", config, CountingRunner()).run()
    return folder


def tokens_of(folder: Path, name: str) -> TokenSource:
    return load_token_source(folder / "tokens" / name)


def test_every_token_leads_to_its_place(folder: Path) -> None:
    source = tokens_of(folder, "el")
    covered: dict[str, int] = {}
    for shard in source.shards:
        told = [token for number in range(shard.sequences) for token in source.open(shard).sequence(number).tolist()]
        for offset, token in enumerate(told):
            place = find_place(folder / "tokens", f"el/{shard.name}:{offset}")
            assert place.token == token
            file, row = int(str(place.document["file"])[:5]), int(str(place.document["row"]))
            text = FILES[file][row]
            assert place.before + place.text + place.after == text
            (record,) = place.records
            assert (record["warc_file"], record["warc_offset"]) == (f"{file}.warc.gz", row)
            assert record["url"] == place.document["url"] == f"https://example.org/{file}/{row}"
            if token == source.tokenizer.eod_id:
                assert (place.before, place.text) == (text, "")
            else:
                assert len(place.before) <= covered.get(text, 0) <= len(place.before + place.text)
                covered[text] = len(place.before + place.text)
    assert covered == {text: len(text) for file in FILES for text in file}


def test_a_token_of_pairs_names_the_pairs(folder: Path) -> None:
    source = tokens_of(folder, "de-en")
    (shard,) = source.of_split("train")
    reader = source.open(shard)
    texts = {document.text: document for document in DOCUMENTS}
    for offset in range(int(reader.lengths[0])):
        place = find_place(folder / "tokens", f"de-en/{shard.name}:{offset}")
        document = texts[place.before + place.text + place.after]
        at = len(place.before)
        inside = _inside(document, at)
        assert place.pairs
        assert set(inside) <= set(place.pairs)
        assert sorted(str(own["record_id"]) for own in place.records) == sorted(place.pairs)
        assert all(own["warc_file"] == "bible.zip" for own in place.records)
        assert len(place.pairs) <= 2


def _inside(document: Document, at: int) -> list[str]:
    return [own.id for own in document.pairs if any(start <= at < end for start, end in (own.src, own.tgt))]


@pytest.mark.parametrize(
    "text", ["", "el", "el/a", "el/a:", "el:3", "/a:3", "el/:3", "el/a:-1", "el/a:٣", "../el/a:1", "el/a:x"]
)
def test_what_names_no_token_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="names no token; write <source>/<shard>:<offset>"):
        parse_token(text)


def test_a_place_is_read(folder: Path) -> None:
    assert parse_token(" el/validation/00000-00000:12 ") == ("el", "validation/00000-00000", 12)


def test_what_is_not_there_is_named(folder: Path) -> None:
    last = tokens_of(folder, "el").shards[0].tokens - 1
    for wanted, message in (
        ("tr/00000-00000:1", "no finished tokens in .*tr"),
        ("el/9:1", "has no shard '9'; it has: 00000-00000"),
        (f"el/00000-00000:{last + 1}", f"the last offset is {last}"),
    ):
        with pytest.raises(UserError, match=message):
            find_place(folder / "tokens", wanted)


@pytest.fixture
def own(folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(folder, tmp_path / "own")


WANTED = "el/00000-00000:3"


def test_a_corpus_that_was_moved_is_found_where_it_is_now(folder: Path, own: Path) -> None:
    found = find_place(own / "tokens", WANTED, own / "el")
    assert found == find_place(folder / "tokens", WANTED)
    with pytest.raises(UserError, match=r"no longer in .*say where it is with CORPUS="):
        find_place(own / "tokens", WANTED, own / "nowhere")


def test_a_corpus_that_was_written_anew_is_refused(own: Path) -> None:
    write_corpus(own / "el", [[f"{text}!" for text in texts] for texts in FILES])
    with pytest.raises(UserError, match="was written anew since it was tokenized"):
        find_place(own / "tokens", WANTED, own / "el")


def test_tokens_that_were_replaced_are_refused(own: Path) -> None:
    source = tokens_of(own, "el")
    reader = source.open(source.shards[0])
    sequences = [reader.sequence(number).copy() for number in range(len(reader))]
    sequences[0][1] ^= 1
    with IndexedWriter(source.prefix(source.shards[0]), "uint16") as writer:
        for sequence in sequences:
            writer.add(sequence)
    with pytest.raises(UserError, match="is not the file that `make tokens` wrote"):
        find_place(own / "tokens", WANTED, own / "el")
    path = source.folder / "tokens.json"  # a probe need not see each byte: as if it had not seen this one
    path.write_text(path.read_text().replace('"bin_probe"', '"other"').replace('"idx_probe"', '"another"'))
    with pytest.raises(UserError, match="does not hold the tokens of"):
        find_place(own / "tokens", WANTED, own / "el")


def test_a_lost_tokenizer_is_missed(own: Path) -> None:
    shutil.rmtree(own / "tokens" / "tokenizer")
    with pytest.raises(UserError, match="has no longer the tokenizer of el"):
        find_place(own / "tokens", WANTED, own / "el")
