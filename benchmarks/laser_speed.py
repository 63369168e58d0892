"""LASER's encoders beside laser_encoders: sentences a second on one core, or on a GPU, and agreement.

Both sides read the same checkpoint with random weights and the same SentencePiece model. The checkpoint has the public
shape of LASER2 (5 layers, bidirectional, 320 -> 512, 50,000 pieces), or with `--encoder laser3` the one in the notes on
LASER3's training (12 layers, states of 1,024 numbers, 4 heads, 2,048 between the linear maps, 50,000 pieces). They get
raw sentences of NTREX: normalising, pieces and batches are counted. All sentences are different, so that encoding
equal ones once gains nothing. Each side is a process of its own on one core and one thread; seconds are those of its
processor, as others may use the machine, and on a GPU those of the clock. The sides take turns, and the best round of
each batch size counts.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import sentencepiece

from benchmarks.machine import ROOT, data_folder, describe, one_core, run
from filters.parallel.laser import LaserConfig, LaserEncoder
from filters.parallel.laser_text import TextNormalizer
from filters.parallel.margin import cosine

PEERS = {
    "laser2": Path(os.environ.get("BENCH_LASER_PEER", "/tmp/bench-laser-peer")),
    "laser3": Path(os.environ.get("BENCH_LASER3_PEER", "/tmp/bench-laser3-peer")),
}
PEER_SCRIPTS = {"laser2": "peer_laser.py", "laser3": "peer_laser3.py"}
LANGUAGES = ("deu", "ell", "eng", "fra", "rus", "tur", "zho-CN", "arb")
PIECES = 50_000
LAYERS, EMBEDDING, HIDDEN = 5, 320, 512
LAYERS3, STATE, INNER, HEADS = 12, 1024, 2048, 4
TARGET, AGREEMENT = 2.0, 1e-5
CPU_TOKENS, CPU_BATCHES = (1024, 2048, 4096, 8192), (16, 64, 128)
GPU_TOKENS, GPU_BATCHES = (16_384, 65_536, 262_144), (64, 512, 4096)
# Multiplications and additions of a token: of LASER2 the gates of both directions, of inputs and of the state before;
# of LASER3 the linear maps, without the attention between tokens, which is a hundredth for sentences.
FLOPS = {
    "laser2": 2 * 2 * 4 * HIDDEN * (EMBEDDING + HIDDEN + (LAYERS - 1) * 3 * HIDDEN),
    "laser3": 2 * LAYERS3 * (4 * STATE * STATE + 2 * STATE * INNER),
}

Seconds = dict[str, float]


def prepare(folder: Path, count: int, encoder: str) -> int:
    """Write sentences, pieces and checkpoint; return the tokens of all sentences."""
    lines = []
    for code in LANGUAGES:
        path = sorted((data_folder() / "ntrex" / "NTREX-128").glob(f"newstest2019-*.{code}.txt"))[0]
        lines += path.read_text(encoding="utf-8").split("\n")
    plain = TextNormalizer()
    lines = sorted({" ".join(line.split()) for line in lines} - {""})
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=map(plain, lines),
        model_prefix=str(folder / "model"),
        vocab_size=16_000,
        num_threads=1,
        minloglevel=2,
    )
    (folder / "model.model").rename(folder / "model.spm")
    processor = sentencepiece.SentencePieceProcessor(model_file=str(folder / "model.spm"))
    chosen = random.Random(0).sample(lines, count)
    (folder / "sentences.txt").write_text("".join(f"{line}\n" for line in chosen), encoding="utf-8")
    if encoder == "laser2":
        write_laser2(folder, processor)
    else:
        write_laser3(folder, processor)
    marks = 1 + (encoder == "laser3")
    return sum(len(ids) + marks for ids in processor.encode([plain(line) for line in chosen]))


def write_laser2(folder: Path, processor: sentencepiece.SentencePieceProcessor) -> None:
    """Write a checkpoint of an LSTM."""
    import torch

    torch.manual_seed(0)
    lstm = torch.nn.LSTM(EMBEDDING, HIDDEN, LAYERS, bidirectional=True)
    # Twice PyTorch's initial weights: states then spread over their range, as those of a trained encoder do.
    state = {f"lstm.{name}": 2 * tensor.detach() for name, tensor in lstm.state_dict().items()}
    state["embed_tokens.weight"] = torch.randn(PIECES, EMBEDDING)
    params: dict[str, object] = {
        "num_embeddings": PIECES,
        "padding_idx": 1,
        "embed_dim": EMBEDDING,
        "hidden_size": HIDDEN,
        "num_layers": LAYERS,
        "bidirectional": True,
        "left_pad": True,
        "padding_value": 0.0,
    }
    dictionary = {processor.id_to_piece(i): i + 1 for i in range(3, processor.get_piece_size())}
    torch.save({"params": params, "model": state, "dictionary": dictionary}, folder / "model.pt")


def write_laser3(folder: Path, processor: sentencepiece.SentencePieceProcessor) -> None:
    """Write a checkpoint of a transformer as fairseq writes it, and its vocabulary."""
    import torch

    pieces = [processor.id_to_piece(i) for i in range(3, processor.get_piece_size())]
    pieces += [f"unused{number}" for number in range(PIECES - 4 - len(pieces))]
    (folder / "model.cvocab").write_text("".join(f"{piece} 1\n" for piece in pieces), encoding="utf-8")
    torch.manual_seed(0)
    state = {"version": torch.tensor([3.0]), "embed_tokens.weight": torch.randn(PIECES, STATE) * STATE**-0.5}
    for layer in range(LAYERS3):
        sizes = {f"self_attn.{kind}_proj": (STATE, STATE) for kind in ("q", "k", "v", "out")}
        for name, (inputs, outputs) in (sizes | {"fc1": (STATE, INNER), "fc2": (INNER, STATE)}).items():
            linear = torch.nn.Linear(inputs, outputs)
            state |= {f"layers.{layer}.{name}.{kind}": 2 * own.detach() for kind, own in linear.named_parameters()}
        for name in ("self_attn_layer_norm", "final_layer_norm"):
            state[f"layers.{layer}.{name}.weight"] = 1 + torch.randn(STATE) / 10
            state[f"layers.{layer}.{name}.bias"] = torch.randn(STATE) / 10
    settings = argparse.Namespace(
        sentemb_criterion="cls",
        prepend_bos=True,
        left_pad_source=False,
        encoder_embed_dim=STATE,
        encoder_ffn_embed_dim=INNER,
        encoder_layers=LAYERS3,
        encoder_attention_heads=HEADS,
        max_source_positions=1024,
    )
    torch.save({"cfg": {"model": settings}, "model": state}, folder / "model.pt")


def measure_engine(folder: Path, device: str) -> None:
    """Encode all sentences for each batch size and precision; print seconds as a line of JSON."""
    import torch

    torch.set_num_threads(1)
    gpu = device != "cpu"
    clock = time.perf_counter if gpu else time.process_time
    sentences = (folder / "sentences.txt").read_text(encoding="utf-8").splitlines()
    vocabulary = folder / "model.cvocab" if (folder / "model.cvocab").exists() else None
    seconds: Seconds = {}
    for precision in ("float32", "bfloat16"):
        for tokens in GPU_TOKENS if gpu else CPU_TOKENS:
            config = LaserConfig.model_validate({"device": device, "precision": precision, "batch_tokens": tokens})
            encoder = LaserEncoder(folder / "model.pt", folder / "model.spm", config, vocabulary)
            encoder.encode(sentences[:16])
            start = clock()
            embeddings = encoder.encode(sentences)
            seconds[f"{precision} {tokens}"] = clock() - start
        np.save(folder / f"{precision}.npy", embeddings)
    print(json.dumps(seconds))


def best(rounds: list[Seconds]) -> Seconds:
    """Return the least seconds of each batch size."""
    return {key: min(seconds[key] for seconds in rounds) for key in rounds[0]}


def main() -> int:
    """Run both sides in turn and print rates, ratios and agreement; return 1 where the embeddings do not agree."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", choices=sorted(PEERS), default="laser2")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--sentences", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure_engine(options.measure, options.device)
        return 0
    gpu = options.device != "cpu"
    python = PEERS[options.encoder] / "bin" / "python"
    if not python.is_file():
        raise SystemExit(f"no peer at {python}: see benchmarks/requirements-*-peer.txt, or set BENCH_LASER_PEER")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        tokens = prepare(folder, options.sentences, options.encoder)
        engine = [sys.executable, "-m", "benchmarks.laser_speed", "--device", options.device, "--measure", scratch]
        sizes = ["cuda", *map(str, GPU_BATCHES)] if gpu else list(map(str, CPU_BATCHES))
        peer = [str(python), str(ROOT / "benchmarks" / PEER_SCRIPTS[options.encoder]), scratch, *sizes]
        core = None if gpu else one_core()
        rounds: list[tuple[Seconds, Seconds]] = []
        for _ in range(options.rounds):
            rounds.append((last_line(run(peer, core).output), last_line(run(engine, core).output)))
        ours, reference = (np.load(folder / f"{name}.npy") for name in ("float32", "peer"))
        half = np.load(folder / "bfloat16.npy")
    print(describe("torch", "numpy", "sentencepiece", "sacremoses"))
    of_all = f"{options.sentences:,} sentences, {tokens:,} tokens, best of {options.rounds} rounds"
    print(f"{options.encoder}, {options.device}, {of_all}\n")
    of_peer, of_engine = (best([pair[side] for pair in rounds]) for side in (0, 1))
    fastest = min(of_peer.values())
    print(f"{'':34}{'sentences/s':>12}{'tokens/s':>12}{'GFLOP/s':>10}{'ratio':>8}")
    named = {f"laser_encoders, {size} sentences": seconds for size, seconds in of_peer.items()}
    named |= {f"{key} tokens": seconds for key, seconds in of_engine.items()}
    for name, seconds in named.items():
        rate = tokens / seconds
        sentences_rate = options.sentences / seconds
        billions = rate * FLOPS[options.encoder] / 1e9
        print(f"{name:34}{sentences_rate:12.1f}{rate:12,.0f}{billions:10.1f}{fastest / seconds:8.2f}")
    for precision in ("float32", "bfloat16"):
        ratio = fastest / min(seconds for key, seconds in of_engine.items() if key.startswith(precision))
        verdict = "reached" if ratio >= TARGET else "missed"
        print(f"{precision}: {ratio:.2f} times the peer at its best; target {TARGET:g}: {verdict}")
    distance = float(np.abs(ours - reference).max())
    print(f"float32 and the peer: largest difference {distance:.1e}, of numbers up to {np.abs(reference).max():.2f}")
    difference = float(np.abs(half - reference).max())
    print(f"bfloat16 and the peer: largest difference {difference:.1e}, cosine {cosine(half, reference).min():.6f}")
    return int(distance > AGREEMENT and not gpu)


def last_line(output: str) -> Seconds:
    """Return the JSON of the last line that a side printed."""
    found: Seconds = json.loads(output.strip().splitlines()[-1])
    return found


if __name__ == "__main__":
    sys.exit(main())
