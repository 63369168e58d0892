"""A run on the workers of a Ray cluster, such as the one that made the corpus: Ray Train starts the processes.

The only room of this floor that imports Ray. What the workers do is `train.py`'s, as under torchrun: they find each
other through PyTorch's process group, and a run that is started again goes on at its last checkpoint.
"""

from __future__ import annotations

import logging
from pathlib import Path

import ray
from ray.train import FailureConfig, ScalingConfig
from ray.train import RunConfig as RayRunConfig
from ray.train.torch import TorchConfig, TorchTrainer

from configs.errors import UserError
from pretrain.run.run_config import RunConfig
from pretrain.run.run_setup import RunOptions
from pretrain.train import train


def train_on_cluster(config: RunConfig, options: RunOptions, workers: int, gpus: bool, retries: int) -> None:
    """Train on `workers` processes of the cluster that RAY_ADDRESS names, or of this machine.

    Args:
        config: of the run; its paths are read by all workers, so they lie on a file system that all share.
        options: of the run.
        workers: processes.
        gpus: whether each has a GPU.
        retries: how often the run is started again from its last checkpoint when a worker is lost.

    Raises:
        UserError: there are not so many processors or GPUs in the cluster.
    """
    with ray.init(ignore_reinit_error=True, logging_level=logging.WARNING):
        _check_room(workers, gpus)
        trainer = TorchTrainer(
            _worker,
            train_loop_config={"config": config.model_dump_json(), "options": options.model_dump_json()},
            torch_config=TorchConfig(backend="cpu:gloo,cuda:nccl" if gpus else "gloo"),
            scaling_config=ScalingConfig(num_workers=workers, use_gpu=gpus),
            run_config=RayRunConfig(
                name=config.name,
                storage_path=str(Path(options.runs).absolute() / ".ray"),
                failure_config=FailureConfig(max_failures=retries),
            ),
        )
        trainer.fit()


def _worker(settings: dict[str, str]) -> None:
    train(RunConfig.model_validate_json(settings["config"]), RunOptions.model_validate_json(settings["options"]))


def _check_room(workers: int, gpus: bool) -> None:
    kind = "GPU" if gpus else "CPU"
    there = int(ray.cluster_resources().get(kind, 0))  # type: ignore[no-untyped-call]
    if there < workers:
        raise UserError(f"the Ray cluster has {there} {kind}s, the run asks for {workers}; ask for fewer workers")
