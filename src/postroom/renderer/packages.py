"""An installed Python package of templates: ``PACKAGE/mail_templates/*.html``, finished HTML for Jinja.

Rules: only packages that the settings name; a package is found by its place and never imported, so nothing
of its code runs. A ``templates.json`` beside the folder, as our builder writes it, says what HTML cannot:
subjects, text parts, locales, schemas. Without it the file is the template, its ``lang`` the locale and its
hidden first lines the preheader.
"""

import asyncio
import html
import importlib.util
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from postroom.model.template import (
    LOCALE_TAG,
    MAX_SOURCE,
    MAX_VARIANTS,
    TEMPLATE_NAME,
    Collection,
    Finding,
    SourceForm,
    TemplateSource,
)
from postroom.renderer.layout import finding

FOLDER: Final = "mail_templates"
TABLE: Final = "templates.json"
FORMAT: Final = 1
MAX_TEMPLATES: Final = 1000
"""Of one package (security limit)."""
MAX_TABLE: Final = 16 * 1024 * 1024
"""Bytes of the table (security limit)."""

_LANG = re.compile(r"<html\b[^>]*?\blang=[\"']([A-Za-z0-9-]+)[\"']", re.IGNORECASE)
_HIDDEN = re.compile(
    r"<body\b[^>]*>\s*<div\b[^>]*\bstyle=\"[^\"]*display:\s*none[^\"]*\"[^>]*>([^<]*)</div>", re.IGNORECASE
)
"""What inbox lists show beside the subject stands first in the body and is not displayed."""
_FILLER = re.compile("[\u2007\ufeff\u034f\u200c\u00a0\u00ad\u200b-\u200f].*\\Z", re.DOTALL)
"""Invisible characters after it, which keep the mail's own text out of the list."""


def package_folder(package: str) -> Path | None:
    """Return the directory of an installed package, without importing it."""
    if not package.isidentifier():
        return None
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return None
    places = [] if spec is None else list(spec.submodule_search_locations or ())
    found = [Path(place) for place in places if (Path(place) / FOLDER).is_dir()]
    return found[0] if found else None


class Package:
    """The port ``Collections`` over an installed package, read once: it changes with a new start."""

    def __init__(self, folder: Path) -> None:
        """Take the directory of the package."""
        self._folder = folder
        self._collection: Collection | None = None

    async def look(self) -> Collection:
        """Return what the package holds. Never raises."""
        if self._collection is None:
            found = await asyncio.to_thread(self.read)
            self._collection = self._collection or found  # another reader may have been quicker
        return self._collection

    def read(self) -> Collection:
        """Read the package, blocking."""
        findings: list[Finding] = []
        table = _table(self._folder / TABLE, findings)
        given = _plain(self._folder / FOLDER) if table is None else _listed(table, findings)
        sources: dict[str, tuple[TemplateSource, ...]] = {}
        for name, variants in given:
            if len(sources) == MAX_TEMPLATES:
                cause = f"more than {MAX_TEMPLATES} templates; the rest is not used"
                findings.append(finding(name, "too-many-files", cause, "Divide the package."))
                break
            made = [
                source
                for one in variants
                if (source := _source(self._folder, name, one, findings)) is not None
            ]
            if made:
                sources[name] = tuple(made)
        return Collection(sources=sources, findings=tuple(findings))


Variant = Mapping[str, Any]
"""What the table says about one locale of a template, with the tag as ``locale``."""


def _plain(folder: Path) -> Iterator[tuple[str, Sequence[Variant]]]:
    for file in sorted(folder.glob("*.html")):
        yield file.stem, ({"file": file.name, "locale": ""},)


def _table(file: Path, findings: list[Finding]) -> Mapping[str, Any] | None:
    """Return the table of a package that was built, ``None`` for one that has none or one nobody can read."""
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_TABLE + 1)
        table = json.loads(content) if len(content) <= MAX_TABLE else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError):
        table = None
    if not isinstance(table, dict) or table.get("format") != FORMAT:
        cause = f"not a table of format {FORMAT}"
        findings.append(finding(TABLE, "package-table", cause, "Build the package with this Postroom."))
        return None
    return table


def _listed(table: Mapping[str, Any], findings: list[Finding]) -> Iterator[tuple[str, Sequence[Variant]]]:
    templates = table.get("templates")
    for name, told in (templates if isinstance(templates, dict) else {}).items():
        locales = told.get("locales") if isinstance(told, dict) else None
        if not isinstance(locales, dict) or not all(isinstance(one, dict) for one in locales.values()):
            cause, fix = f"{str(name)[:80]!r} has no locales", "Build the package with this Postroom."
            findings.append(finding(TABLE, "package-table", cause, fix))
            continue
        default = told.get("default")
        tags = sorted(locales, key=lambda tag: tag != default)[:MAX_VARIANTS]
        yield str(name), [{**locales[tag], "locale": tag} for tag in tags]


def _source(folder: Path, name: str, told: Variant, findings: list[Finding]) -> TemplateSource | None:
    path = f"{FOLDER}/{told.get('file')}"
    locale = str(told["locale"])
    if TEMPLATE_NAME.match(name) is None or (locale and LOCALE_TAG.match(locale) is None):
        cause, fix = f"{name[:80]!r} is not the name of a template", "Use 1 to 64 of a-z, 0-9, _ and -."
        findings.append(finding(path, "template-file-name", cause, fix))
        return None
    text = _read(folder, path)
    if text is None:
        cause, fix = "cannot be read as UTF-8 within the package, or too large", "Install the package again."
        findings.append(finding(path, "unreadable", cause, fix))
        return None
    front = _front_matter(text, told)
    return TemplateSource(
        name=name,
        locale=locale or front.get("language", ""),
        form=SourceForm.JINJA,
        text=f"---\n{_yaml(front)}---\n{text}" if front else text,
        text_part=told["text"] if isinstance(told.get("text"), str) and told["text"] else None,
        file=path,
    )


def _read(folder: Path, path: str) -> str | None:
    file = folder / path
    try:
        if not file.resolve().is_relative_to(folder.resolve()) or not file.is_file():
            return None
        content = file.read_bytes()
        return content.decode("utf-8-sig") if len(content) <= MAX_SOURCE else None
    except (OSError, ValueError):
        return None


def _front_matter(text: str, told: Variant) -> dict[str, Any]:
    """Return what the table says, else what the HTML shows."""
    front: dict[str, Any] = {}
    for key in ("subject", "preheader"):
        if isinstance(told.get(key), str) and told[key]:
            front[key] = told[key]
    schema = told.get("schema")
    if isinstance(schema, dict) and isinstance(schema.get("properties"), dict):
        front["variables"] = dict(_variables(schema))
    if not told["locale"]:
        if (match := _LANG.search(text)) is not None:
            front["language"] = match[1]
        if (match := _HIDDEN.search(text)) is not None:
            shown = " ".join(_FILLER.sub("", html.unescape(match[1])).split())
            if shown:
                front.setdefault("preheader", shown)
    return front


def _variables(schema: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    required = schema.get("required", ())
    for name, told in schema["properties"].items():
        if isinstance(told, dict):
            known = {key: told[key] for key in ("type", "description", "default") if key in told}
            if isinstance(known.get("type"), list):
                del known["type"]  # of several types: what the template does with it says so again
            examples = told.get("examples")
            if isinstance(examples, list) and examples:
                known["example"] = examples[0]
            yield str(name), {**known, "required": name in required}


def _yaml(front: Mapping[str, Any]) -> str:
    """Write front matter: JSON on one line each, which YAML reads too."""
    return "".join(f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in front.items())
