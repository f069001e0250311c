"""What the check found, as other programs read it: lines, JSON, SARIF 2.1.0, JUnit XML.

Every form has every finding; the same findings always give the same text.

Sources: SARIF 2.1.0 (OASIS Standard, sections 3.13 to 3.52); the JUnit form as CI servers read it (there is
no standard: ``testsuites``, ``testsuite``, ``testcase``, ``failure``).
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import escape, quoteattr

from postroom.model.template import Finding, Severity
from postroom.template.lint.rules import RULES, Rule

SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "note"}


def place(finding: Finding) -> str:
    """Return ``file:line:column`` as far as it is known."""
    known = [finding.file, *(str(number) for number in (finding.line, finding.column) if number)]
    return ":".join(known)


def counts(findings: Sequence[Finding]) -> dict[str, int]:
    """Return how many there are of each severity."""
    return {level.value: sum(one.severity is level for one in findings) for level in Severity}


def as_json(findings: Sequence[Finding], files: Sequence[str]) -> str:
    """Return one JSON object: ``files``, ``counts`` and ``findings``."""
    value = {
        "files": list(files),
        "counts": counts(findings),
        "findings": [
            {
                "code": one.code,
                "severity": one.severity.value,
                "file": one.file,
                "line": one.line,
                "column": one.column,
                "cause": one.cause,
                "fix": one.fix,
            }
            for one in findings
        ],
    }
    return json.dumps(value, ensure_ascii=False, indent=2)


def as_sarif(findings: Sequence[Finding], *, version: str) -> str:
    """Return a SARIF log of one run, with every rule there is."""
    codes = list(dict.fromkeys([*RULES, *(one.code for one in findings)]))
    index = {code: number for number, code in enumerate(codes)}
    driver = {
        "name": "postroom templates lint",
        "version": version,
        "rules": [_sarif_rule(code, findings) for code in codes],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_sarif_result(one, index[one.code]) for one in findings],
    }
    return json.dumps(
        {"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}, ensure_ascii=False, indent=2
    )


def _sarif_rule(code: str, findings: Sequence[Finding]) -> Mapping[str, Any]:
    rule = RULES.get(code) or next(
        Rule(one.code, one.severity, one.cause, one.fix) for one in findings if one.code == code
    )
    return {
        "id": code,
        "name": "".join(word.capitalize() for word in code.split("-")),
        "shortDescription": {"text": _sentence(rule.what)},
        "fullDescription": {"text": f"{_sentence(rule.what)} {rule.fix}"},
        "help": {"text": rule.fix, "markdown": rule.fix},
        "defaultConfiguration": {"level": _LEVELS[rule.severity]},
    }


def _sarif_result(one: Finding, index: int) -> Mapping[str, Any]:
    where: dict[str, Any] = {"artifactLocation": {"uri": quote(one.file)}}
    if one.line:
        where["region"] = {"startLine": one.line, "startColumn": max(one.column, 1)}
    return {
        "ruleId": one.code,
        "ruleIndex": index,
        "level": _LEVELS[one.severity],
        "message": {"text": f"{_sentence(one.cause)} {one.fix}"},
        "locations": [{"physicalLocation": where}],
        "partialFingerprints": {"finding/v1": f"{one.file}:{one.code}:{one.cause}"},
    }


def as_junit(findings: Sequence[Finding], files: Sequence[str], *, strict: bool) -> str:
    """Return one test case for each file; it fails with its errors, in strict use with its warnings too."""
    failing = {Severity.ERROR, Severity.WARNING} if strict else {Severity.ERROR}
    cases, failures = [], 0
    for file in dict.fromkeys([*files, *(one.file for one in findings)]):
        own = [one for one in findings if one.file == file]
        bad = [one for one in own if one.severity in failing]
        failures += bool(bad)
        cases.append(f'  <testcase classname="templates" name={_attribute(file)}>')
        if bad:
            message = f"{len(bad)} finding{'s' if len(bad) > 1 else ''}: {bad[0].cause}"
            text = "\n".join(line_of(one) for one in bad)
            cases.append(
                f'   <failure type="{bad[0].code}" message={_attribute(message)}>{_text(text)}</failure>'
            )
        rest = [one for one in own if one not in bad]
        if rest:
            cases.append(f"   <system-out>{_text(chr(10).join(map(line_of, rest)))}</system-out>")
        cases.append("  </testcase>")
    tests = sum(one.startswith("  <testcase") for one in cases)
    totals = f'tests="{tests}" failures="{failures}" errors="0" skipped="0"'
    head = ['<?xml version="1.0" encoding="UTF-8"?>', f'<testsuites name="postroom" {totals}>']
    suite = f' <testsuite name="templates lint" {totals}>'
    return "\n".join([*head, suite, *cases, " </testsuite>", "</testsuites>"])


def line_of(one: Finding) -> str:
    """Return a finding on one line."""
    return f"{place(one)}: {one.severity.value}: {one.cause} [{one.code}] {one.fix}"


def _sentence(phrase: str) -> str:
    text = phrase[:1].upper() + phrase[1:]
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."


def _plain(text: str) -> str:
    """Leave out what XML cannot hold."""
    return "".join(char for char in text if char in "\t\n" or (char >= " " and char not in "\ufffe\uffff"))


def _attribute(text: str) -> str:
    return quoteattr(_plain(text))


def _text(text: str) -> str:
    return escape(_plain(text))
