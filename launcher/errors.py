"""What can stop a start."""


class CannotStartError(Exception):
    """Its text is the one sentence that the person at the terminal reads: what is wrong and what
    to do about it.
    """


class StopAskedError(Exception):
    """The person asked to stop while something was still starting."""
