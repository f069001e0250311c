"""``postroom templates``: what the author of templates works with.

Everything that looks at files compiles and renders in this process, with the functions of the server.
"""

import typer

app = typer.Typer(
    help="Write, look at, check and pack templates.", no_args_is_help=True, rich_markup_mode=None
)


@app.callback()
def group() -> None:
    """Write, look at, check and pack templates."""
