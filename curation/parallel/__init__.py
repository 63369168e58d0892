"""Parallel corpora: from OPUS and CCAligned files to filtered pairs and documents."""
