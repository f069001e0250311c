"""Print the files of the tests that failed, from JUnit files; a file that is missing adds none."""

import sys
from pathlib import Path
from xml.etree import ElementTree as ET  # the files are our own test runner's


def main(paths: list[str]) -> int:
    """Print one path a line, relative to the repository."""
    found = set()
    for path in map(Path, paths):
        if path.is_file():
            for case in ET.parse(path).getroot().iter("testcase"):  # noqa: S314 - our own test runner's
                if case.find("failure") is not None or case.find("error") is not None:
                    found.add(case.get("classname", "").replace(".", "/") + ".py")
    print("\n".join(sorted(found)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
