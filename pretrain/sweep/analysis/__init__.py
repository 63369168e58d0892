"""What finished trials say: responses, the front, the recommended mixture. Read `analysis.py` first."""
