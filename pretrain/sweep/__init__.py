"""Mixture-ratio sweeps: small runs, what they say of the mixture, and the one to pay for. Read `sweep.py` first."""
