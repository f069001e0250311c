"""The bounds of a run follow from what the system allows."""

from dataclasses import replace
from pathlib import Path

from postroom.bootstrap.seeing import begin_log, server_limits
from postroom.config.load import load
from postroom.config.settings import Settings
from postroom.config.sources import Flags
from postroom.model.secret import Secret
from postroom.telemetry import redaction
from postroom.telemetry.redaction import redacted
from telemetry.test_telemetry_log import recording


def settings(tmp_path: Path, **environ: str) -> Settings:
    variables = {"POSTROOM_TRANSPORT": "smtps://app@example.com:planted-secret@smtp.example.com", **environ}
    return load(Flags(), variables, tmp_path)


def test_with_many_descriptors_the_settings_hold(tmp_path: Path) -> None:
    """The number of connections is the set one, and 64 descriptors are never theirs."""
    limits, reserve = server_limits(settings(tmp_path), max_descriptors=65_536, open_now=30)

    assert (1024, 20, 64) == (limits.max_connections, limits.max_per_address, reserve)


def test_with_few_descriptors_there_are_fewer_connections(tmp_path: Path) -> None:
    """What is open, what sends and the reserve come first; of the rest each connection may need two."""
    known = settings(tmp_path)
    outgoing = known.transports[0].max_connections
    limits, reserve = server_limits(known, max_descriptors=256, open_now=30)

    assert (256 - 30 - outgoing - 64) // 2 == limits.max_connections
    assert 64 == reserve
    for max_descriptors in (0, 40, 64):
        limits, reserve = server_limits(known, max_descriptors=max_descriptors, open_now=30)
        assert 1 <= limits.max_connections < 32
        assert max_descriptors // 4 == reserve


def test_smtp_sessions_share_what_is_left(tmp_path: Path) -> None:
    """With few descriptors HTTP connections and SMTP sessions get the same part of what they want."""
    alone, _ = server_limits(settings(tmp_path), max_descriptors=1024, open_now=30)
    beside, _ = server_limits(
        settings(tmp_path, POSTROOM_SMTP="127.0.0.1:2525"), max_descriptors=1024, open_now=30
    )
    assert alone.max_connections // 2 == beside.max_connections
    plenty, _ = server_limits(
        settings(tmp_path, POSTROOM_SMTP="127.0.0.1:2525"), max_descriptors=65_536, open_now=30
    )
    assert 1024 == plenty.max_connections


def test_the_log_knows_the_secrets_of_the_settings(tmp_path: Path) -> None:
    """Passwords of transports and the bootstrap key are told to the log before anything is logged."""
    known = replace(settings(tmp_path), bootstrap_key=Secret("planted-bootstrap-key"))
    with recording(json=False):
        redaction._forms.clear()
        begin_log(known)
        assert "***** and *****" == redacted("planted-secret and planted-bootstrap-key")
