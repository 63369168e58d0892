"""Held-out losses where ranks share sequences, heads or layers: each token counts once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mixing.tokens.token_source import TokenSource, load_token_source
from pretrain.evaluate.evaluate import Evaluator
from pretrain.evaluate.evaluation import Evaluation
from pretrain.parallel.layout import Layout
from pretrain.parallel.parallel import build_parts, make_runner
from pretrain.run.run_config import ParallelConfig
from tests.pretrain.evaluate.text_mixture import write_text_mixture
from tests.pretrain.parallel.parallel_steps import PLAIN, QWEN2, on_ranks

SHAPE = QWEN2.model_copy(update={"vocab_size": 300})
LENGTH = 48
CASES = {
    "context and tensor": ParallelConfig(context=2, tensor=2),
    "tensor and data": ParallelConfig(tensor=2),
    "pipeline and data": ParallelConfig(pipeline=2),
    "interleaved and context": ParallelConfig(pipeline=2, context=2, schedule="interleaved"),
    "pipeline and tensor": ParallelConfig(pipeline=2, tensor=2),
}


def evaluate(mixture: Path, cases: dict[str, ParallelConfig]) -> dict[str, Evaluation]:
    """Return what each way of sharing measures, as a run asks for it."""
    return {name: _evaluate(mixture, config) for name, config in cases.items()}


def _evaluate(mixture: Path, config: ParallelConfig) -> Evaluation:
    layout = Layout(config, "cpu")
    parts = build_parts(SHAPE, layout, PLAIN)
    for part in parts:
        part.to_empty(device="cpu")
        part.init_weights(4)
    runner = make_runner(parts, layout, PLAIN, torch.device("cpu"))
    counts = layout.share.context_rank == 0 and layout.share.tensor_rank == 0
    evaluator = Evaluator(mixture, LENGTH, 2, layout.data_rank, layout.data_world)
    return evaluator.run(runner.evaluate, 3, counts=counts)


@pytest.mark.long
def test_each_token_counts_once_however_ranks_share_the_work(tmp_path: Path) -> None:
    """Also where ranks have no sequences of a source left."""
    mixture = write_text_mixture(tmp_path / "mixture")
    folders = [tmp_path / "alone", tmp_path / "four"]
    for folder in folders:
        folder.mkdir()
    alone = on_ranks(evaluate, 1, folders[0], mixture, {"alone": ParallelConfig()})["alone"]
    found = on_ranks(evaluate, 4, folders[1], mixture, CASES)
    assert sum(own.tokens for own in alone.sources) > 100
    for name in CASES:
        for own, one in zip(found[name].sources, alone.sources, strict=True):
            assert (own.source, own.tokens, own.bytes) == (one.source, one.tokens, one.bytes), name
            assert own.nll == pytest.approx(one.nll, rel=1e-5), name


def test_files_of_the_mixture_are_checked_once_however_many_sources_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not all of them again for each source."""
    mixture = write_text_mixture(tmp_path)
    loaded: list[Path] = []

    def counted(folder: Path) -> TokenSource:
        loaded.append(folder)
        return load_token_source(folder)

    monkeypatch.setattr("mixing.mixture.manifest.load_token_source", counted)
    Evaluator(mixture, LENGTH, max_tokens=100)
    assert sorted(path.name for path in loaded) == ["el", "el-news", "en"]
