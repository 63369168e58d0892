"""Floor 5: a mixture manifest -> a trained checkpoint. `train.py` is the loop: read it first."""
