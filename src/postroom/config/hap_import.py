"""HAP's mail settings as settings of ours: its webhook's file, else the account of its SMTP form."""

from pathlib import Path

from postroom.config.hap_config import read_hap_config
from postroom.errors import ConfigError
from postroom.schema.import_plain import import_hap_account
from postroom.schema.import_result import Imported

_STAYS = "the file stays where it is and as HAP has it, its header fields with it; it is read at each start"


def import_hap(data: bytes, file: Path) -> Imported:
    """Read the content of a file. Raises ConfigError."""
    try:
        found = read_hap_config(file)
    except ConfigError:  # no webhook in it, or nothing that can be read: what reads accounts says which
        return import_hap_account(data, file.name)
    return Imported(sections={"hap_config": str(file.absolute())}, notes=[_STAYS, *found.warnings])
