"""`mixtures/<name>/`: manifest, slices and report, put there together."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from configs.errors import UserError
from curation.job_folder import locked_output
from curation.store import scratch_folder, write_text_atomically
from mixing.mixture.manifest import MANIFEST_FILE
from mixing.mixture.manifest_schema import Manifest
from mixing.mixture.mixture import MixtureConfig
from mixing.mixture.report_utilization import render_mixture
from mixing.mixture.resolve import resolve_mixture

REPORT_FILE = "report.html"
_SCRATCH = ".scratch"


def write_mixture(config: MixtureConfig, tokens: Path, out: Path, deep: bool = False) -> Manifest:
    """Resolve a mixture and put its folder in place of an earlier one of its name, whole or not at all.

    Args:
        config: the mixture.
        tokens: folder of the sources' token folders.
        out: folder of mixtures.
        deep: read every byte of the tokens and compare checksums; sizes are compared in any case.

    Raises:
        UserError: the mixture cannot be made of these tokens; the line says why, and what would do.
    """
    target = out / config.name
    if target.exists() and not (target / MANIFEST_FILE).is_file():
        raise UserError(f"{target} is in the way: it is no mixture; move it, or choose another name or OUT")
    with locked_output(out):
        shutil.rmtree(out / _SCRATCH, ignore_errors=True)  # what a killed run left there
        with scratch_folder(out / _SCRATCH) as scratch:
            fresh = scratch / config.name
            fresh.mkdir()
            manifest = resolve_mixture(config, tokens, fresh, target, deep)
            text = json.dumps(manifest.model_dump(mode="json"), ensure_ascii=False, indent=1)
            write_text_atomically(fresh / REPORT_FILE, render_mixture(manifest))
            write_text_atomically(fresh / MANIFEST_FILE, text)
            if target.exists():
                os.rename(target, scratch / "replaced")
            os.rename(fresh, target)
    return manifest
