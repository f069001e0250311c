"""Utility classes against the rules the original makes of them.

``styles/utilities.json`` holds at-rule, selector and declarations (``!`` for important), in the order of
the cascade, of 971 classes. It was made once by running Tailwind CSS 3.4.19 with tailwindcss-preset-email
1.4.0 over these names, with the colour ``primary`` added; the colours of ``ring-*`` and the variable of
``content-*`` were left out, which are composed in another way here.
"""

import json
import re
import tomllib
from functools import cache
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from each_row import each
from postroom.template.styles.selectors import mentioned_classes
from postroom.template.styles.utilities import Utility, nearest_utility, utilities, utility_rules
from postroom.template.styles.utilities_data import catalogue, theme_fault
from postroom.template.styles.utilities_values import arbitrary

RECORDED = Path(__file__).parent / "styles" / "utilities.json"
KNOWN = catalogue({"colors": {"primary": "#f97316"}})
_OF_CLIENTS = frozenset({"body", "Singleton", "group", "peer"})


@cache
def recorded() -> list[list[str]]:
    rows: list[list[str]] = json.loads(RECORDED.read_text(encoding="utf-8"))
    return rows


def class_of(selector: str) -> str:
    return next(iter(mentioned_classes(selector) - _OF_CLIENTS))


def declared(utility: Utility) -> str:
    return "; ".join(
        f"{each.name}: {each.value}{' !' if each.is_important else ''}" for each in utility.declarations
    )


def plain(text: str) -> str:
    return (
        re.sub(r"\s*([(:,])\s*", r"\1", text.replace("\\2c ", "\\,")).replace("@media(", "@media (").strip()
    )


def test_every_class_means_what_it_means_in_the_original() -> None:
    """Selectors, at-rules and declarations of 971 classes are those of the original."""
    names = {class_of(selector) for _, selector, _ in recorded()}
    expected = {(plain(at), plain(selector)): css for at, selector, css in recorded()}
    actual = {
        (plain(" ".join(rule.at_rules)), plain(rule.selector)): declared(rule)
        for rule in utilities(names, KNOWN)
    }
    assert 960 < len(expected)
    assert expected == actual


def test_rules_stand_in_the_order_of_the_original() -> None:
    """Of two classes on one element the same one wins as in the original."""
    rows = [row for row in recorded() if "\\[\\&" not in row[1] and "\\[\\@" not in row[1]]
    names = {class_of(selector) for _, selector, _ in rows}
    assert [plain(selector) for _, selector, _ in rows] == [
        plain(rule.selector) for rule in utilities(names, KNOWN)
    ]


@each(
    "name",
    [
        "foo",
        "p-17",
        "text-slate-1000",
        "bg-red-50/37",
        "w-1/7",
        "-p-4",
        "-bg-red-500",
        "m-[]",
        "p-[}]",
        "hover:foo",
        "foo:p-4",
        "mt--4",
        "rounded-4xl",
        "text-base/nope",
        "w-1/2/3",
        "border-",
        "-m",
        "p-auto",
        "bg-[nope",
        "z-[;]",
        "[color:red;background:blue]",
        "[color]",
        "p-[1px}a{]",
        "!",
        "",
        ":",
        "sm:",
        "[]",
        "text-[",
        "bg-[url(x;y]",
    ],
)
def test_other_names_are_no_utilities(name: str) -> None:
    """A name that is not in the scales, or whose value would end its rule, gives nothing."""
    assert () == utility_rules(name, KNOWN)


@given(
    st.text(max_size=20)
    | st.from_regex(r"-?!?(p|bg|text|w|\[color)-?:?\[[^\n]{0,15}\](/\[?.{0,4})?", fullmatch=True)
)
def test_any_name_is_read(name: str) -> None:
    """Whatever the name, it gives rules whose values cannot end a declaration, or none."""
    for rule in utility_rules(name, KNOWN):
        for one in rule.declarations:
            assert not re.search(
                r"[{};]", re.sub(r"\(.*\)|\"[^\"]*\"|'[^']*'", "", one.value, flags=re.DOTALL)
            )
    nearest_utility(name, KNOWN)


def test_a_theme_adds_and_changes_steps() -> None:
    """Colours and steps of a theme are there, in the scales built on others too."""
    themed = catalogue(
        {"colors": {"brand": {"DEFAULT": "#123456", "dark": "#000"}}, "spacing": {"13": "52px"}}
    )
    found = {
        name: declared(utility_rules(name, themed)[0])
        for name in ("bg-brand", "text-brand-dark", "w-13", "-mt-13", "border-brand/50")
    }
    assert {
        "bg-brand": "background-color: #123456 !",
        "text-brand-dark": "color: #000 !",
        "w-13": "width: 52px !",
        "-mt-13": "margin-top: -52px !",
        "border-brand/50": "border-color: rgb(18 52 86 / 0.5) !",
    } == found


def test_the_nearest_name_is_proposed() -> None:
    """A name that looks like a utility gets the nearest one; others are classes of their own."""
    assert "bg-slate-500" == nearest_utility("bg-slat-500", KNOWN)
    assert "hover:p-4" == nearest_utility("hoverr:p-4", KNOWN)
    assert "sm:text-center" == nearest_utility("sm:text-centre", KNOWN)
    assert None is nearest_utility("btn", KNOWN)
    assert None is nearest_utility("card-header", KNOWN)


def test_calculations_get_their_blanks() -> None:
    """Operators stand apart, as CSS wants them; signs of numbers and dashes in names do not."""
    values = {
        "calc(100%-16px)": "calc(100% - 16px)",
        "calc((1px+2px)*3)": "calc((1px + 2px) * 3)",
        "calc(var(--a-b)-1px)": "calc(var(--a-b) - 1px)",
        "calc(-1px+2px)": "calc(-1px + 2px)",
        "calc(1e-3px+2px)": "calc(1e-3px + 2px)",
        "min(50%-4px,max-content)": "min(50% - 4px,max-content)",
        "calc(100%_-_var(--x-y,_2px))": "calc(100% - var(--x-y, 2px))",
    }
    assert values == {value: arbitrary(value) for value in values}


@each(
    ("toml", "fault"),
    [
        ('[colors]\nbrand = "#f00"\n[colors.acme]\n500 = "#00f"\n[fontFamily]\nx = ["A", "B"]', ""),
        ('[theme.extend.colors]\nbrand = "#f00"', ""),
        ('[screens]\nmd = {max = "768px"}\n[spacing]\n0 = 0', ""),
        ('[colours]\nbrand = "#f00"', "there is no scale colours; is it colors?"),
        ("[colors.acme]\n500 = 5", "colors.acme.500 is no colour in quotes"),
        ("[spacing]\n13 = 52", 'spacing.13 has no unit; write "52px"'),
        (
            '[fontSize]\nhuge = ["40px", {lineHeight = "44px"}]',
            "fontSize.huge is a list; write one value, and the height of lines in lineHeight",
        ),
        ('[width]\nx = {y = "1px"}', "width.x is a table; write one value"),
        ('colors = "red"', "colors is no table; write [colors]"),
    ],
)
def test_what_is_wrong_with_a_theme(toml: str, fault: str) -> None:
    """A theme that would say nothing, or no CSS, is told; Tailwind's own way of nesting is read."""
    assert fault == theme_fault(tomllib.loads(toml))


def test_a_theme_may_be_nested_as_in_tailwind() -> None:
    """``theme.extend.colors`` are colours."""
    assert utility_rules("text-brand", catalogue({"theme": {"extend": {"colors": {"brand": "#f00"}}}}))
