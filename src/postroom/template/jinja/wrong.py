"""What a rendering stops with: one problem, raised through Jinja and caught by who rendered."""

from postroom.errors import Problem


class Wrong(Exception):  # noqa: N818 - it is not an error of the program; it never leaves the rendering
    """A value or the template is wrong."""

    def __init__(self, problem: Problem) -> None:
        """Take the problem to show."""
        super().__init__(problem.cause)
        self.problem = problem


def variable(code: str, path: str, cause: str, fix: str) -> Problem:
    """Return a problem with a variable; ``path`` is as the template says it, empty when nobody knows."""
    return Problem(code=code, field=f"variables.{path}" if path else "variables", cause=cause, fix=fix)


def missing_value(path: str) -> Wrong:
    """Return the error for a value that is not there."""
    is_global = path.startswith("_")
    fix = "Set it under [templates.globals], or give it with the mail." if is_global else "Give it a value."
    return Wrong(variable("variable-missing", path, "is missing, and the template uses it", fix))


def null_value(path: str) -> Wrong:
    """Return the error for ``null`` where something is printed."""
    return Wrong(
        variable("variable-missing", path, "is null, and the template prints it", "Give it a value.")
    )


def wrong_value(path: str, cause: str) -> Wrong:
    """Return the error for a value of the wrong kind."""
    return Wrong(variable("variable-type", path, cause, "Give a value of the kind that is used."))


def empty_link(path: str) -> Wrong:
    """Return the error for a link that leads nowhere."""
    return Wrong(
        variable("link-empty", path, "is empty, and a link or an image is made of it", "Give a whole URL.")
    )


def script_link(path: str) -> Wrong:
    """Return the error for a link that runs a script."""
    return Wrong(variable("link-script", path, "is a script or a page in itself", "Give the URL of a page."))


def crossed(cause: str) -> Wrong:
    """Return the error for a bound that was crossed."""
    return Wrong(
        Problem(
            code="template-limit",
            field="template",
            cause=cause,
            fix="Give the template less to do: fewer items, shorter values.",
        )
    )


def forbidden(cause: str) -> Wrong:
    """Return the error for a template that does what it may not."""
    return Wrong(Problem(code="template-error", field="template", cause=cause, fix="Correct the template."))
