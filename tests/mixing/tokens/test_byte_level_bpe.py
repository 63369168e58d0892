"""The tokenizer of the house: the same one whatever the order, the threads and the process, and it tells every text."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from tokenizers import Tokenizer

from mixing.tokens.byte_level_bpe import BpeConfig, save_tokenizer, train_byte_level_bpe, training_facts
from mixing.tokens.corpus_folder import CorpusFolder, open_corpus_folder
from mixing.tokens.tokenizer_file import find_tokenizer
from tests.mixing.tokens.finished_corpora import write_corpus
from tests.strategies import ANY_TEXT

GREEK = [
    f"Ο φάρος αριθμός {n} ανάβει μόνος του κάθε {n % 7} νύχτες, και το σπίτι του φύλακα μένει άδειο." for n in range(60)
]
TURKISH = [
    f"Denizin kıyısındaki {n} numaralı ev, {n % 5} yıldır boş duruyor; bahçesinde incir ağaçları var."
    for n in range(60)
]
SMALL = BpeConfig(vocabulary_size=400)


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> list[CorpusFolder]:
    folder = tmp_path_factory.mktemp("corpora")
    write_corpus(folder / "el", [GREEK[:30], GREEK[30:]])
    write_corpus(folder / "tr", [TURKISH], "tr")
    return [open_corpus_folder(folder / "el"), open_corpus_folder(folder / "tr")]


@pytest.fixture(scope="module")
def trained(corpora: list[CorpusFolder]) -> Tokenizer:
    return train_byte_level_bpe(corpora, SMALL)


def test_the_order_of_files_and_corpora_does_not_matter(
    corpora: list[CorpusFolder], trained: Tokenizer, tmp_path: Path
) -> None:
    assert train_byte_level_bpe(corpora[::-1], SMALL).to_str() == trained.to_str()
    other = [
        open_corpus_folder(write_corpus(tmp_path / "el", [GREEK[45:], GREEK[:45]])),
        open_corpus_folder(write_corpus(tmp_path / "tr", [TURKISH[20:], TURKISH[:20]], "tr")),
    ]
    assert train_byte_level_bpe(other, SMALL).to_str() == trained.to_str()


@pytest.mark.parametrize("threads", ["1", "4"])
def test_another_process_makes_the_same_one(corpora: list[CorpusFolder], trained: Tokenizer, threads: str) -> None:
    script = (
        "import sys, hashlib; from pathlib import Path\n"
        "from mixing.tokens.byte_level_bpe import BpeConfig, train_byte_level_bpe\n"
        "from mixing.tokens.corpus_folder import open_corpus_folder\n"
        "own = [open_corpus_folder(Path(name)) for name in sys.argv[1:]]\n"
        "made = train_byte_level_bpe(own, BpeConfig(vocabulary_size=400))\n"
        "print(hashlib.sha256(made.to_str().encode()).hexdigest())\n"
    )
    names = [str(corpus.folder) for corpus in corpora]
    settings = {**os.environ, "RAYON_NUM_THREADS": threads, "PYTHONHASHSEED": threads}
    done = subprocess.run(
        [sys.executable, "-c", script, *names], env=settings, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == hashlib.sha256(trained.to_str().encode()).hexdigest()


@given(ANY_TEXT.map(lambda text: text.encode("utf-8", "replace").decode("utf-8")))
def test_every_text_comes_back(trained: Tokenizer, text: str) -> None:
    assert trained.decode(trained.encode(text).ids, skip_special_tokens=False) == text


def test_the_vocabulary_has_the_size_that_is_asked_for(trained: Tokenizer) -> None:
    assert trained.get_vocab_size() == 400
    assert trained.token_to_id("<|endoftext|>") == 0


def test_words_with_marks_stay_whole(trained: Tokenizer) -> None:
    assert trained.pre_tokenizer is not None
    pieces = trained.pre_tokenizer.pre_tokenize_str("हिन्दी में 12345")
    assert [place for _, place in pieces] == [(0, 6), (6, 10), (10, 14), (14, 16)]


def test_each_corpus_gives_an_equal_part_of_the_sample(tmp_path: Path) -> None:
    """So a small language is not drowned: of the large corpus a part is read, of the small one all."""
    large = write_corpus(tmp_path / "tr", [[f"{text} {n}" for n in range(8) for text in TURKISH]], "tr")
    small = write_corpus(tmp_path / "el", [GREEK])
    found = [open_corpus_folder(large), open_corpus_folder(small)]
    size = found[1].utf8_bytes
    assert size is not None
    made = train_byte_level_bpe(found, BpeConfig(vocabulary_size=400, sample_bytes=2 * size))
    alone = train_byte_level_bpe(found[:1], BpeConfig(vocabulary_size=400))
    greek = [len(tokenizer.encode(" ".join(GREEK)).ids) for tokenizer in (made, alone)]
    assert greek[0] < 0.7 * greek[1]


def test_what_is_saved_says_where_it_came_from(corpora: list[CorpusFolder], trained: Tokenizer, tmp_path: Path) -> None:
    save_tokenizer(tmp_path / "made", trained, "mine", "<|endoftext|>", training_facts(corpora, SMALL))
    found = find_tokenizer(tmp_path / "made", None)
    assert (found.name, found.eod_id, found.vocabulary_size, found.unknown_id) == ("mine", 0, 400, None)
    about = json.loads((tmp_path / "made" / "about.json").read_text())
    assert about["trained_on"] == {corpus.name: corpus.summary_sha256 for corpus in corpora}
    assert about["config"]["vocabulary_size"] == 400
