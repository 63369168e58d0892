"""Pairs of texts told as text."""
