"""From the token stream of a stage to micro-batches, read ahead."""
