"""The machine's own sendmail program: a way for alerts when no transport works.

A program that is Postroom's own would bring the mail back to where nothing works; it is not used. The mail is
handed over in memory, and nothing of it stands in the arguments.
"""

import asyncio
import os
import subprocess
from pathlib import Path

PROGRAM = Path("/usr/sbin/sendmail")
TIMEOUT_S = 20.0


class LocalSendmail:
    """The port ``LocalMail``."""

    def __init__(self, program: Path = PROGRAM) -> None:
        """Take the program; it need not exist."""
        self._program = program

    async def hand_in(self, mail: bytes) -> str:
        """Hand a mail with LF line ends to the program; return ``""``, or why it was not taken."""
        return await asyncio.to_thread(self._run, mail)

    def _run(self, mail: bytes) -> str:
        target = Path(os.path.realpath(self._program))
        if not os.access(target, os.X_OK):
            return f"{self._program} cannot be run"
        if _is_own(target):
            return f"{self._program} is Postroom's own"
        try:
            done = subprocess.run(  # noqa: S603 - a fixed program without a shell
                [str(self._program), "-t", "-i"],
                input=mail,
                capture_output=True,
                timeout=TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        if done.returncode == 0:
            return ""
        return f"it ended with {done.returncode}: {done.stderr.decode(errors='replace')[:200].strip()}"


def _is_own(program: Path) -> bool:
    """Say whether it is ours: by its name, or a script that starts us."""
    if program.name.startswith("postroom"):
        return True
    try:
        with program.open("rb") as file:
            head = file.read(4096)
    except PermissionError:  # a script of ours could be read
        return False
    return head.startswith(b"#!") and b"postroom" in head
