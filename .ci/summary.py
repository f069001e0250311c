"""Add up JUnit files and print one line a file, one in all, and the failed tests by name.

Exit code 1 when a file is missing: a part that did not run is not a part that passed.
"""

import sys
from pathlib import Path
from xml.etree import ElementTree as ET  # the files are our own test runner's


def main(paths: list[str]) -> int:
    """Print the summary of ``paths``; return the exit code."""
    total = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    missing = 0
    for name in paths:
        path = Path(name)
        if not path.is_file():
            print(f"{path.name}: missing, this part did not run")
            missing += 1
            continue
        suite = ET.parse(path).getroot().find("testsuite")  # noqa: S314 - written by our own test runner
        if suite is None:
            print(f"{path.name}: no test suite in it")
            missing += 1
            continue
        counts = {key: int(suite.get(key, "0")) for key in total}
        for key, count in counts.items():
            total[key] += count
        print(_line(path.name, counts))
        for case in suite.iter("testcase"):
            if case.find("failure") is not None or case.find("error") is not None:
                print(f"  failed: {case.get('classname')}::{case.get('name')}")
    print(_line("in all", total))
    return 1 if missing else 0


def _line(name: str, counts: dict[str, int]) -> str:
    bad = counts["failures"] + counts["errors"]
    passed = counts["tests"] - bad - counts["skipped"]
    return f"{name}: {passed} passed, {bad} failed, {counts['skipped']} skipped"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
