"""Steps of a stage: what is in them, on any number of ranks, where a stage ends, and going on after a checkpoint."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import UserError
from mixing.mixture.manifest import read_manifest
from mixing.stream.batch import IGNORED, Batch
from mixing.stream.stage_stream import open_stage, stage_of
from mixing.stream.stream import TokenStream
from pretrain.data.data import StageBatches, StepBatch, plan_steps
from pretrain.model.segments import find_segments
from pretrain.run.run_config import BatchConfig
from tests.mixing.stream.real_tokens import made_tokens, make_mixture, write_tokens

LENGTH = 32
LENGTHS = (9, 1, 40, 2, 33, 17, 5, 70, 12, 3)
# Lengths of the documents of each source.
DOCUMENTS = {"el": LENGTHS * 40 + LENGTHS[::-1] * 30, "en": LENGTHS * 90}
Steps = list[StepBatch]


@pytest.fixture(scope="module")
def mixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a mixture of two sources with stages of both packings, the second one the same as the first."""
    folder = tmp_path_factory.mktemp("data")
    write_tokens(folder / "tokens", "el", [DOCUMENTS["el"][:400], DOCUMENTS["el"][400:]], validation=[10])
    write_tokens(folder / "tokens", "en", [DOCUMENTS["en"]])
    both = {"all": {"share": 1, "sources": ["el", "en"]}}
    stages = {
        "first": {"tokens": 1000, "categories": both},
        "again": {"tokens": 500, "categories": both},
        "packed": {"tokens": 1000, "categories": both, "packing": "best_fit"},
        "long": {"tokens": 4000, "categories": both},
        "long packed": {"tokens": 4000, "categories": both, "packing": "best_fit"},
    }
    make_mixture(folder, **stages)
    return folder / "mixtures" / "m"


def steps_of(mixture: Path, stage: str, count: int | None = None, **settings: object) -> Steps:
    own = {"batch": 4, "micro_batch": 2, **settings}
    with StageBatches(mixture, stage, **own) as batches:  # type: ignore[arg-type]
        return list(islice(batches, count))


def rows_of(steps: Steps, part: str = "tokens") -> list[list[int]]:
    """Return the rows that have documents."""
    found = []
    for step in steps:
        for micro in step.micro:
            real = (micro.sources >= 0).any(1)
            found += getattr(micro, part)[real].tolist()
    return found


def in_turn(ranks: list[list[list[int]]]) -> list[list[int]]:
    """Return the rows of all ranks in the one order: rank r has those at r, r + R, ..."""
    return [row for together in zip(*ranks, strict=True) for row in together]


def read(path: Path, stage: str, sequences: int) -> list[Batch]:
    return list(islice(open_stage(path, stage), sequences))


@pytest.mark.parametrize("stage", ["first", "packed"])
def test_a_token_has_the_next_of_its_document_as_target_and_the_last_has_none(mixture: Path, stage: str) -> None:
    steps = steps_of(mixture, stage)
    rows, targets, documents, sources = (rows_of(steps, part) for part in ("tokens", "targets", "starts", "sources"))
    for number, batch in enumerate(read(mixture, stage, len(rows))):
        segments = batch.sequences[0].segments()
        begins, tokens, wanted, names = [0], [], [], []
        for segment in segments:
            first = segment[0]
            end = first.start + sum(piece.length for piece in segment)
            name = list(DOCUMENTS)[first.source]
            text = made_tokens(name, first.document, DOCUMENTS[name][first.document])
            after = [*text[1:], IGNORED]
            tokens += text[first.start : end]
            wanted += after[first.start : end]
            if len(tokens) < LENGTH or stage == "packed":
                wanted[-1] = IGNORED  # a part of a document that is cut within a sequence, or packed
            begins.append(len(tokens))
            names.append(first.source)
        padding = LENGTH - len(tokens)
        assert rows[number] == tokens + [0] * padding
        assert targets[number] == wanted + [IGNORED] * padding
        assert documents[number] == begins + [LENGTH] * (len(documents[number]) - len(begins))
        assert sources[number] == names + [-1] * (len(sources[number]) - len(names))


