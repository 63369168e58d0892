"""A run on the workers of a Ray cluster, such as the one that made the corpus: Ray Train starts the processes.

What the workers do is `train.py`'s, as under torchrun: they find each
other through PyTorch's process group, and a run that is started again goes on at its last checkpoint.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ray
from ray.exceptions import RayError
from ray.train import RunConfig as RayRunConfig
from ray.train import ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer
from ray.train.v2.api.exceptions import TrainingFailedError, WorkerGroupError

from configs.errors import UserError
from curation.runner import check_cluster
from pretrain.checkpoint.checkpoint import CheckpointError
from pretrain.run.run_config import RunConfig
from pretrain.run.run_setup import RunOptions
from pretrain.run.spikes import DivergedError
from pretrain.train import train

_PACKAGES = ("configs", "curation", "dedup", "filters", "mixing", "pretrain")
_LOG = logging.getLogger(__name__)
# What would happen again, were the run started again.
_FINAL = (UserError, DivergedError, CheckpointError)


def train_on_cluster(config: RunConfig, options: RunOptions, workers: int, gpus: bool, retries: int) -> None:
    """Train on `workers` processes of the cluster that RAY_ADDRESS names, or of this machine.

    Args:
        config: of the run; its paths are read by all workers, so they lie on a file system that all share.
        options: of the run.
        workers: processes.
        gpus: whether each has a GPU.
        retries: how often the run is started again from its last checkpoint when a worker is lost.

    Raises:
        UserError: the cluster does not answer or has not so many processors or GPUs, or a worker found a mistake.
        DivergedError: too many steps gave no finite loss.
        CheckpointError: a checkpoint could not be written.
        TrainingFailedError: workers were lost more often than that.
    """
    config, options = _absolute(config, options)
    with ray_session():
        _check_room(workers, gpus)
        for left in range(retries, -1, -1):
            trainer = TorchTrainer(
                _worker,
                train_loop_config={"config": config.model_dump_json(), "options": options.model_dump_json()},
                torch_config=TorchConfig(backend="cpu:gloo,cuda:nccl" if gpus else "gloo"),
                scaling_config=ScalingConfig(num_workers=workers, use_gpu=gpus),
                run_config=RayRunConfig(name=config.name, storage_path=str(options.runs / ".ray")),
            )
            try:
                trainer.fit()
                return
            except TrainingFailedError as error:
                if (final := _final(error)) is not None:
                    raise final from None
                if not left:
                    raise
                _LOG.warning("workers were lost; the run goes on at its last checkpoint, %d times more at most", left)


@contextmanager
def ray_session() -> Iterator[None]:
    """Start Ray on this machine, or join the cluster of RAY_ADDRESS; workers get the code that runs here.

    Raises:
        UserError: Ray does not start, or the cluster does not answer.
    """
    if ray.is_initialized():
        yield
        return
    address, root = os.environ.get("RAY_ADDRESS"), Path(__file__).resolve().parents[1]
    # Ray's own usage report and uv hook have no place in a batch job.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    try:
        if address:  # its machines need not have this checkout
            check_cluster(address)
            modules = {"py_modules": [str(root / package) for package in _PACKAGES]}
            ray.init(address, runtime_env=modules, logging_level=logging.ERROR)
        else:
            os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH"))))
            ray.init("local", include_dashboard=False, logging_level=logging.ERROR)
    except (ConnectionError, RayError, RuntimeError, ValueError) as error:
        place = f"the Ray cluster at {address} (RAY_ADDRESS)" if address else "Ray on this machine"
        raise UserError(f"cannot start {place}: {' '.join(str(error).split())[:300]}") from error
    try:
        yield
    finally:
        ray.shutdown()


def _absolute(config: RunConfig, options: RunOptions) -> tuple[RunConfig, RunOptions]:
    """Return both with absolute paths: workers have a working directory of their own."""
    mixture, model = (_whole(options.mixture), _whole(options.model))
    source = config.model.model_copy(update={"path": _whole(config.model.path)})
    plain = {"mixture": _whole(config.mixture), "model": source}
    return (
        config.model_copy(update=plain),
        options.model_copy(update={"runs": _whole(options.runs), "mixture": mixture, "model": model}),
    )


def _whole(path: Path | None) -> Path | None:
    return None if path is None else path.expanduser().absolute()


def _final(error: TrainingFailedError) -> Exception | None:
    """Return what a worker said was wrong, if it is one of the errors that starting again does not mend."""
    for failure in error.worker_failures.values() if isinstance(error, WorkerGroupError) else ():
        own = getattr(failure, "_base_exc", failure)  # Ray wraps what a worker raised, to keep its traceback
        if isinstance(own, _FINAL):
            return own
    return None


def _worker(settings: dict[str, str]) -> None:
    train(RunConfig.model_validate_json(settings["config"]), RunOptions.model_validate_json(settings["options"]))


def _check_room(workers: int, gpus: bool) -> None:
    kind = "GPU" if gpus else "CPU"
    there = int(ray.cluster_resources().get(kind, 0))  # type: ignore[no-untyped-call]
    if there < workers:
        raise UserError(f"the Ray cluster has {there} {kind}s, the run asks for {workers}; ask for fewer workers")
