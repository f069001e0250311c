"""What is installed with Postroom may be used under its licence: no GPL, no LGPL, no AGPL."""

import re
from importlib import metadata
from pathlib import Path

import pytest

from each_row import each

ROOT = Path(__file__).resolve().parents[2]
COPYLEFT = re.compile(r"\b[AL]?GPL|GNU (Affero |Lesser |Library )?General Public", re.IGNORECASE)
PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)")


def pins(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return {found[1]: found[2] for line in lines if (found := PIN.match(line))}


def licence_words(package: str) -> list[str]:
    """Return every statement a package makes about its licence; of the texts in full the first lines only."""
    fields = metadata.metadata(package)
    named = [*(fields.get_all("License-Expression") or []), *(fields.get_all("License") or [])]
    classed = [one for one in fields.get_all("Classifier") or [] if one.startswith("License ::")]
    words = [word for word in (*(text.split("\n")[0] for text in named), *classed) if word]
    return words or [first_line(file) for file in metadata.files(package) or [] if "licenses" in file.parts]


def first_line(file: metadata.PackagePath) -> str:
    return next(line.strip() for line in file.read_text("utf-8").splitlines() if line.strip())


def installed(package: str) -> bool:
    try:
        metadata.metadata(package)
    except metadata.PackageNotFoundError:
        return False
    return True


@each("name", sorted(pins("requirements.lock")))
def test_no_package_is_copyleft(name: str) -> None:
    """A run-time package names a licence and it is not one of the GPL family."""
    if not installed(name):
        lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
        pin = next(line for line in lines if line.startswith(f"{name}=="))
        assert ";" in pin, f"{name} is in requirements.lock for this platform and not installed"
        return
    words = licence_words(name)
    assert words, f"{name} does not say what its licence is"
    assert [] == [word for word in words if COPYLEFT.search(word)]


@pytest.mark.parametrize(
    ("word", "is_copyleft"),
    [
        ("GPL-3.0-or-later", True),
        ("LGPLv2+", True),
        ("AGPL-3.0-only", True),
        ("License :: OSI Approved :: GNU Lesser General Public License v3 (LGPLv3)", True),
        ("MIT", False),
        ("MPL-2.0", False),
        ("Apache-2.0 OR BSD-3-Clause", False),
    ],
)
def test_the_pattern_knows_the_family(word: str, is_copyleft: bool) -> None:
    """The pattern finds each spelling of the family and nothing else."""
    assert is_copyleft == bool(COPYLEFT.search(word))


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_every_pin_has_a_hash_and_no_place(lock: str) -> None:
    """A lock names what to install and its hash, and leaves where to get it to the machine's own settings."""
    text = (ROOT / lock).read_text(encoding="utf-8")
    blocks = re.split(r"\n(?=\S)", text.strip())

    assert [] == [block.split()[0] for block in blocks if "--hash=sha256:" not in block]
    assert [] == re.findall(r"https?://|--index|--extra-index|--find-links", text)


def test_the_lock_of_uv_names_the_public_registry_only() -> None:
    """No machine's own mirror got into the lock."""
    hosts = set(re.findall(r"https?://([^/\"]+)", (ROOT / "uv.lock").read_text(encoding="utf-8")))

    assert {"pypi.org", "files.pythonhosted.org"} == hosts


def test_the_development_lock_holds_the_run_time_lock() -> None:
    """Tests run against the versions that users get."""
    missing = pins("requirements.lock").items() - pins("requirements-dev.lock").items()

    assert set() == missing
