"""The pages about settings and transports say what the program does."""

import json
import re
import tomllib
from collections.abc import Iterator
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

from each_row import each
from postroom.config.document import Document
from postroom.config.http_section import ListenSection
from postroom.config.load import load
from postroom.config.settings import Listener
from postroom.config.sources import KNOWN_VARIABLES, SMTP_VARIABLES, VARIABLES, Flags
from postroom.model.alert import Severity
from postroom.schema.transport_forms import FORMS
from postroom.schema.transport_url import STARTTLS_WORDS, parse_transport_url
from postroom.schema.written import Section

TABLES = {
    *("transports", "routes", "http.listen"),
    *(f"alerts.{one}" for one in ("types", "types.objects", "routes", "receivers", "receivers.to")),
    *("alerts.tables", "alerts.inhibitions"),
}
"""Lists of tables."""
URL_PARTS = ("login", "percent", "control", "host", "port")
DOCS = Path(__file__).resolve().parents[2] / "docs"
SETTINGS = (DOCS / "settings.md").read_text()
TRANSPORTS = (DOCS / "transports.md").read_text()


def sections(model: type[Section] = Document, path: str = "") -> Iterator[tuple[str, list[str]]]:
    """Yield each table of the file with the rows of its settings, as the page has them."""
    rows, inner = [], []
    for key, info in model.model_fields.items():
        name = info.alias or key
        below = section_of(info.annotation)
        # Routes below routes are as those above, and what an object says is as what its type says.
        is_told_above = below is model or path == "alerts.types.objects"
        if below is None or is_told_above or name == "listen" or f"{path}.{name}" in TABLES:
            default = info.get_default(call_default_factory=True)
            rows.append(f"| `{name}` | {written(default)} | {info.description} |")
        if below is None or is_told_above:
            continue
        if path == "classes":
            rows.append(f"| `[classes.{name}]` | | {info.description} |")
            inner = [("classes.*", below)]
        else:
            inner.append((f"{path}.{name}" if path else name, below))
    yield path, rows
    for name, below in inner:
        yield from sections(below, name)


def section_of(annotation: Any) -> type[Section] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        assert issubclass(annotation, Section)
        return annotation
    return next(filter(None, map(section_of, get_args(annotation))), None)


def written(value: object) -> str:  # noqa: PLR0911 - a table of forms
    match value:
        case None | () | "" | {}:
            return ""
        case timedelta():
            return f"`{value.total_seconds():g}`"
        case (Severity(), *severities):
            return f"`{json.dumps([value[0], *severities])}`"
        case bool():
            return f"`{str(value).lower()}`"
        case Enum():
            return f'`"{value.value}"`'
        case str():
            return f'`"{value}"`'
        case int() if value and value % 1024**2 == 0:
            return f'`"{value // 1024**2} MiB"`'
        case int() | float():
            return f"`{value:g}`"
        case (ListenSection(address=Listener() as listener),):
            return f'`"{listener.host}:{listener.port}"`'
        case _:
            raise AssertionError(value)


@each(("path", "rows"), list(sections()))
def test_every_setting_is_on_the_page(path: str, rows: list[str]) -> None:
    """Each table of the file has its heading, and each setting its row with default and meaning."""
    heading = {"": "## At the top"}.get(path, f"## `[[{path}]]`" if path in TABLES else f"## `[{path}]`")
    assert heading in SETTINGS
    table = SETTINGS.partition(f"{heading}\n")[2].partition("\n## ")[0]
    first_table = table.partition("|---|---|---|\n")[2].partition("\n\n")[0]
    assert rows == first_table.splitlines()


def test_every_variable_is_on_the_page() -> None:
    """Each variable stands in the table with the setting that it is."""
    for name in KNOWN_VARIABLES:
        assert f"| `{name}` |" in SETTINGS
    for name, path in VARIABLES.items():
        assert f"| `{name}` | `{'.'.join(path)}` |" in SETTINGS
    for name in SMTP_VARIABLES:
        assert f"`{name}`" in SETTINGS


def test_the_example_is_good(tmp_path: Path) -> None:
    """The example of the page loads, and uses every section it shows."""
    example = SETTINGS.partition("```toml\n")[2].partition("```")[0]
    (tmp_path / "postroom.toml").write_text(example)
    found = load(Flags(), {"POSTROOM_TRANSPORT": "smtps://app@example.com:x@mx.example.com"}, tmp_path)
    assert set(tomllib.loads(example)) == {"data", "from", "http", "transports", "retention", "classes"}
    assert found.transports[0].max_connections == 4


def test_every_url_on_the_page_is_read() -> None:
    """Each form of URL in the table is understood, and each starttls value is named."""
    urls = [
        line.split("`")[1]
        for line in TRANSPORTS.splitlines()
        if line.startswith(("| `smtp:", "| `smtps:", "| `provider+", "| `capture"))
    ]
    assert len(urls) >= 12
    for url in urls:
        parse_transport_url(url, field="url")
    for word in STARTTLS_WORDS:
        assert f"`{word}`" in TRANSPORTS


def test_every_code_about_transports_is_on_the_page() -> None:
    """Each code that a description of a transport can be refused with is explained."""
    source = Path(__file__).resolve().parents[2] / "src/postroom/schema"
    found: set[str] = set()
    for name in ("transport_spec", "transport_forms", "transport_url", "url_parts", "known_providers"):
        text = (source / f"{name}.py").read_text()
        found.update(re.findall(r'(?:report|_problem|code=)\(?\s*"([a-z]+-[a-z-]+)"', text))
    found.update(f"{kind}-{part}" for kind in ("url", "proxy") for part in URL_PARTS)
    assert len(found) > 25
    assert [] == sorted(code for code in found if f"`{code}`" not in TRANSPORTS)


def test_every_example_of_a_transport_is_good(tmp_path: Path) -> None:
    """Each table on the page comes to a transport, its files given."""
    examples = [part.partition("```")[0] for part in TRANSPORTS.split("```toml\n")[1:]]
    assert len(examples) >= 3
    for example in examples:
        (tmp_path / "secret").write_text("secret\n")
        text = re.sub(r"/run/secrets/[a-z-]+", str(tmp_path / "secret"), example)
        (tmp_path / "postroom.toml").write_text(text)
        (spec,) = load(Flags(), {}, tmp_path).transports
        assert spec.account is not None


def test_every_key_of_other_programs_is_on_the_page() -> None:
    """Each key that is read is in the table of its program."""
    page = TRANSPORTS.lower()
    for form in FORMS:
        for key, ours in form.keys.items():
            assert not ours or f"`{key}`" in page.replace(".", "_")
