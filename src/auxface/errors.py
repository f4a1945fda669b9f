"""The error of bad input, which every command turns into one line and exit code 2."""


class InputError(ValueError):
    """Bad input from the user: a file, row, key or option.

    The message names the place, the value found, what was expected and what to do. The command line prints it as
    ``auxface: MESSAGE`` on standard error and exits with code 2. In Python it is a :class:`ValueError`.
    """
