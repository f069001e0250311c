"""A Nexus INI file as settings of ours; ``nexus_ini`` reads it."""

from typing import Any

from postroom.config.nexus_ini import NexusIni, parse_nexus_ini
from postroom.config.sources import DEFAULT_HTTP
from postroom.grammar import HOST_NAME
from postroom.schema.import_result import Imported, Left, checked, wrong

_NAMES = {
    "url": "[email] smtp_url",
    "username": "[email] smtp_username",
    "password": "[email] smtp_password",
    "from": "[email] from_mail",
}


def import_nexus(data: bytes, name: str) -> Imported:
    """Read the file. Raises ConfigError."""
    ini = parse_nexus_ini(data, name=name)
    found = Imported(left=[Left(name, sentence.removeprefix(f"{name}: ")) for sentence in ini.warnings])
    if ini.smtp_url is None:
        raise wrong("transport-url-missing", "[email] smtp_url", "no server", "Write the mail server there.")
    url = ini.smtp_url.reveal()
    given = {
        "url": url if "://" in url else f"smtp://{url}",
        "username": ini.smtp_username,
        "password": ini.smtp_password.reveal() if ini.smtp_password and ini.smtp_username else None,
        "from": ini.from_mail,
    }
    found.transport = {"name": "nexus"} | {key: value for key, value in given.items() if value is not None}
    if ini.smtp_password and not ini.smtp_username:
        found.left.append(Left("[email] smtp_password", "there is no smtp_username beside it"))
    found.notes += checked(found.transport, _NAMES)
    found.sections = _doors(ini, found.left)
    return found


def _doors(ini: NexusIni, left: list[Left]) -> dict[str, Any]:
    """Return the doors as the file has them: without a key, on this machine."""
    nexus: dict[str, Any] = {"keyless": True}
    if ini.domain is not None and HOST_NAME.match(ini.domain):
        nexus |= {"domain": ini.domain.lower(), "hosts": [ini.domain.lower()]}
    elif ini.domain is not None:
        left.append(Left("[api] domain", "not a domain name"))
    sections: dict[str, Any] = {"nexus": nexus}
    if ini.https:
        left.append(
            Left("[api] https", "there is no certificate in the file: see http.tls_cert in settings.md")
        )
    if ini.api_port is not None and ini.https:
        left.append(Left("[api] api_port", "it speaks TLS, and there is no certificate in the file"))
    elif ini.api_port is not None:
        only_nexus = {"address": f"127.0.0.1:{ini.api_port}", "doors": ["nexus"]}
        sections["http"] = {"listen": [{"address": DEFAULT_HTTP}, only_nexus]}
    if ini.max_client is not None:
        sections["limits"] = {"max_connections": ini.max_client}
    return sections
