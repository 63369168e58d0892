"""Parallel sentence pairs: measures and rules, LASER scores."""
