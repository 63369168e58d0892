"""Measurements of the engine beside its peers: `python -m benchmarks list` names them; docs/benchmarks.md reports."""
