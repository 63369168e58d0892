"""The held-out loss: numbers counted by hand, every sequence once whatever the ranks, and ranks with nothing to do."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.multiprocessing.spawn import spawn

from mixing.mixture.manifest import read_manifest
from mixing.tokens.tokenizer_file import open_tokenizer
from pretrain.data.micro_batch import MicroBatch
from pretrain.evaluate.evaluate import Evaluator
from pretrain.evaluate.evaluation import Evaluation
from pretrain.model.loss import IGNORED
from pretrain.model.model import Decoder
from pretrain.model.model_config import ModelConfig
from tests.mixing.stream.real_tokens import make_mixture, write_tokens
from tests.pretrain.evaluate.text_mixture import TEXTS, write_text_mixture

LENGTH = 48
SHAPE = ModelConfig(
    family="qwen3", vocab_size=300, hidden_size=16, intermediate_size=24, layers=2, heads=2, kv_heads=1, head_dim=8,
    qk_norm=True,
)  # fmt: skip


@pytest.fixture(scope="module")
def mixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_text_mixture(tmp_path_factory.mktemp("evaluate"))


def tokenizer_of(mixture: Path) -> Tokenizer:
    file = mixture.parents[1] / "tokens" / "tokenizer" / "tokenizer.json"
    return open_tokenizer(file, read_manifest(mixture).tokenizer.sha256)


@pytest.fixture(scope="module")
def documents(mixture: Path) -> dict[str, list[list[int]]]:
    """Return the tokens of the held-out texts by source, with their ends."""
    tokenizer = tokenizer_of(mixture)
    end = read_manifest(mixture).tokenizer.eod_id
    return {name: [[*tokenizer.encode(text).ids, end] for text in texts] for name, (_, texts) in TEXTS.items()}


def tiny_model() -> Decoder:
    model = Decoder(SHAPE)
    model.init_weights(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(5)
    return model


class OfModel:
    """The losses that a model has."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def __call__(self, micro: MicroBatch) -> Tensor:
        self.model(micro.tokens, micro.starts, micro.targets)
        assert isinstance(self.model.last_nll, Tensor)
        return self.model.last_nll


def uniform(micro: MicroBatch) -> Tensor:
    """Return the losses of a model that knows nothing."""
    return (micro.targets != IGNORED).double() * math.log(300)


def parts(document: list[int]) -> list[list[int]]:
    """Return a document as it is packed: whole, or what is over first and then whole sequences."""
    first = len(document) % LENGTH or LENGTH
    begins = [0, *range(first, len(document), LENGTH)]
    return [document[begin:end] for begin, end in zip(begins, [*begins[1:], len(document)], strict=True)]


def test_a_model_that_knows_nothing_needs_the_bits_of_a_vocabulary_for_each_token(
    mixture: Path, documents: dict[str, list[list[int]]]
) -> None:
    found = Evaluator(mixture, LENGTH, micro_batch=2).run(uniform, step=7)
    assert found.step == 7
    assert [(own.source, own.language, own.category) for own in found.sources] == [
        ("el", "el", "low"), ("el-news", "el", "low"), ("en", "en", "high"),
    ]  # fmt: skip
    tokenizer, eod = tokenizer_of(mixture), read_manifest(mixture).tokenizer.eod_id
    for own in found.sources:
        pieces = [part for document in documents[own.source] for part in parts(document)]
        assert own.tokens == sum(len(part) - 1 for part in pieces)
        # The text, but the first token of each document or part of one: that is not predicted.
        whole = sum(len(text.encode()) for text in TEXTS[own.source][1])
        # A byte-level token is written with a letter for each byte.
        firsts = [tokenizer.id_to_token(part[0]) or "" for part in pieces if part[0] != eod]
        assert own.bytes == whole - sum(len(token) for token in firsts)
        assert own.bits_per_byte == pytest.approx(math.log2(300) * own.tokens / own.bytes, rel=1e-14)
        assert own.loss == pytest.approx(math.log(300), rel=1e-14)
    greek, english = found.languages()
    assert (greek.language, english.language) == ("el", "en")
    assert greek.tokens == found.sources[0].tokens + found.sources[1].tokens
    assert greek.bytes == found.sources[0].bytes + found.sources[1].bytes
    assert english.bits_per_byte == found.sources[2].bits_per_byte


