"""Errors that every floor may raise."""


class UserError(Exception):
    """A user's mistake: the job is aborted with one clear line and exit code 2."""
