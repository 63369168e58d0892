"""A manifest for other trainers."""
