"""The error for invalid input, which every command reports as one line with exit code 2."""


class InputError(ValueError):
    """Invalid input from the user: a file, row, key or option.

    The message names the place, the value found, what was expected and what to do. The command line prints it as
    ``auxface: MESSAGE`` on standard error and exits with code 2. In Python it is a :class:`ValueError`.
    """
