"""Probes: small files as a whole, large ones by evenly spaced blocks, the first and the last among them."""

from __future__ import annotations

from pathlib import Path

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from mixing.tokens.probe import BLOCK_BYTES, BLOCKS, file_probe

_ALL = BLOCKS * BLOCK_BYTES


@given(st.binary(max_size=300), st.integers(0, 299))
def test_every_byte_of_a_small_file_counts(tmp_path_factory: pytest.TempPathFactory, content: bytes, at: int) -> None:
    path = tmp_path_factory.getbasetemp() / "small"
    path.write_bytes(content)
    before = file_probe(path)
    assert before == xxhash.xxh3_128_hexdigest(len(content).to_bytes(8, "little") + content)
    path.write_bytes(content + b"\0")
    assert file_probe(path) != before
    if at < len(content):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        assert file_probe(path) != before


@pytest.mark.parametrize("size", [_ALL, _ALL + 1, 3 * _ALL + 17])
def test_first_last_and_every_spaced_block_count(tmp_path: Path, size: int) -> None:
    path = tmp_path / "large"
    path.write_bytes(bytes(size))
    before = file_probe(path)
    spaced = [(size - BLOCK_BYTES) * number // (BLOCKS - 1) for number in (1, 31, 62)]
    for at in (0, BLOCK_BYTES - 1, size - BLOCK_BYTES, size - 1, *spaced):
        with path.open("r+b") as file:
            file.seek(at)
            file.write(b"\1")
            file.flush()
            assert file_probe(path) != before, at
            file.seek(at)
            file.write(b"\0")
    assert file_probe(path) == before
    path.write_bytes(bytes(size + 1))
    assert file_probe(path) != before


def test_what_is_between_the_blocks_is_not_read(tmp_path: Path) -> None:
    size = 3 * _ALL
    path = tmp_path / "large"
    path.write_bytes(bytes(size))
    before = file_probe(path)
    with path.open("r+b") as file:
        file.seek(BLOCK_BYTES)  # the second block begins at three times its size
        file.write(b"\1")
    assert file_probe(path) == before
