"""Token folders and shares -> a mixture manifest."""
