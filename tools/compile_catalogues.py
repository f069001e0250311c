"""Keep the translations below ``src/postroom/providers/locale`` in step with the English texts.

    tools/compile_catalogues.py                  put new texts into the .po files, drop old ones, compile
    tools/compile_catalogues.py --check          say whether the files are what they should be
    tools/compile_catalogues.py --missing zh     print what has no translation, as JSON: key to English
    tools/compile_catalogues.py --fill zh FILE   take translations from JSON: key to translation

The English text of a key stands above it as a comment. When it changes, the translation is marked fuzzy: it
is no longer shown and counts as missing until it is filled in again.
"""

import argparse
import fcntl
import io
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from postroom.providers import replies, words

LOCALES = Path(__file__).resolve().parent.parent / "src" / "postroom" / "providers" / "locale"
TRANSLATED = words.LANGUAGES[1:]
_FIXED = datetime(2026, 11, 21, tzinfo=UTC)
"""In place of dates, so that equal texts make equal files."""
_PLACEHOLDER = re.compile(r"\{[a-z_]*\}")
_LABEL = re.compile(r'"([^"]+)"')
"""A label of a provider's page, which stands verbatim in every language."""


def english() -> Mapping[str, str]:
    """Return every text by its key."""
    texts = dict(words.phrases())
    for rule in (*replies.rules(), *replies.local_rules()):
        texts |= {f"{rule.id}.meaning": rule.meaning, f"{rule.id}.remedy": rule.remedy}
    return {**texts, **words.setup_texts()}


def catalogue_of(language: str, fill: Mapping[str, str] | None = None) -> Catalog:
    """Return the catalogue as it should be: every text, with the translations that still hold."""
    kept, new = _stored(language), fill or {}
    catalogue = _empty(language)
    for key, text in english().items():
        old = kept.get(key)
        translation = new.get(key, "") or (str(old.string) if old else "")
        changed = old is not None and key not in new and " ".join(old.auto_comments).split() != text.split()
        catalogue.add(
            key,
            translation,
            auto_comments=[text],
            flags={"fuzzy"} if translation and changed else set(),
        )
    return catalogue


def missing(language: str) -> Mapping[str, str]:
    """Return the English of what is not translated, by key."""
    catalogue = catalogue_of(language)
    return {key: text for key, text in english().items() if not _said(catalogue, key)}


def faults(language: str) -> Sequence[str]:
    """Return what is wrong with a catalogue: other placeholders than the English text, or a label lost."""
    catalogue = catalogue_of(language)
    wrong = []
    for key, text in english().items():
        said = _said(catalogue, key)
        if said and set(_PLACEHOLDER.findall(said)) != set(_PLACEHOLDER.findall(text)):
            wrong.append(f"{language}: {key} has other names in braces than {text!r}")
        lost = [label for label in _LABEL.findall(text) if key.startswith("setup.") and label not in said]
        if said and lost:
            wrong.append(f"{language}: {key} has lost the label {lost[0]!r}")
    return wrong


def files_of(catalogue: Catalog) -> Mapping[str, bytes]:
    """Return the contents of the two files of a catalogue by their ends."""
    source, compiled = io.BytesIO(), io.BytesIO()
    write_po(source, catalogue, width=100, no_location=True, omit_header=False)
    write_mo(compiled, catalogue)
    return {".po": source.getvalue(), ".mo": compiled.getvalue()}


def path_of(language: str, end: str) -> Path:
    """Return the place of one file."""
    return LOCALES / language / "LC_MESSAGES" / f"postroom{end}"


def _said(catalogue: Catalog, key: str) -> str:
    message = catalogue.get(key)
    return "" if message is None or message.fuzzy else str(message.string)


def _empty(language: str) -> Catalog:
    return Catalog(
        locale=language,
        project="postroom",
        header_comment="# Translations of Postroom; the English text stands above each key.",
        creation_date=_FIXED,
        revision_date=_FIXED,
        version="1",
        msgid_bugs_address="the issue tracker",
        last_translator="Postroom",
        language_team="Postroom",
        fuzzy=False,
    )


def _stored(language: str) -> Mapping[str, Message]:
    path = path_of(language, ".po")
    if not path.exists():
        return {}
    with path.open("rb") as file:
        return {str(message.id): message for message in read_po(file, locale=language) if message.id}


def _update(fill: Mapping[str, Mapping[str, str]]) -> None:
    unknown = {key for texts in fill.values() for key in texts} - set(english())
    if unknown:
        sys.exit(f"no such keys: {', '.join(sorted(unknown))}")
    for language in TRANSLATED:
        for end, content in files_of(catalogue_of(language, fill.get(language))).items():
            path = path_of(language, end)
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists() or path.read_bytes() != content:
                path.write_bytes(content)


def _check() -> int:
    wrong = [fault for language in TRANSLATED for fault in faults(language)]
    for language in TRANSLATED:
        for end, content in files_of(catalogue_of(language)).items():
            path = path_of(language, end)
            if not path.exists() or path.read_bytes() != content:
                wrong.append(f"{path} is old: run tools/compile_catalogues.py")
    print("\n".join(wrong) or "the catalogues are what they should be")
    return bool(wrong)


@contextmanager
def _alone() -> Iterator[None]:
    """Let one run at a time read and write the files."""
    LOCALES.mkdir(exist_ok=True)
    with Path(__file__).open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def main() -> int:
    """Run as the docstring says."""
    parser = argparse.ArgumentParser(description="Keep the translations in step and compile them.")
    parser.add_argument("--check", action="store_true", help="change nothing, fail when something is old")
    parser.add_argument("--missing", choices=TRANSLATED, help="print what has no translation")
    parser.add_argument("--fill", nargs=2, metavar=("LANGUAGE", "FILE"), help="take translations from a file")
    wish = parser.parse_args()
    with _alone():
        if wish.missing:
            print(json.dumps(missing(wish.missing), ensure_ascii=False, indent=1))
            return 0
        if wish.check:
            return _check()
        if wish.fill and wish.fill[0] not in TRANSLATED:
            parser.error(f"LANGUAGE is one of {', '.join(TRANSLATED)}")
        _update(
            {wish.fill[0]: json.loads(Path(wish.fill[1]).read_text(encoding="utf-8"))} if wish.fill else {}
        )
        wrong = [fault for language in TRANSLATED for fault in faults(language)]
        print("\n".join(wrong) or "written")
        return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
