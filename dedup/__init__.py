"""Signatures, candidate pairs and clusters of duplicate documents. Pure: arrays and strings in, verdicts out."""
