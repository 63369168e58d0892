"""Checkpoints of a run: whole or not there, readable on another number of ranks."""
