"""Which file of a directory of templates is what.

Pure. Templates stand at the top, in ``emails/`` or in ``templates/``: ``NAME.html`` is the default variant,
``NAME.fr.html`` the French one, ``.mjml`` and ``.jinja`` are the other languages, ``NAME.txt`` and
``NAME.fr.txt`` a text part in place of the derived one. ``components/`` and ``layouts/`` may have folders of
their own; style sheets stand at the top, beside templates and components, or in ``css/`` and ``styles/``;
``theme.toml`` at the top adds colours and sizes. Whatever else lies there is not looked at.
"""

import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from postroom.model.template import (
    LOCALE_TAG,
    TEMPLATE_NAME,
    Collection,
    Finding,
    Severity,
    Shelf,
    SourceForm,
    TemplateSource,
)
from postroom.template.styles.utilities_data import theme_fault

TEMPLATE_FOLDERS: Final = ("", "emails", "templates")
"""Also the order in which a name that stands twice is taken."""
SHELF_FOLDERS: Final = ("components", "layouts")
STYLE_FOLDERS: Final = ("css", "styles")
THEME: Final = "theme.toml"
FORMS: Final = {"html": SourceForm.COMPONENTS, "mjml": SourceForm.MJML, "jinja": SourceForm.JINJA}
_TEXT: Final = "txt"


def is_used(path: str) -> bool:
    """Say whether a file, by its path below the directory, is anything."""
    folder, _, name = path.rpartition("/")
    top = folder.partition("/")[0]
    suffix = name.rpartition(".")[2]
    if path == THEME:
        return True
    if suffix == "css":
        return top in ("", "emails", "templates", *SHELF_FOLDERS, *STYLE_FOLDERS)
    if top in SHELF_FOLDERS:
        return suffix == "html"
    return folder in TEMPLATE_FOLDERS and (suffix in FORMS or suffix == _TEXT)


def finding(file: str, code: str, cause: str, fix: str, *, severity: Severity = Severity.ERROR) -> Finding:
    """Return what to say about a file as a whole."""
    return Finding(code=code, severity=severity, file=file, cause=cause, fix=fix)


def theme_of(text: str) -> Mapping[str, Any] | Finding:
    """Read ``theme.toml``."""
    try:
        theme = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        return finding(THEME, "theme", f"not TOML: {error}", "Correct it; text values stand in quotes.")
    if fault := theme_fault(theme):
        return finding(THEME, "theme", fault, "Correct it; docs/templates.md has an example.")
    return theme


def collection_of(texts: Mapping[str, str], theme: Mapping[str, Any]) -> Collection:
    """Return what these files are; those that are not used are findings."""
    findings: list[Finding] = []
    parts = dict(_text_parts(texts, findings))
    variants: dict[str, dict[str, TemplateSource]] = {}
    for path in sorted(texts, key=_order):
        folder, _, file = path.rpartition("/")
        stem, _, suffix = file.rpartition(".")
        if folder not in TEMPLATE_FOLDERS or suffix not in FORMS:
            continue
        name, locale = _name_and_locale(path, stem, findings)
        if not name:
            continue
        taken = variants.setdefault(name, {})
        if locale.lower() in taken:
            other = taken[locale.lower()].file
            cause = f"the same template and locale as {other}"
            findings.append(finding(path, "template-twice", cause, "Remove one of them, or rename it."))
            continue
        taken[locale.lower()] = TemplateSource(
            name=name,
            locale=locale,
            form=FORMS[suffix],
            text=texts[path],
            text_part=parts.pop((folder, stem), None),
            file=path,
        )
    for folder, stem in parts:
        path = f"{folder}/{stem}.txt" if folder else f"{stem}.txt"
        cause, fix = "a text part without a template beside it", f"Write {stem}.html, or remove it."
        findings.append(finding(path, "text-alone", cause, fix, severity=Severity.WARNING))
    return Collection(
        sources={
            name: tuple(taken[tag] for tag in sorted(taken)) for name, taken in sorted(variants.items())
        },
        shelf=Shelf(
            components={
                path.removesuffix(".html"): text
                for path, text in sorted(texts.items())
                if path.partition("/")[0] in SHELF_FOLDERS and path.endswith(".html")
            },
            styles={path: text for path, text in sorted(texts.items()) if path.endswith(".css")},
            theme=theme,
        ),
        findings=tuple(findings),
    )


def _order(path: str) -> tuple[int, str]:
    folder = path.rpartition("/")[0]
    return (TEMPLATE_FOLDERS.index(folder) if folder in TEMPLATE_FOLDERS else 9, path)


def _text_parts(texts: Mapping[str, str], findings: list[Finding]) -> Iterator[tuple[tuple[str, str], str]]:
    for path, text in texts.items():
        folder, _, file = path.rpartition("/")
        stem, _, suffix = file.rpartition(".")
        if folder in TEMPLATE_FOLDERS and suffix == _TEXT and _name_and_locale(path, stem, findings)[0]:
            yield (folder, stem), text


def _name_and_locale(path: str, stem: str, findings: list[Finding]) -> tuple[str, str]:
    """Return the parts of a file name, an empty name for one that means no template."""
    name, dot, locale = stem.partition(".")
    if TEMPLATE_NAME.match(name) is None:
        cause = "the name of the file is not the name of a template"
        fix = "Use 1 to 64 of a-z, 0-9, _ and -, then the locale if there is one: receipt.fr.html."
    elif dot and LOCALE_TAG.match(locale) is None:
        cause = f"{locale!r} is not a language tag"
        fix = "Write a BCP 47 tag between name and suffix: receipt.pt-BR.html."
    else:
        return name, locale
    findings.append(finding(path, "template-file-name", cause, fix, severity=Severity.WARNING))
    return "", ""
