"""Held-out loss and bits per byte: adaptation and forgetting."""