@pytest.mark.parametrize("stage", ["first", "packed"])
def test_a_step_tells_what_is_in_it(mixture: Path, stage: str) -> None:
    own = stage_of(read_manifest(mixture), stage)
    names = [source.source for source in own.sources]
    passed = 0
    for step in steps_of(mixture, stage, batch=3):
        micro = step.micro
        assert len(micro) == 2
        assert all(each.tokens.shape == (2, LENGTH) == each.targets.shape for each in micro)
        assert all(each.tokens.dtype == torch.int64 == each.targets.dtype for each in micro)
        assert all(each.starts.dtype == torch.int32 == each.sources.dtype for each in micro)
        assert step.valid_tokens == sum(int((each.targets != IGNORED).sum()) for each in micro)
        counted = dict.fromkeys(names, 0)
        for each in micro:
            lengths = each.starts.diff(dim=1)
            for number, name in enumerate(names):
                counted[name] += int(lengths[each.sources == number].sum())
        assert counted == step.source_tokens
        assert step.tokens == sum(counted.values())
        assert sum(step.source_shares().values()) == pytest.approx(1)
        passed += step.tokens
        assert step.stage_tokens == passed
        # 3 sequences leave a row of 2 x 2 empty.
        assert bool((micro[1].sources[1] == -1).all())
        assert bool((micro[1].targets[1] == IGNORED).all())
        assert micro[1].starts[1].tolist() == [0] + [LENGTH] * (micro[1].starts.shape[1] - 1)


def test_shapes_recur(mixture: Path) -> None:
    for step in steps_of(mixture, "packed"):
        shapes = {micro.starts.shape for micro in step.micro}
        assert len(shapes) == 1
        documents = next(iter(shapes))[1] - 1
        assert documents >= 16
        assert documents & (documents - 1) == 0
        for micro in step.micro:
            segments = find_segments(micro.starts, LENGTH)
            assert bool((segments.positions[:, 0] == 0).all())
            first = micro.starts[0].tolist()
            told = [segments.documents[0].tolist().count(number) for number in range(documents)]
            assert told == [end - begin for begin, end in pairwise(first)]


def test_many_short_documents_get_the_next_power_of_two(tmp_path: Path) -> None:
    write_tokens(tmp_path / "tokens", "el", [[1] * 40 + [2] * 60])
    make_mixture(tmp_path, only={"tokens": 96, "categories": {"all": {"share": 1, "sources": ["el"]}}})
    steps = steps_of(tmp_path / "mixtures" / "m", "only", batch=1, micro_batch=1)
    most = [int((micro.starts[0] < LENGTH).sum()) for step in steps for micro in step.micro]
    assert max(most) > 16
    padded = [micro.starts.shape[1] - 1 for step in steps for micro in step.micro]
    assert padded == [max(16, 1 << (count - 1).bit_length()) for count in most]


@pytest.mark.parametrize("stage", ["long", "long packed"])
@settings(max_examples=25)
@given(world=st.integers(1, 5), batch=st.integers(1, 4), micro=st.integers(1, 5), resume=st.integers(0, 3))
def test_ranks_together_have_the_one_order_of_sequences_whatever_their_number(
    mixture: Path, stage: str, world: int, batch: int, micro: int, resume: int
) -> None:
    def all_ranks(count: int, state: dict[str, object] | None = None) -> list[Steps]:
        settings = {"batch": batch, "micro_batch": micro, "world": world, "state": state}
        return [steps_of(mixture, stage, count, rank=rank, **settings) for rank in range(world)]

    begun = all_ranks(resume) if resume else [[] for _ in range(world)]
    state = begun[0][-1].state if resume else None
    assert all(own[-1].state == state for own in begun if own)
    # Going on with the same steps on one rank, which has all sequences.
    whole = steps_of(mixture, stage, 2, batch=batch * world, micro_batch=micro, state=json.loads(json.dumps(state)))
    ranks = all_ranks(2, state)
    expected = [batch.tokens[0, :LENGTH].tolist() for batch in read(mixture, stage, (resume + 2) * batch * world)]
    assert in_turn([rows_of(own) for own in begun]) == expected[: resume * batch * world]
    assert rows_of(whole) == expected[resume * batch * world :][: len(rows_of(whole))]
    assert in_turn([rows_of(own) for own in ranks]) == rows_of(whole)
    assert in_turn([rows_of(own, "targets") for own in ranks]) == rows_of(whole, "targets")
    for step, own in zip(whole, zip(*ranks, strict=True), strict=True):
        assert {json.dumps(each.state) for each in own} == {json.dumps(step.state)}
        assert {each.stage_tokens for each in own} == {step.stage_tokens}
        assert {json.dumps(each.source_tokens) for each in own} == {json.dumps(step.source_tokens)}
        assert sum(each.tokens for each in own) == step.tokens
        assert sum(each.valid_tokens for each in own) == step.valid_tokens


