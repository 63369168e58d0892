"""Tokenizers by path: which are taken, which are refused, and what hostile text cannot do with them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

from configs.errors import UserError
from mixing.tokens.tokenizer_file import find_tokenizer, open_tokenizer

VOCABULARY = {"<unk>": 0, "a": 1, "b": 2, "c": 3}


def save(path: Path, special: tuple[str, ...] = ("<|endoftext|>",), **settings: object) -> Path:
    tokenizer = Tokenizer(models.WordLevel(VOCABULARY, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in special])
    content = json.loads(tokenizer.to_str()) | settings
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def test_a_folder_and_its_file_are_the_same_tokenizer(tmp_path: Path) -> None:
    path = save(tmp_path / "Qwen2" / "tokenizer.json")
    by_file, by_folder = find_tokenizer(path, None), find_tokenizer(path.parent, None)
    assert by_file == by_folder
    assert (by_file.name, by_file.eod, by_file.eod_id, by_file.vocabulary_size) == ("Qwen2", "<|endoftext|>", 4, 5)
    assert by_file.unknown_id == 0
    assert find_tokenizer(save(tmp_path / "el.json"), None).name == "el"


def test_the_end_of_documents_is_found_by_name(tmp_path: Path) -> None:
    path = save(tmp_path / "tokenizer.json", ("<pad>", "</s>"))
    assert find_tokenizer(path, "</s>").eod_id == 5
    with pytest.raises(UserError, match=r"no special token '<\|endoftext\|>'.*'<pad>', '</s>'$"):
        find_tokenizer(path, None)
    with pytest.raises(UserError, match="no special token 'a'"):
        find_tokenizer(path, "a")  # a token, and no special one
    with pytest.raises(UserError, match=r"none$"):
        find_tokenizer(save(tmp_path / "other.json", ()), None)


def test_the_vocabulary_is_as_large_as_its_largest_token(tmp_path: Path) -> None:
    path = save(tmp_path / "tokenizer.json")
    content = json.loads(path.read_text())
    content["model"]["vocab"]["d"] = 70_000
    path.write_text(json.dumps(content))
    assert find_tokenizer(path, None).vocabulary_size == 70_001


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "is no tokenizer.json"), (b"[1, 2]", "is no tokenizer.json"), (None, "no tokenizer at")],
)
def test_what_is_no_tokenizer_is_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        find_tokenizer(tmp_path, None)
    assert "\n" not in str(caught.value)


def test_random_tokens_are_refused(tmp_path: Path) -> None:
    tokenizer = Tokenizer(models.BPE({"a": 0}, [], dropout=0.1))
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(UserError, match=r"dropout of 0\.1"):
        find_tokenizer(tmp_path, None)


def test_what_stands_beside_counts_only_for_the_same_file(tmp_path: Path) -> None:
    path = save(tmp_path / "tokenizer.json", ("</s>",))
    sha256 = find_tokenizer(path, "</s>").sha256
    about = {"name": "mine", "sha256": sha256, "eod": "</s>"}
    (tmp_path / "about.json").write_text(json.dumps(about))
    assert (find_tokenizer(path, None).name, find_tokenizer(path, None).eod) == ("mine", "</s>")
    (tmp_path / "about.json").write_text(json.dumps(about | {"sha256": "0" * 64}))
    assert find_tokenizer(path, "</s>").name == tmp_path.name


def test_a_text_that_spells_a_special_token_has_none(tmp_path: Path) -> None:
    path = save(tmp_path / "tokenizer.json")
    found = find_tokenizer(path, None)
    assert Tokenizer.from_file(str(path)).encode("a <|endoftext|> b").ids == [1, 4, 2]  # what would happen
    assert found.eod_id not in open_tokenizer(path, found.sha256).encode("a <|endoftext|> b").ids


def test_truncation_and_padding_of_the_file_are_ignored(tmp_path: Path) -> None:
    truncation = {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}
    padding = {
        "strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0,
        "pad_token": "<unk>",
    }  # fmt: skip
    path = save(tmp_path / "tokenizer.json", truncation=truncation, padding=padding)
    assert len(Tokenizer.from_file(str(path)).encode("a b c").ids) == 9  # what would happen
    opened = open_tokenizer(path, find_tokenizer(path, None).sha256)
    assert opened.encode("a b c").ids == [1, 2, 3]


def test_a_file_that_is_replaced_meanwhile_is_not_used(tmp_path: Path) -> None:
    path = save(tmp_path / "tokenizer.json")
    with pytest.raises(RuntimeError, match="replaced"):
        open_tokenizer(path, "0" * 64)
