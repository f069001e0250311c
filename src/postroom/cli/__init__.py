"""The command line: ``postroom serve``, and small clients of a running server.

Every command but ``serve`` talks HTTP to the server it finds by ``POSTROOM_URL`` and ``POSTROOM_API_KEY``,
else by ``cli.key`` in the data directory. People get words, ``--json`` gives one JSON value; exit codes are
in ``exits``. Commands import what they need when they run, so that ``--help`` answers at once.
"""

import sys
from pathlib import PurePath

SENDMAIL = "sendmail"


def main() -> None:
    """Run the program; this is the entry point ``postroom``, and ``sendmail`` when a link has that name."""
    arguments = sys.argv[1:]
    is_link = PurePath(sys.argv[0]).name == SENDMAIL
    if is_link or arguments[:1] == [SENDMAIL]:
        from postroom.cli.sendmail import run as run_sendmail  # noqa: PLC0415 - it starts for every mail

        sys.exit(run_sendmail(arguments if is_link else arguments[1:]))
    from postroom.cli.app import run  # noqa: PLC0415 - the entry point stays importable for nothing

    sys.exit(run(arguments))
