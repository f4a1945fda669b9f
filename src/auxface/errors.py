"""The one error that means: the input is at fault, and this sentence says what to do."""


class InputError(ValueError):
    """Bad input from the user: a file, row, key or option.

    The message is one sentence that names the place, what was expected and what to do. The command line prints it
    as ``auxface: MESSAGE`` and exits with code 2; in Python it is a :class:`ValueError`.
    """
