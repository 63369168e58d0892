"""Trials on Ray: processes, limits, early stopping, and how each ended."""
