"""What the check of templates looks for: one rule for each code, with what to do.

The table in ``docs/templates.md``, the rule list of a SARIF report and the findings are all made from this
one. Codes are stable: people write them into their sources to switch a rule off.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from postroom.model.template import Severity

_E, _W, _N = Severity.ERROR, Severity.WARNING, Severity.NOTE


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that is looked for."""

    code: str
    severity: Severity
    what: str
    """A phrase: what is found."""
    fix: str
    """A sentence: what to do."""
    from_compiler: bool = False
    """Told by whoever compiles the template."""


_COMPILER = (
    Rule(
        "unknown-component", _E, "a component that does not exist", "Write a known name.", from_compiler=True
    ),
    Rule(
        "unknown-attribute",
        _W,
        "an attribute that neither the component nor HTML knows",
        "Write a known one.",
        from_compiler=True,
    ),
    Rule(
        "unknown-class",
        _W,
        "a class that looks like a utility and that nothing defines",
        "Write a known one.",
        from_compiler=True,
    ),
    Rule(
        "undefined-value",
        _W,
        "a component's expression without a value",
        "Give the attribute, or a default.",
        from_compiler=True,
    ),
    Rule(
        "triple-braces",
        _W,
        "three braces around a variable",
        "Write two: variables are escaped.",
        from_compiler=True,
    ),
    Rule("css-syntax", _W, "CSS that cannot be read", "Correct it, or remove it.", from_compiler=True),
)
"""What compiling says beside errors; those stop the template and cannot be switched off."""
_SOURCE = (
    Rule(
        "unclosed-element",
        _W,
        "an element without its end tag",
        "Write the end tag; programs guess differently.",
    ),
    Rule("stray-end-tag", _W, "an end tag without a start tag", "Remove it, or write the start tag."),
    Rule(
        "unknown-front-matter",
        _W,
        "a front matter key that nothing reads and that looks like a known one",
        "Write the known name.",
    ),
    Rule(
        "unknown-lint-code",
        _W,
        "a code that is switched off and does not exist",
        "Write a code of this table.",
    ),
    Rule(
        "jinja",
        _E,
        "Jinja that cannot be read",
        "Mend the expression; the message of Jinja says where.",
    ),
    Rule("unknown-filter", _E, "a filter or test that does not exist", "Use one of the known filters."),
)
_VARIABLES = (
    Rule(
        "example-fails",
        _W,
        "examples from which the mail cannot be rendered",
        "Give every required variable an example that fits.",
    ),
    Rule(
        "undeclared-variable",
        _E,
        "a variable that is used and not declared, where `variables` declares others",
        "Declare it under `variables`, with an example.",
    ),
    Rule("unused-variable", _W, "a variable that is declared and not used", "Remove it, or use it."),
    Rule(
        "locale-variable",
        _W,
        "a variable that one language uses and another does not",
        "Use the same variables in every language.",
    ),
    Rule(
        "locale-structure",
        _N,
        "other headings, images or links than in the default language",
        "Compare the two; a part may be missing.",
    ),
    Rule(
        "locale-missing",
        _W,
        "no variant in a language that the other templates of the set have",
        "Translate it; until then the default language is sent.",
    ),
    Rule(
        "unpassed-variable",
        _E,
        "a variable that the package's own getter never passes",
        "Add an argument to the getter and pass it, or remove the variable from the template.",
    ),
    Rule(
        "unread-argument",
        _W,
        "an argument of a getter that its template does not read",
        "Use it, or remove it.",
    ),
    Rule(
        "unescaped-variable",
        _W,
        "a variable that is printed without escaping",
        "Remove `|safe`; whoever chooses the value chooses the HTML of the mail.",
    ),
    Rule(
        "variable-in-code",
        _E,
        "a variable in a script, a style sheet, an event attribute or an attribute without quotes",
        "Escaping does not help there: move it into text or into a quoted attribute.",
    ),
    Rule(
        "variable-in-style",
        _W,
        "a variable in a style attribute",
        "Choose between fixed values with `{% if %}`; a value can bring declarations of its own.",
    ),
)
_LINKS = (
    Rule("link-empty", _E, "a link or image address that is empty", "Give it an address."),
    Rule(
        "link-may-be-empty",
        _W,
        "a link or image address that is empty when a variable is not given",
        "Make the variable required, or put `{% if %}` around the whole element.",
    ),
    Rule("link-syntax", _E, "an address that is none, or has no scheme and host", "Write the whole address."),
    Rule("link-placeholder", _W, "a link to `#` or to an example host", "Write the real address."),
    Rule("link-script", _E, "a link that runs a script", "Link to a page; mail programs remove scripts."),
    Rule("link-insecure", _W, "a link or image by `http://`", "Use `https://`."),
    Rule("link-private", _W, "a link to a loopback or private host", "Use an address the reader can reach."),
    Rule("link-mailto", _E, "a `mailto:` link without an address", "Write `mailto:name@host`."),
    Rule(
        "link-mismatch",
        _W,
        "a link whose text shows another host than it leads to",
        "Show the host it leads to; mail filters take this for phishing.",
    ),
    Rule(
        "link-shortener", _W, "a link through a link shortener", "Link directly; filters distrust shorteners."
    ),
    Rule("text-lost-link", _W, "a link of the HTML that the text part has not", "Put it into the text part."),
)
_ELEMENTS = (
    Rule(
        "image-alt",
        _W,
        "an image without `alt`, or with an empty one as the only content of a link",
        'Say in `alt` what it shows; `alt=""` for decoration.',
    ),
    Rule(
        "image-width", _W, "an image without a width", "Set the attribute `width`; Outlook ignores the style."
    ),
    Rule("tracking-pixel", _W, "an image of one pixel", "Remove it; filters and readers distrust it."),
    Rule(
        "contrast",
        _W,
        "text with too little contrast",
        "Darken one colour or lighten the other (WCAG 2.2, 1.4.3).",
    ),
    Rule(
        "contrast-dark",
        _W,
        "text with too little contrast in dark mode",
        "Change the rules under `prefers-color-scheme: dark` (WCAG 2.2, 1.4.3).",
    ),
    Rule("small-text", _W, "text below 12 px", "Set it at 12 px or more."),
    Rule(
        "layout-table",
        _W,
        "a table without `role` that has no header cells",
        'Set `role="presentation"` on tables that only lay out.',
    ),
    Rule("duplicate-id", _W, "an id that is used twice", "Give each element an id of its own."),
    Rule("active-content", _E, "a script, frame, object or event attribute", "Remove it; mail programs do."),
    Rule("form", _W, "a form", "Link to a page with the form; many mail programs remove forms."),
    Rule("media", _W, "video or audio", "Show an image that links to it."),
    Rule("remote-font", _N, "a font from elsewhere", "Name fallback fonts; few mail programs load fonts."),
    Rule(
        "remote-style",
        _W,
        "a style sheet from elsewhere",
        "Put the rules into the page; few programs load them.",
    ),
    Rule(
        "client-css", _N, "CSS that some mail programs do not support", "See that the mail works without it."
    ),
    Rule(
        "client-html",
        _N,
        "HTML that some mail programs do not support",
        "See that the mail works without it.",
    ),
    Rule("client-image", _W, "an image format that some mail programs do not show", "Use PNG, JPEG or GIF."),
    Rule(
        "client-layout",
        _W,
        "CSS or HTML that carries the layout and that some mail programs do not support",
        "Lay out with tables.",
    ),
)
_MAIL = (
    Rule("missing-subject", _W, "no subject", "Write `subject:`; else every caller must."),
    Rule("missing-preheader", _N, "no preheader", "Write `preheader:`; inboxes show it behind the subject."),
    Rule(
        "missing-title", _N, "a page without a title", "Write `title:`; screen readers and browsers show it."
    ),
    Rule(
        "missing-lang", _W, "a page that does not say its language", "Write `language:` (`lang` on `<html>`)."
    ),
    Rule("long-subject", _W, "a subject above 78 characters", "Shorten it; inboxes cut it off."),
    Rule("long-preheader", _N, "a preheader above 130 characters", "Shorten it; inboxes cut it off."),
    Rule("size-clipped", _E, "HTML above 102 kB", "Shorten it: Gmail cuts it there."),
    Rule("size-near-clip", _W, "HTML above 90 % of 102 kB", "Shorten it: Gmail cuts at 102 kB."),
    Rule("text-empty", _W, "an empty text part", "Write a text part; filters distrust mail without one."),
    Rule("literal-year", _W, "a year written beside ©", "Write `@{{ _year }}`."),
    Rule(
        "list-unsubscribe",
        _W,
        "bulk mail, or mail with an unsubscribe link, without the header List-Unsubscribe",
        "Send List-Unsubscribe and List-Unsubscribe-Post (RFC 8058) and say so: `listUnsubscribe: true`.",
    ),
    Rule(
        "bulk-unsubscribe", _W, "bulk mail without an unsubscribe link", "Add one that works without a login."
    ),
    Rule("spam-capitals", _W, "a subject in capitals", "Write it as a sentence."),
    Rule("spam-exclamation", _W, "several exclamation marks", "One is enough."),
    Rule(
        "spam-phrase", _N, "a phrase that mail filters count", "Say it in other words where that is as clear."
    ),
    Rule("hidden-text", _W, "hidden text that is no preheader", "Remove it; filters take it for deceit."),
    Rule(
        "image-only",
        _W,
        "images and next to no text",
        "Write what matters as text; images are often blocked.",
    ),
    Rule("image-share", _N, "little text beside the images", "Write more as text."),
)
RULES: Mapping[str, Rule] = {
    rule.code: rule for rule in (*_COMPILER, *_SOURCE, *_VARIABLES, *_LINKS, *_ELEMENTS, *_MAIL)
}
"""Every rule of the check by its code, in the order of the documents."""