@torch.no_grad()
def test_losses_are_those_of_each_document_alone(mixture: Path, documents: dict[str, list[list[int]]]) -> None:
    model = tiny_model()
    found = Evaluator(mixture, LENGTH, micro_batch=3).run(OfModel(model), step=0)
    for own in found.sources:
        expected = 0.0
        for part in (part for document in documents[own.source] for part in parts(document)):
            tokens = torch.tensor([part])
            logits = model(tokens, torch.tensor([[0, len(part)]], dtype=torch.int32))
            expected += float(F.cross_entropy(logits[0, :-1], tokens[0, 1:], reduction="sum"))
        assert own.nll == pytest.approx(expected, rel=1e-5)
    assert len({round(own.loss or 0, 3) for own in found.sources}) == 3, "otherwise the sources could be mixed up"


def test_an_evaluation_is_the_same_each_time(mixture: Path) -> None:
    evaluator = Evaluator(mixture, LENGTH, micro_batch=2)
    model = OfModel(tiny_model())
    assert evaluator.run(model, step=0) == evaluator.run(model, step=0)
    assert evaluator.run(model, step=0) == Evaluator(mixture, LENGTH, micro_batch=2).run(model, step=0)


@settings(max_examples=15)
@given(
    world=st.integers(1, 6), micro=st.integers(1, 4), most=st.none() | st.integers(1, 400), length=st.integers(4, 60)
)
def test_ranks_together_read_the_same_sequences_once(
    mixture: Path, world: int, micro: int, most: int | None, length: int
) -> None:
    def rows(evaluator: Evaluator) -> list[tuple[int, tuple[int, ...], tuple[int, ...]]]:
        found = []
        for batch in evaluator.read():
            tokens, targets = batch.micro.tokens.tolist(), batch.micro.targets.tolist()
            assert len(tokens) == micro or evaluator is alone
            for row, wanted, source in zip(tokens, targets, batch.micro.sources[:, 0].tolist(), strict=True):
                if source == 0:
                    found.append((batch.source, tuple(row), tuple(wanted)))
                else:
                    assert set(wanted) == {IGNORED}
        return found

    alone = Evaluator(mixture, length, 1, max_tokens=most)
    ranks = [Evaluator(mixture, length, micro, rank, world, most) for rank in range(world)]
    expected = rows(alone)
    assert Counter(row for rank in ranks for row in rows(rank)) == Counter(expected)
    shapes = [[(batch.source, batch.micro.tokens.shape) for batch in rank.read()] for rank in ranks]
    assert all(own == shapes[0] for own in shapes), "all ranks call the model as often, with the same shapes"
    counted = [[sum(part) for part in zip(*((b.tokens, b.bytes) for b in rank.read()), strict=True)] for rank in ranks]
    whole = [sum(part) for part in zip(*((b.tokens, b.bytes) for b in alone.read()), strict=True)]
    assert [sum(part) for part in zip(*counted, strict=True)] == whole


def test_a_limit_cuts_by_whole_sequences(mixture: Path, documents: dict[str, list[list[int]]]) -> None:
    sizes: dict[int, list[int]] = {}
    for batch in Evaluator(mixture, LENGTH).read():
        ends = batch.micro.starts[0][1:][batch.micro.sources[0] == 0]
        sizes.setdefault(batch.source, []).append(int(ends[-1]))
    assert [sum(own) for own in sizes.values()] == [sum(map(len, own)) for own in documents.values()]
    for limit in (1, sizes[0][0], sizes[0][0] + sizes[0][1] - 1, sizes[0][0] + sizes[0][1], 10**6):
        read = Counter(batch.source for batch in Evaluator(mixture, LENGTH, max_tokens=limit).read())
        for source, own in sizes.items():
            fitting = sum(sum(own[: count + 1]) <= limit for count in range(len(own)))
            assert read[source] == max(1, fitting)


