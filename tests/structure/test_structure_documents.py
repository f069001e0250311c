"""The documents are true: links lead somewhere, commands exist, drawings equal their tables, proofs exist."""

import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from tools import draw_states

from each_row import each
from postroom.model.lifecycle import RecipientState
from postroom.model.message import MailClass, UncertainPolicy
from postroom.model.step import Step

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("changelog.d/*.md")])
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(?:sh|bash)\n(.*?)^```", re.MULTILINE | re.DOTALL)
TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def commands(pages: Iterable[Path]) -> list[str]:
    """Return each command line of the shell blocks, continued lines joined."""
    blocks = [block for page in pages for block in FENCE.findall(text_of(page))]
    return [
        line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines() if line.strip()
    ]


@each("page", PAGES)
def test_every_relative_link_leads_to_a_file(page: Path) -> None:
    """A link to another page of the repository leads to one that exists."""
    targets = [target.split("#")[0] for target in LINK.findall(text_of(page)) if "://" not in target]

    assert [] == [target for target in targets if target and not (page.parent / target).exists()]


def test_every_page_that_the_code_names_exists() -> None:
    """A docstring that sends its reader to ``docs/`` sends them to a page."""
    named = {
        (name, path.relative_to(ROOT).as_posix())
        for path in (ROOT / "src").rglob("*.py")
        for name in re.findall(r"docs/[\w/-]+\.md", text_of(path))
    }

    assert [] == sorted((name, where) for name, where in named if not (ROOT / name).is_file())


def test_every_make_target_in_the_documents_exists() -> None:
    """A page that says ``make X`` names a target of the Makefile."""
    targets = set(re.findall(r"^(\w+):", text_of(ROOT / "Makefile"), re.MULTILINE))
    pattern = re.compile(r"(?:`|^|['\"] )(?:CI=1 )?make (\w+)", re.MULTILINE)
    named = {name for page in PAGES for name in pattern.findall(text_of(page))}

    assert named
    assert set() == named - targets


def test_the_readme_starts_with_the_two_commands() -> None:
    """A newcomer finds ``make run`` and ``make test`` before anything else."""
    assert ["make run", "make test"] == commands([ROOT / "README.md"])[:2]


def test_the_diagram_equals_the_table() -> None:
    """The state diagram in the documents is the one of ``model.lifecycle``."""
    page = text_of(draw_states.PAGE)

    assert draw_states.drawn(page) == page


@pytest.mark.parametrize(
    "words", [RecipientState, MailClass, UncertainPolicy, Step], ids=lambda one: one.__name__
)
def test_every_word_of_the_model_is_explained(
    words: type[RecipientState] | type[MailClass] | type[UncertainPolicy] | type[Step],
) -> None:
    """Each state, class, policy and step appears in the glossary or in the way of a message."""
    text = text_of(ROOT / "docs/glossary.md") + text_of(ROOT / "docs/flow.md")

    assert [] == [word.value for word in words if not re.search(rf"\b{word.value}\b", text, re.IGNORECASE)]


def test_every_decision_is_listed_and_numbered_once() -> None:
    """The list of decisions links each page, and no number is used twice."""
    pages = sorted(path.name for path in (ROOT / "docs/decisions").glob("0*.md"))
    listed = [
        target for target in LINK.findall(text_of(ROOT / "docs/decisions/README.md")) if target[0] == "0"
    ]

    assert pages == listed
    assert len(pages) == len({name[:4] for name in pages})


def test_every_named_proof_exists() -> None:
    """A test that the documents name as a proof is in the test suite."""
    named = [(page, path, test) for page in PAGES for path, test in TEST.findall(text_of(page))]

    assert named
    assert [] == [
        f"{name_of(page)}: {path}::{test}"
        for page, path, test in named
        if not (ROOT / path).is_file() or f"def {test}(" not in text_of(ROOT / path)
    ]


def test_every_rule_of_the_standards_page_has_a_proof_or_a_reason() -> None:
    """No row of the table of standards is empty: a test, or the word *not* and why."""
    rows = [line for line in text_of(ROOT / "docs/standards.md").splitlines() if line.startswith("| ")]
    rules = [row for row in rows if re.match(r"\| \d", row)]

    assert len(rules) > 40
    assert [] == [row for row in rules if not TEST.search(row) and "not " not in row.rsplit("|", 2)[-2]]


def test_fragments_have_a_kind() -> None:
    """A changelog fragment says what kind of change it is, and something."""
    kinds = {"added", "changed", "fixed", "removed", "security"}
    fragments = [path for path in (ROOT / "changelog.d").glob("*.md") if path.name != "README.md"]

    assert [] == [path.name for path in fragments if path.name.split(".")[-2] not in kinds]
    assert [] == [path.name for path in fragments if not text_of(path).strip()]


RULE = re.compile(r"\b[Rr]ules? ([A-J][0-9]{1,2})\b")


def test_every_rule_that_is_named_stands_in_its_page() -> None:
    """A reader who meets `rule A6` in the code finds what it says."""
    page = text_of(ROOT / "docs/reliability.md")
    sources = [*ROOT.glob("src/**/*.py"), *ROOT.glob("tests/**/*.py"), *PAGES]
    named = {found for source in sources for found in RULE.findall(text_of(source))}
    assert set() == {rule for rule in named if f"- **{rule}** " not in page}
    assert len(named) > 10
