"""A manifest's stage -> the stream of training sequences."""
