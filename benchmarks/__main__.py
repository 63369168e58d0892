"""`python -m benchmarks` lists and runs all benchmarks, `python -m benchmarks NAME` one; `list` only lists them."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
NAMES = (
    "corpus_vs_datatrove", "glance_recall", "corpus_growth", "extraction_f1", "lid_ntrex", "measures_speed",
    "judged_pages", "judged_measures", "whatif_million", "substring_vs_suffix_array", "dedup_articles",
    "dedup_s_curve", "dedup_growth", "dedup_million", "parallel_rules", "parallel_vs_opusfilter", "laser_speed",
    "tokenize_speed", "blend_scale", "train_step", "data_wait",
    "sweep_known_optimum", "sweep_four_languages",
)  # fmt: skip


def first_line(name: str) -> str:
    """Return the first line of a script's description, without importing it."""
    text = ast.get_docstring(ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0]


def main() -> int:
    """List the scripts, then run those that are named, or all; return how many failed."""
    chosen, options = sys.argv[1:2], sys.argv[2:]
    for name in NAMES:
        print(f"{name:27}{first_line(name)}", flush=True)
    if chosen == ["list"]:
        return 0
    if chosen and chosen[0] not in NAMES:
        print(f"no benchmark {chosen[0]!r}; there are: {', '.join(NAMES)}", file=sys.stderr)
        return 2
    failed = 0
    for name in chosen or NAMES:
        print(f"\n== {name}", flush=True)
        command = [sys.executable, "-m", f"benchmarks.{name}", *options]
        failed += subprocess.run(command, cwd=FOLDER.parent, check=False).returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main())
