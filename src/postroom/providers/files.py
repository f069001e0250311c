"""Files of one's own that add a provider or change one, with steps and reply rules (``docs/providers.md``).

A file is TOML with the fields of ``data/providers.toml`` and ``data/replies.toml``. Everything that is wrong
is named with its field and what to do; with one problem in any file nothing of all files is put in.

What it does not do: it does not follow changes; files are read once, at start.
"""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from postroom.errors import Problem
from postroom.providers import catalogue, replies, words
from postroom.providers.provider import Provider, provider_of
from postroom.providers.row_checks import FIELD_CHECKS, RULE_CHECKS, list_of, suffix, table_of

MAX_BYTES = 1 << 20
"""Of one file (security limit)."""
_MERGED = frozenset({"hosts", "limits", "grade"})
"""Tables whose keys are changed one by one."""
_NEEDED = ("id", "name", "host", "prefer", "username", "secret", "from")
_RULE_NEEDED = ("id", "provider", "stage", "code", "match", "meaning", "remedy", "action")


def load_overrides(paths: Iterable[Path]) -> Sequence[Problem]:
    """Read files and put in what they say; a later file stands before an earlier one.

    Returns:
        Every problem found. With one, what was known before stays as it was.
    """
    read = [_Read(path) for path in paths]
    found = _Found()
    for one in read:
        found.take(one)
    if not found.problems:
        catalogue.use(found.providers.values())
        words.use(found.steps)
        replies.use(found.hosts, found.rules)
    return found.problems


class _Read:
    """One file, parsed but not checked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problems: list[Problem] = []
        self.data: Mapping[str, Any] = {}
        try:
            raw = path.read_bytes()
            if len(raw) > MAX_BYTES:
                self.problem("", f"{len(raw)} bytes, at most {MAX_BYTES} are read", "Split the file.")
            else:
                self.data = tomllib.loads(raw.decode("utf-8"))
        except OSError as error:
            self.problem("", f"cannot be read: {error.strerror}", "Check the path and who may read it.")
        except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            self.problem(
                "", f"not TOML in UTF-8: {error}", "Correct the file; docs/providers.md has an example."
            )

    def problem(self, field: str, cause: str, fix: str) -> None:
        """Note something wrong."""
        place = f"{self.path}: {field}" if field else str(self.path)
        self.problems.append(Problem(code="providers-file-wrong", field=place, cause=cause, fix=fix))

    def rows(self, name: str) -> Sequence[tuple[str, Mapping[str, Any]]]:
        """Return the rows of a table with the name of each, as far as they are rows."""
        rows = self.data.get(name, [])
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            self.problem(name, "not a list of tables", f"Write each as [[{name}]].")
            return []
        return [(f"{name} {row.get('id', number)}", row) for number, row in enumerate(rows, 1)]


class _Found:
    """What all files say together."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.providers: dict[str, Provider] = {}
        self.rows: dict[str, Mapping[str, Any]] = {}
        self.steps: dict[str, Sequence[str]] = {}
        self.hosts: dict[str, Sequence[str]] = {}
        self.rules: list[Mapping[str, Any]] = []
        self.rule_ids: set[str] = set()

    def take(self, file: _Read) -> None:
        """Add what one file says and what is wrong with it."""
        for key in sorted(set(file.data) - {"schema", "provider", "rule", "hosts", "sources"}):
            file.problem(key, "no such table", "A file has [[provider]], [[rule]] and [hosts].")
        for name, row in file.rows("provider"):
            self._provider(file, name, row)
        hosts = file.data.get("hosts", {})
        if wanted := table_of(list_of(suffix))(hosts):
            file.problem("hosts", "not as wanted", f"Write {wanted}.")
        else:
            self.hosts |= hosts
        self.rules[:0] = [row for name, row in file.rows("rule") if self._is_sound_rule(file, name, row)]
        self.problems += file.problems

    def _provider(self, file: _Read, name: str, row: Mapping[str, Any]) -> None:
        id_ = row.get("id")
        base = self.rows.get(id_) or catalogue.shipped_row(id_) if isinstance(id_, str) else None
        whole = dict(base or {})
        whole["sources"] = [*whole.get("sources", ()), str(file.path)]
        sound = True
        for key, value in row.items():
            wanted = _wanted(key, value)
            if wanted:
                file.problem(
                    f"{name}.{key}", "no such field" if key not in FIELD_CHECKS else "not as wanted", wanted
                )
                sound = False
            elif key in _MERGED:
                whole[key] = whole.get(key, {}) | value
            elif key != "steps":
                whole[key] = value
        missing = [key for key in _NEEDED if key not in whole]
        if missing:
            fix = (
                "A new provider needs these fields; to change a known one write its id as the list shows it."
            )
            file.problem(name, f"without {', '.join(missing)}", fix)
        elif sound and (wrong := _contradiction(whole)):
            file.problem(
                f"{name}.prefer", wrong, "List the port under tls, starttls or plain, in one of them."
            )
        elif sound:
            self.rows[whole["id"]] = whole
            self.providers = {whole["id"]: provider_of(whole), **_without(self.providers, whole["id"])}
            if "steps" in row:
                self.steps[whole["id"]] = tuple(row["steps"])

    def _is_sound_rule(self, file: _Read, name: str, row: Mapping[str, Any]) -> bool:
        before = len(file.problems)
        for key in _RULE_NEEDED:
            if key not in row:
                file.problem(f"{name}.{key}", "missing", "A rule needs it; docs/providers.md has an example.")
        for key, value in row.items():
            wanted = RULE_CHECKS[key](value) if key in RULE_CHECKS else "one of the fields of a rule"
            if wanted:
                file.problem(f"{name}.{key}", "not as wanted", f"Write {wanted}.")
        group, id_ = row.get("provider"), row.get("id")
        if isinstance(group, str) and group not in self.hosts and group not in replies.groups():
            one = self.providers.get(group) or catalogue.provider(group)
            if one is None or not one.all_hosts:
                fix = "Name a provider that has hosts, or list the hosts under [hosts]."
                file.problem(f"{name}.provider", "no such provider or group of hosts", fix)
            else:
                self.hosts[group] = one.all_hosts
        if isinstance(id_, str):
            if id_ in self.rule_ids or replies.is_shipped(id_):
                file.problem(f"{name}.id", "there is such a rule already", "Choose another id.")
            self.rule_ids.add(id_)
        return len(file.problems) == before


def _contradiction(row: Mapping[str, Any]) -> str:
    port, mode = row["prefer"]
    lists = {"tls": row.get("tls", []), "starttls": row.get("starttls", []), "plain": row.get("plain", [])}
    ports = list(chain.from_iterable(lists.values()))
    if len(ports) != len(set(ports)):
        return "a port stands in two of tls, starttls and plain"
    return "" if port in lists[mode] else f"port {port} is not listed under {mode}"


def _without(all_: Mapping[str, Provider], id_: str) -> Mapping[str, Provider]:
    return {key: one for key, one in all_.items() if key != id_}


def _wanted(key: str, value: Any) -> str:
    """Return what to write in a field of a provider, empty when the value is right."""
    if key not in FIELD_CHECKS:
        return "Take one of: " + ", ".join(sorted(FIELD_CHECKS)) + "."
    wanted = FIELD_CHECKS[key](value)
    return f"Write {wanted}." if wanted else ""
