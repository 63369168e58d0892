"""The peer's side of `laser_speed --encoder laser3`: laser_encoders 0.0.2 with fairseq, on one thread.

`python benchmarks/peer_laser3.py FOLDER BATCH...`, where FOLDER holds model.pt, model.spm, model.cvocab and
sentences.txt, and BATCH are sentences of a batch; the environment is that of requirements-laser3-peer.txt. It knows
nothing of the engine. Prints a line of JSON, processor seconds by batch size, and writes the embeddings of the last one
to FOLDER/peer.npy. With `cuda` as first BATCH it runs on the GPU, in wall time.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from pathlib import Path


def main() -> None:
    """Encode all sentences once for each batch size."""
    import numpy as np
    import torch

    models = importlib.import_module("laser_encoders.models")
    # The checkpoint is our own; laser_encoders reads it as PyTorch's default has it, without such objects.
    torch.serialization.add_safe_globals([argparse.Namespace])
    torch.set_num_threads(1)
    folder, sizes = Path(sys.argv[1]), sys.argv[2:]
    gpu = sizes[0] == "cuda"
    clock = time.perf_counter if gpu else time.process_time
    files = {"spm_model": folder / "model.spm", "spm_vocab": str(folder / "model.cvocab")}
    sentences = (folder / "sentences.txt").read_text(encoding="utf-8").splitlines()
    seconds = {}
    for size in sizes[gpu:]:
        encoder = models.SentenceEncoder(folder / "model.pt", int(size), cpu=not gpu, **files)
        encoder(sentences[:16])
        start = clock()
        embeddings = encoder(sentences)
        seconds[size] = clock() - start
    np.save(folder / "peer.npy", embeddings)
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