def test_what_does_not_count_is_not_counted(mixture: Path) -> None:
    evaluator = Evaluator(mixture, LENGTH)
    for found in (evaluator.run(lambda micro: None, 0), evaluator.run(uniform, 0, counts=False)):
        assert [(own.tokens, own.bytes, own.nll) for own in found.sources] == [(0, 0, 0.0)] * 3
        assert [own.loss for own in found.sources] == [own.bits_per_byte for own in found.sources] == [None] * 3
    with pytest.raises(ValueError, match=r"losses of shape \(\) for \(1, 48\) targets"):
        evaluator.run(lambda micro: uniform(micro).sum(), 0)
    with pytest.raises(ValueError, match="no process group"):
        Evaluator(mixture, LENGTH, 1, 0, 2).run(uniform, 0)


def test_a_loss_that_is_not_finite_says_so(mixture: Path) -> None:
    def broken(micro: MicroBatch) -> Tensor:
        return uniform(micro) * (math.nan if bool((micro.tokens == 0).all()) else math.inf)

    found = Evaluator(mixture, LENGTH).run(broken, 0)
    assert [(own.nll, own.loss, own.bits_per_byte) for own in found.sources] == [(None, None, None)] * 3
    assert all(own.tokens > 0 for own in found.sources)
    assert Evaluation.from_json(found.to_json(), "evaluation") == found


def test_a_mixture_without_held_out_texts_has_an_empty_evaluation(tmp_path: Path) -> None:
    write_tokens(tmp_path / "tokens", "el", [[50] * 4])
    make_mixture(tmp_path, only={"tokens": 100, "categories": {"all": {"share": 1, "sources": ["el"]}}})
    found = Evaluator(tmp_path / "mixtures" / "m", LENGTH).run(uniform, 3)
    assert found == Evaluation(step=3, sources=())
    assert found.languages() == ()


def _evaluate_sharded(rank: int, world: int, mixture: Path, results: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{results}/meet", rank=rank, world_size=world)
    model = tiny_model()
    for block in model.layers.values():
        fully_shard(block)
    fully_shard(model)
    found = Evaluator(mixture, LENGTH, 2, rank, world).run(OfModel(model), step=5)
    (results / f"{rank}.json").write_text(found.model_dump_json())
    # Of ranks that read the same sequences one counts: here all read all.
    same = Evaluator(mixture, LENGTH, 2).run(OfModel(model), step=5, counts=rank == 1)
    (results / f"{rank}.same.json").write_text(same.model_dump_json())
    dist.destroy_process_group()


def test_ranks_with_no_sequences_left_take_part_where_the_model_is_sharded(mixture: Path, tmp_path: Path) -> None:
    world = 2
    expected = Evaluator(mixture, LENGTH).run(OfModel(tiny_model()), step=5)
    sequences = Counter(batch.source for batch in Evaluator(mixture, LENGTH).read())
    assert min(sequences.values()) < world < max(sequences.values()), "some rank has nothing of a source"
    spawn(_evaluate_sharded, (world, mixture, tmp_path), nprocs=world)  # type: ignore[no-untyped-call]
    texts = [(tmp_path / f"{rank}{kind}.json").read_text() for rank in range(world) for kind in ("", ".same")]
    assert texts[0::2] == texts[:1] * world, "all ranks get the same result"
    for text in texts:
        for own, one in zip(Evaluation.model_validate_json(text).sources, expected.sources, strict=True):
            assert (own.source, own.tokens, own.bytes) == (one.source, one.tokens, one.bytes)
            assert own.nll == pytest.approx(one.nll, rel=1e-5)
