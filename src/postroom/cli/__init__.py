"""The command line: ``postroom serve``, and small clients of a running server.

Every command but ``serve`` talks HTTP to the server it finds by ``POSTROOM_URL`` and ``POSTROOM_API_KEY``,
else by ``cli.key`` in the data directory. People get words, ``--json`` gives one JSON value; exit codes are
in ``exits``. Commands import what they need when they run, so that ``--help`` answers at once.
"""

import sys


def main() -> None:
    """Run the program; this is the entry point ``postroom``."""
    from postroom.cli.app import run  # noqa: PLC0415 - the entry point stays importable for nothing

    sys.exit(run(sys.argv[1:]))