@pytest.mark.parametrize("stage", ["first", "packed"])
def test_a_stage_ends_with_the_step_that_reaches_its_budget(mixture: Path, stage: str) -> None:
    own = stage_of(read_manifest(mixture), stage)
    config = BatchConfig(tokens=3 * 2 * LENGTH + 5, micro_tokens=LENGTH)
    plan = plan_steps(config, own, 2)
    assert (plan.sequences, plan.micro_batch, plan.tokens) == (3, 1, 192)
    steps = steps_of(mixture, stage, batch=plan.sequences, micro_batch=plan.micro_batch, world=2, rank=1)
    over = steps[-1].stage_tokens - own.tokens
    assert 0 <= over < plan.tokens
    assert steps[-2].stage_tokens < own.tokens
    if stage == "first":
        assert len(steps) == plan.steps == 6
        assert over == 6 * 192 - 1000
    else:
        assert len(steps) >= plan.steps
    ended = steps_of(mixture, stage, batch=3, world=2, rank=0, state=steps[-1].state)
    assert ended == []


def test_a_stage_like_the_one_before_begins_with_no_tokens_and_goes_on_with_the_sources(mixture: Path) -> None:
    before = steps_of(mixture, "first")
    steps = steps_of(mixture, "again", state=before[-1].state)
    assert steps[0].stage_tokens == 128
    assert [step.stage_tokens for step in steps] == [128, 256, 384, 512]
    count = 4 * (len(before) + len(steps))
    expected = [batch.tokens[0, :LENGTH].tolist() for batch in read(mixture, "first", count)]
    assert rows_of(before) + rows_of(steps) == expected
    resumed = steps_of(mixture, "again", state=steps[1].state)
    assert [step.stage_tokens for step in resumed] == [384, 512]
    assert rows_of(resumed) == rows_of(steps[2:])


def test_a_state_that_is_none_is_refused(mixture: Path) -> None:
    state = steps_of(mixture, "first", 1)[0].state
    for wrong in ({}, {**state, "stage_tokens": -1}, {**state, "stream": {"seed": 3}}, {**state, "more": 1}):
        with pytest.raises(UserError, match="the state of the data"):
            steps_of(mixture, "first", 1, state=wrong)
    stream = state["stream"]
    assert isinstance(stream, dict)
    with pytest.raises(UserError, match="seed"):
        steps_of(mixture, "first", 1, state={**state, "stream": {**stream, "seed": 4}})
    with pytest.raises(UserError, match="has no stage 'third'; it has: first, again, packed,"):
        steps_of(mixture, "third", 1)


def test_an_error_while_reading_reaches_the_trainer_and_leaves_no_thread(
    mixture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = TokenStream.__next__
    read_batches: Iterator[int] = iter(range(100))

    def breaking(self: TokenStream) -> Batch:
        if next(read_batches) == 3:
            raise UserError("cannot read the token shard el; make it again")
        return original(self)

    monkeypatch.setattr(TokenStream, "__next__", breaking)
    batches = StageBatches(mixture, "first", 4, 2, prefetch=1)
    assert len([next(batches) for _ in range(3)]) == 3
    with pytest.raises(UserError, match=r"^cannot read the token shard el; make it again$"):
        next(batches)
    batches.close()
    assert "read-ahead" not in [thread.name for thread in threading.enumerate()]


@given(
    tokens=st.integers(1, 10_000), micro=st.integers(1, 2_000), world=st.integers(1, 9), budget=st.integers(1, 100_000)
)
def test_a_plan_shares_a_step_among_the_ranks(mixture: Path, tokens: int, micro: int, world: int, budget: int) -> None:
    stage = stage_of(read_manifest(mixture), "first").model_copy(update={"tokens": budget})
    config = BatchConfig(tokens=tokens, micro_tokens=micro)
    if tokens < LENGTH * world:
        with pytest.raises(UserError, match=f"of {world} data ranks takes {LENGTH * world:,}: raise batch.tokens"):
            plan_steps(config, stage, world)
        return
    plan = plan_steps(config, stage, world)
    assert plan.tokens == plan.sequences * LENGTH * world
    assert plan.tokens <= tokens < plan.tokens + LENGTH * world
    assert (plan.steps - 1) * plan.tokens < budget <= plan.steps * plan.tokens
    assert 1 <= plan.micro_batch <= max(1, micro // LENGTH)
    fewest = -(-plan.sequences // max(1, micro // LENGTH))
    assert -(-plan.sequences // plan.micro_batch) == fewest, "no more micro-batches than memory asks for"
    assert fewest * (plan.micro_batch - 1) < plan.sequences, "no smaller ones would do"
