"""What the filters of a package raise; copied beside them in place of the program's own module.

The program collects such problems for its callers. In an application that renders by itself they are errors.
"""


class Wrong(ValueError):  # noqa: N818 - the filters know it by this name
    """A filter cannot use its value."""


def variable(code: str, path: str, cause: str, fix: str) -> str:  # noqa: ARG001 - as the program's own
    """Say what is wrong with a variable."""
    return f"{path or 'a value'} {cause}"


def missing_value(path: str) -> Wrong:
    """Return the error for a value that is not there."""
    return Wrong(f"{path or 'a value'} is missing")


def null_value(path: str) -> Wrong:
    """Return the error for ``None`` where something is printed."""
    return Wrong(f"{path or 'a value'} is None")
