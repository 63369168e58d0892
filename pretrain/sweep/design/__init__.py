"""From the axes of a sweep to the mixtures that are tried."""
