"""Megatron-LM's own data code as an oracle, where megatron-core is installed: its compiled helpers need no torch."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from types import ModuleType

import pytest


def megatron_helpers() -> ModuleType:
    """Return megatron-core's `helpers_cpp`, loaded by its path; skip the test where there is none."""
    try:
        files = importlib.metadata.files("megatron-core") or []
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("megatron-core is not installed")
    found = [file for file in files if file.name.startswith("helpers_cpp.") and file.suffix == ".so"]
    if not found:
        pytest.skip("megatron-core has no compiled helpers here")
    spec = importlib.util.spec_from_file_location("helpers_cpp", str(found[0].locate()))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
