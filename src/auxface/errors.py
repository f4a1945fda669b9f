"""The error for invalid input, which every command reports as one line with exit code 2, and escaping of control
characters."""


class InputError(ValueError):
    """Invalid input from the user: a file, row, key or option.

    The message names the file, row, key or option, and states the value found, what was expected and what to do. The
    command line prints it as ``auxface: MESSAGE`` on standard error and exits with code 2. In Python, the error can be
    caught as a :class:`ValueError`.
    """


def escape_controls(text: str) -> str:
    r"""Return the text with control characters escaped for a terminal, for example as ``\x1b``."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
