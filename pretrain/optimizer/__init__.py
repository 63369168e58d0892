"""AdamW, in full or in lower precision."""
