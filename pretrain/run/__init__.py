"""What a run is configured with, what it writes about itself, and when it stops."""
