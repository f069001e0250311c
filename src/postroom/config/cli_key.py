"""``cli.key`` in the data directory: how the command line finds the server that owns the directory.

Written by ``serve`` at each start and readable by its owner only. JSON with ``url``, ``key`` and, for a TLS
door, ``certificate``: the file whose certificate the door shows, trusted for this URL and no other.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from postroom.model.secret import Secret

FILE_NAME = "cli.key"


@dataclass(frozen=True, slots=True, kw_only=True)
class CliKey:
    """A server and the key for it."""

    url: str
    key: Secret
    certificate: str | None = None
    """PEM file whose first certificate the server shows; ``None`` for plain HTTP."""


def write_cli_key(data: Path, cli_key: CliKey) -> None:
    """Replace the file in one step; the key is never in a file that others may read. Raises OSError."""
    content = {"url": cli_key.url, "key": cli_key.key.reveal()}
    if cli_key.certificate is not None:
        content["certificate"] = cli_key.certificate
    written = data / f"{FILE_NAME}.new"
    written.unlink(missing_ok=True)
    with os.fdopen(os.open(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(content, file)
    written.replace(data / FILE_NAME)


def read_cli_key(data: Path) -> CliKey | None:
    """Return what the file says, or ``None`` when there is none or it is not of this form.

    Raises OSError when it is there and may not be read.
    """
    try:
        content = json.loads((data / FILE_NAME).read_text())
        return CliKey(
            url=str(content["url"]), key=Secret(str(content["key"])), certificate=content.get("certificate")
        )
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
