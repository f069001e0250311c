"""Builds an installable Python package from compiled templates: typed getters, HTML, and a table of the rest.

The same templates give the same bytes. What is written is ``src/NAME`` with a ``pyproject.toml`` for
Hatchling. The package needs jinja2, and Babel when a template uses a filter of ours, whose module is copied
then; it does not need Postroom. It is a catalogue too: ``renderer.packages`` reads its table, which
``docs/templates.md`` describes.
"""

import json
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, nodes

from postroom.errors import InputError, Problem
from postroom.model.template import CompiledTemplate
from postroom.template.getter_types import is_name
from postroom.template.getters import Names, Packable, check, source_of
from postroom.template.jinja.filters import NAMES

_PACKAGE = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[-_][A-Za-z0-9]+)*\Z")
_VERSION = re.compile(r"[0-9]+(?:\.[0-9]+)*(?:(?:a|b|rc|\.post|\.dev)[0-9]+)?\Z")
_TAKEN = frozenset({"jinja2", "markupsafe", "babel", "postroom"})
_TABLE_FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageSpec:
    """What the package is called."""

    package: str
    """As it is installed; imported with underscores."""
    version: str = "0.1.0"
    class_name: str = "MailTemplates"
    logo: str = ""
    """Path of the logo behind ``api_base_url``; empty: ``logo.png`` in a folder of the module's name."""

    @property
    def module(self) -> str:
        """Return the name it is imported by."""
        return self.package.replace("-", "_")

    def problems(self) -> Sequence[Problem]:
        """Return what is wrong with the names."""
        found = []
        if _PACKAGE.match(self.package) is None or not is_name(self.module):
            fix = "Use letters, digits and single hyphens or underscores, a letter first."
            found.append(
                ("package-name", "package", f"{self.package!r} cannot be the name of a package", fix)
            )
        elif self.module.lower() in _TAKEN | sys.stdlib_module_names:
            fix = "Choose another name."
            found.append(
                ("package-taken", "package", f"{self.module} is a module that is needed itself", fix)
            )
        if _VERSION.match(self.version) is None:
            fix = "Write it as 1.2.0."
            found.append(("package-version", "version", f"{self.version!r} is not a version", fix))
        if not is_name(self.class_name):
            fix = "Use a name like MailTemplates."
            found.append(("class-name", "class", f"{self.class_name!r} cannot be the name of a class", fix))
        return [Problem(code=code, field=field, cause=cause, fix=fix) for code, field, cause, fix in found]


def package_files(templates: Sequence[Packable], spec: PackageSpec) -> dict[str, str]:
    """Return every file of the package: path to text.

    Raises:
        InputError: A name of the package cannot be used, or there is no template.
        SourceError: A template has no name in Python, with every such finding.
    """
    problems = list(spec.problems())
    if not templates:
        fix = "Name the directory that has NAME.html in it, in emails/ or in templates/."
        problems.append(
            Problem(code="no-templates", field="directory", cause="there is no template", fix=fix)
        )
    if problems:
        raise InputError(problems)
    templates = sorted(templates, key=lambda one: one.name)
    check(templates)
    home = f"src/{spec.module}"
    has_filters = any(_uses_filters(variant) for one in templates for variant in one.variants)
    logo = spec.logo.lstrip("/") or f"{spec.module}/logo.png"
    names = Names(class_name=spec.class_name, logo=logo, has_filters=has_filters)
    made = {
        "pyproject.toml": _project(spec, has_filters=has_filters),
        f"{home}/__init__.py": _init(spec),
        f"{home}/_rendering.py": _own("renderer", "package_runtime.py"),
        f"{home}/mail.py": source_of(templates, names),
        f"{home}/py.typed": "",
        f"{home}/templates.json": _table(templates),
    }
    if has_filters:
        made[f"{home}/_filters.py"] = _own("template.jinja", "filters.py")
        made[f"{home}/_wrong.py"] = _own("renderer", "package_wrong.py")
    for one in templates:
        for variant in one.variants:
            made[f"{home}/mail_templates/{_html_file(one, variant.locale)}"] = variant.html
    return made


def write_package(made: Mapping[str, str], target: Path) -> None:
    """Write the files of a package; one that was built there before is replaced.

    Raises:
        InputError: The directory holds something else.
        OSError: It cannot be written.
    """
    home = target / next(path for path in made if path.endswith("/templates.json")).rpartition("/")[0]
    if target.exists() and any(target.iterdir()) and not (home / "templates.json").is_file():
        cause = f"{target} is not empty, and no package of this name was built there before"
        fix = "Give --output a new directory."
        raise InputError([Problem(code="output-taken", field="output", cause=cause, fix=fix)])
    shutil.rmtree(home, ignore_errors=True)
    for path, text in made.items():
        file = target / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode())


def _own(room: str, file: str) -> str:
    """Return the source of a module of ours that is copied."""
    text = files(f"postroom.{room}").joinpath(file).read_text("utf-8")
    return text.replace("from postroom.template.jinja.wrong import", "from ._wrong import")


def _uses_filters(variant: CompiledTemplate) -> bool:
    """Say whether a variant uses a filter that Jinja does not have by itself, or has otherwise."""
    for text in (variant.html, variant.text, variant.subject):
        tree = Environment(autoescape=True).parse(text)
        if any(one.name in NAMES for one in tree.find_all(nodes.Filter)):
            return True
    return False


def _html_file(one: Packable, locale: str) -> str:
    return f"{one.name}.html" if locale == one.locale else f"{one.name}.{locale}.html"


def _table(templates: Sequence[Packable]) -> str:
    table = {
        one.name: {
            "getter": one.suffix,
            "description": one.description,
            "default": one.locale,
            "locales": {
                variant.locale: {
                    "file": _html_file(one, variant.locale),
                    "subject": variant.subject,
                    "preheader": variant.preheader,
                    "text": variant.text,
                    "schema": variant.schema,
                    "globals": list(variant.globals),
                }
                for variant in one.variants
            },
        }
        for one in templates
    }
    return json.dumps({"format": _TABLE_FORMAT, "templates": table}, ensure_ascii=False, indent=1) + "\n"


def _init(spec: PackageSpec) -> str:
    return (
        '"""Templates of mails, with typed getters."""\n\n'
        f"from .mail import {spec.class_name}\n\n"
        f'__all__ = ["{spec.class_name}"]\n'
    )


def _project(spec: PackageSpec, *, has_filters: bool) -> str:
    dependencies = ['"jinja2>=3.1.6"', *(['"babel>=2.18"', '"tzdata"'] if has_filters else [])]
    return f"""[build-system]
requires = ["hatchling>=1.27"]
build-backend = "hatchling.build"

[project]
name = "{spec.package}"
version = "{spec.version}"
description = "Templates of mails, with typed getters"
requires-python = ">=3.11"
dependencies = [{", ".join(dependencies)}]

[tool.hatch.build.targets.wheel]
packages = ["src/{spec.module}"]
"""
