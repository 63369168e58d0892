"""How much memory a piece of code takes at its peak, measured in a process of its own."""

import subprocess
import sys
from pathlib import Path

_MEASURE = """
import re, sys
{imports}

def status(field):
    return int(re.search(field + r":\\s+(\\d+) kB", open("/proc/self/status").read())[1]) / 1024

before = status("VmRSS")
{code}
print("GROWTH", status("VmHWM") - before)
"""


def peak_growth_mb(imports: str, code: str, *arguments: str) -> float:
    """Return by how many megabytes the process grew at its peak while it ran `code`, after `imports`."""
    script = _MEASURE.format(imports=imports, code=code)
    run = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return float(run.stdout.split("GROWTH")[1])
