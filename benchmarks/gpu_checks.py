"""All that needs a GPU, in one command: tests of kernels, speeds, loss curves, steps beside the peer, settings.

    python3 -m benchmarks.gpu_checks [--parts tests,curve,kernels,steps,sweep] [--wheels FOLDER] [--minutes 9.5]

It runs from the root of the repository on a machine that has PyTorch and little else, and asks no network: `--wheels`
names a folder with what is missing there. Each part has a limit of time, and what no time is left for is said. All is
written below $OUT, or ./gpu_out. `--device cpu` tries everything on a tiny shape.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TESTS = ("tests/pretrain/parallel/test_step_cuda.py", "tests/pretrain/model/test_attention_cuda.py")
# What is imported, and what is not there without it.
NEEDED = {
    "torch": "everything",
    "numpy": "everything",
    "pydantic": "everything (with pydantic-core, annotated-types, typing-inspection)",
    "yaml": "everything",
    "xxhash": "everything",
    "psutil": "steps, sweep",
    "pytest": "tests",
    "transformers": "the peer of steps",
    "liger_kernel": "the peer of steps",
    "torchao": "bf16 weights and int8 states of the optimizer",
    "flash_attn_interface": "attention: fa3",
    "flash_attn": "the peer's mode flash",
}
# Settings of the 1.5B shape that only a measurement can choose between.
SWEEP = (
    "default", "chunk=2048", "chunk=8192", "keep=no", "split=no", "attention=flex", "recompute=selective",
    "weights=bf16", "weights=bf16/states=int8", "compile=no",
)  # fmt: skip
_TAIL_LINES = 40


def main() -> int:
    """Run the parts in order; return how many failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", default="tests,curve,kernels,steps,sweep")
    parser.add_argument("--case", type=int, action="append", help="of steps, from 0; all by default")
    parser.add_argument("--minutes", type=float, default=9.5, help="for all parts together")
    parser.add_argument("--wheels", type=Path, help="folder of wheels of what is missing")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    options = parser.parse_args()
    out = Path(os.environ.get("OUT") or "gpu_out").absolute()
    out.mkdir(parents=True, exist_ok=True)
    environment = _environment(options.wheels, out)
    if not _report_packages(environment):
        return 1
    ends = time.monotonic() + 60 * options.minutes
    small = options.device == "cpu"
    parts = _parts(options.device, options.case, out)
    if unknown := set(options.parts.split(",")) - {name.partition(" ")[0] for name in parts}:
        parser.error(f"no part {', '.join(sorted(unknown))}")
    failed = 0
    for name, (limit, arguments) in parts.items():
        if name.partition(" ")[0] not in options.parts.split(","):
            continue
        left = ends - time.monotonic()
        if left < min(30, limit):
            print(f"\n== {name}: left out, the time is used up: give it to a call of its own", flush=True)
            failed += 1
            continue
        failed += not _run_part(name, arguments, min(limit, left), environment, out / f"{name.replace(' ', '_')}.log")
    print(f"\n{failed} parts failed or were left out; all output is in {out}" + (", on a CPU" if small else ""))
    return failed


def _parts(device: str, cases: Sequence[int] | None, out: Path) -> dict[str, tuple[float, list[str]]]:
    """Return, by name, the seconds that a part may take, and what it runs."""
    cpu = device == "cpu"
    module = ["-m"]
    steps = [*module, "benchmarks.train_step", "--device", device, "--out", str(out / "steps.jsonl")]
    counts = ["--steps", "2", "--warmup", "1"] if cpu else ["--steps", "8", "--warmup", "3"]
    every = cases or ([0] if cpu else [0, 1, 2])
    sweep = [*steps, *counts, "--rounds", "1", "--ours-only", "--case", "0", "--modes", ",".join(SWEEP)]
    tests = [*module, "pytest", "--noconftest", "-q", "-p", "no:cacheprovider", *TESTS, "-k"]
    return {
        "tests": (150, [*tests, "not flex"]),
        # Each of its forms is compiled.
        "tests flex": (150, [*tests, "flex"]),
        "curve": (150, [*module, "benchmarks.gpu_curve", "--device", device, "--out", str(out / "curve.json")]),
        "kernels": (120, [*module, "benchmarks.gpu_kernels", "--device", device, "--out", str(out / "kernels.jsonl")]),
        **{f"steps {case}": (300.0, [*steps, *counts, "--rounds", "2", "--case", str(case)]) for case in every},
        "sweep": (540, sweep),
    }


def _environment(wheels: Path | None, out: Path) -> dict[str, str]:
    """Install wheels into a folder of their own, and return the environment that finds them."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    if wheels is None:
        return environment
    files = sorted(str(path) for path in wheels.glob("*.whl"))
    # Not below `out`, from where all would be copied back; what is there already stays as it is.
    site = out.parent / f".{out.name}_site"
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--target", str(site), *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"the wheels of {wheels} were not installed: {done.stderr.strip().splitlines()[-1:]}", flush=True)
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
    sys.path.insert(0, str(site))
    importlib.invalidate_caches()
    return environment


def _report_packages(environment: Mapping[str, str]) -> bool:
    """Say what is there and what is not; return whether anything can run."""
    usable = True
    for name, needed_for in NEEDED.items():
        if importlib.util.find_spec(name) is not None:
            print(f"{name:22}{_version(name)}")
            continue
        print(f"{name:22}missing: without it there is not {needed_for}")
        usable &= not needed_for.startswith("everything")
    script = "import torch; print(torch.cuda.get_device_name() if torch.cuda.is_available() else 'no GPU')"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, env=dict(environment)
    )
    print(f"{'device':22}{done.stdout.strip() or done.stderr.strip()[-200:]}", flush=True)
    return usable


def _version(module: str) -> str:
    for name in (module, module.replace("_", "-"), {"yaml": "pyyaml"}.get(module, module)):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "there"


def _run_part(name: str, arguments: Sequence[str], limit: float, environment: Mapping[str, str], log: Path) -> bool:
    """Run a part, all its processes ended at the limit; show the end of what it printed."""
    print(f"\n== {name} (at most {limit:.0f} s)", flush=True)
    began = time.monotonic()
    with log.open("wb") as file:
        part = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=dict(environment),
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code: int | None = part.wait(limit)
        except subprocess.TimeoutExpired:
            os.killpg(part.pid, signal.SIGKILL)
            part.wait()
            code = None
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    print("\n".join(lines[-_TAIL_LINES:]))
    ended = "its time was up" if code is None else f"exit code {code}"
    print(f"-- {name}: {ended}, {time.monotonic() - began:.0f} s", flush=True)
    return code == 0


if __name__ == "__main__":
    sys.exit(main())
