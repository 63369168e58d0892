"""Strict configuration: the language table, the errors a user can make, every shipped YAML."""
