"""The peer's side of `laser_speed`: laser_encoders 0.0.2 on raw sentences, on one thread.

`python benchmarks/peer_laser.py FOLDER BATCH...`, where FOLDER holds model.pt, model.spm and sentences.txt, and BATCH
are sentences of a batch. It knows nothing of the engine. Prints a line of JSON, processor seconds by batch size, and
writes the embeddings of the last one to FOLDER/peer.npy. With `cuda` as first BATCH it runs on the GPU, in wall time.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
import types
from pathlib import Path


def stand_in_for_fairseq() -> None:
    """Put empty classes where laser_encoders imports fairseq's: LASER2 uses none of them."""
    names = {
        "fairseq.data.dictionary": ["Dictionary"],
        "fairseq.models.transformer": ["Embedding", "TransformerEncoder"],
        "fairseq.modules": ["LayerNorm"],
    }
    for package in ("fairseq", "fairseq.data", "fairseq.models"):
        sys.modules[package] = types.ModuleType(package)
    for module, classes in names.items():
        sys.modules[module] = types.ModuleType(module)
        for name in classes:
            setattr(sys.modules[module], name, type(name, (), {}))


def main() -> None:
    """Encode all sentences once for each batch size."""
    stand_in_for_fairseq()
    import numpy as np
    import torch

    models = importlib.import_module("laser_encoders.models")
    torch.set_num_threads(1)
    folder, sizes = Path(sys.argv[1]), sys.argv[2:]
    gpu = sizes[0] == "cuda"
    clock = time.perf_counter if gpu else time.process_time
    sentences = (folder / "sentences.txt").read_text(encoding="utf-8").splitlines()
    seconds = {}
    for size in sizes[gpu:]:
        encoder = models.SentenceEncoder(folder / "model.pt", int(size), spm_model=folder / "model.spm", cpu=not gpu)
        encoder(sentences[:16])
        start = clock()
        embeddings = encoder(sentences)
        seconds[size] = clock() - start
    np.save(folder / "peer.npy", embeddings)
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
