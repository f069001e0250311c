"""``postroom smtp trust`` says what makes programs trust the SMTP door."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from postroom.cli.app import run
from postroom.cli.exits import Exit
from postroom.clock import SystemDice
from postroom.net.authority import own_certificate


def test_trust_names_the_file_and_prints_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The lines name the authority's file; --pem prints that very file."""
    own = own_certificate(tmp_path, ("localhost",), now=datetime.now(UTC), dice=SystemDice())
    assert Exit.OK == run(["smtp", "trust", "--data", str(tmp_path)])
    said = capsys.readouterr().out
    assert f"SSL_CERT_FILE={own.authority}" in said
    assert f"tls_trust_file {own.authority}" in said
    assert Exit.OK == run(["smtp", "trust", "--pem", "--data", str(tmp_path)])
    assert own.authority.read_text() == capsys.readouterr().out


def test_without_an_authority_it_says_how_one_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before the first start with --smtp there is nothing to trust."""
    assert Exit.FAILED == run(["smtp", "trust", "--data", str(tmp_path)])
    assert "serve --smtp" in capsys.readouterr().err
