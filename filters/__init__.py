"""What to keep of a text: measures, rules and models. Pure: no files, no clock, no randomness."""
