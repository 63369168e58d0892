"""Deduplication over all parts of a job. Read `job.py` first."""
