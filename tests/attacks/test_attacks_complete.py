"""Every attack row is run here, proved by a test of its own room, or waits for a door that is not built."""

import re
from collections import Counter
from pathlib import Path

from attacks import (
    test_attacks_desk,
    test_attacks_doors,
    test_attacks_fields,
    test_attacks_hap,
    test_attacks_hooks,
    test_attacks_peers,
    test_attacks_submission,
    test_attacks_template_use,
    test_attacks_templates,
)
from attacks.attack_room import rows

ROOT = Path(__file__).resolve().parents[2]

ELSEWHERE = {
    "TLS-002": "tests/smtp/test_smtp_opening.py::test_starttls_injection",
    "TLS-006": "tests/egress/test_egress_tls.py::test_other_name_in_the_certificate",
    "TLS-008": "tests/net/test_net_tls.py::test_old_tls_is_refused_by_name",
    "TLS-011": "tests/egress/test_egress_tls.py::test_plain_port_under_implicit_tls",
    "TLS-012": "tests/net/test_net_tls.py::test_a_silent_server_times_out_in_the_handshake",
    "TLS-015": "tests/smtp/test_smtp_client.py::test_unsolicited_bytes_end_an_idle_session",
    "TLS-025": "tests/egress/test_egress_smtp.py::test_tarpit_does_not_extend_the_limit",
    "CMD-011": "tests/smtp/test_smtp_words.py::test_commands",
    "LOG-007": "tests/ingress/test_nexus_door.py::test_engine_refuses",
    "POS-012": "tests/ingress/test_nexus_wire.py::test_documented_examples",
    "SSR-040": "tests/net/test_net_guard.py::test_every_answer_must_pass",
    "SSR-041": "tests/egress/test_egress_hooks.py::test_rebinding_gains_nothing",
    "SSR-042": "tests/net/test_net_guard.py::test_every_answer_must_pass",
    "SSR-043": "tests/egress/test_egress_hooks.py::test_attack_redirect_and_file_name",
    "SSR-045": "tests/egress/test_egress_hooks.py::test_redirects_are_not_followed",
    "SSR-051": "tests/egress/test_egress_hooks.py::test_attack_redirect_and_file_name",
    "SSR-055": "tests/net/test_net_guard.py::test_this_machine_is_not_elsewhere",
    "AUT-009": "tests/engine/test_engine_guests.py::test_one_way_for_each_credential",
    "AUT-026": "tests/delivery/test_delivery_guests.py::test_the_documents_command_over_tls",
    "AUT-021": "tests/engine/test_engine_webhooks.py::test_both_secrets_of_a_rotation_sign",
    "TLS-009": "tests/smtp/test_smtp_server.py::test_when_a_login_may_come",
    "AUT-014": "tests/ingress/test_submission_clients.py::test_a_key_keeps_its_senders_and_scope",
    "AUT-018": "tests/ingress/test_submission_session.py::test_wrong_keys_wait",
    "DOS-003": "tests/ingress/test_submission_session.py::test_a_slow_client_is_told_and_cut",
    "DOS-004": "tests/ingress/test_submission_session.py::test_seats",
    "TPL-026": "tests/ingress/test_http_templates.py::test_a_template_of_another_tenant_does_not_exist",
    "SQL-007": "tests/spool/test_spool_sqlite.py::test_damaged_content_is_held_and_the_queue_goes_on",
}
"""Rows whose surface is met below or beside the HTTP doors, and the test that proves them there."""

LATER = {
    r"api\.idempotency": "there is one tenant",
    r"api\.limits": "there are no rates and quotas yet",
    r"console\..*": "there is no console yet; rows that need no page of it are run",
    r"internal\.size": "the size is the length of what was rendered; no text reaches it",
    r"queue": "there is one way out",
    r"db\.notify": "there is no PostgreSQL store yet",
}
"""Surface (a whole pattern) to the reason its rows are not run."""

RUN = (
    test_attacks_fields.RUN
    | test_attacks_doors.RUN
    | test_attacks_peers.RUN
    | test_attacks_hap.RUN
    | test_attacks_hooks.RUN
    | test_attacks_desk.RUN
    | test_attacks_submission.RUN
    | test_attacks_template_use.RUN
    | test_attacks_templates.RUN
)


def later(surface: str) -> bool:
    return any(re.fullmatch(pattern, surface) for pattern in LATER)


def test_every_row_is_accounted_for() -> None:
    """Each row is run, proved elsewhere, or of a surface that is listed with its reason; none idly."""
    open_rows = {one["id"] for one in rows()} - RUN - ELSEWHERE.keys()
    missing = [
        (one["id"], one["surface"]) for one in rows() if one["id"] in open_rows and not later(one["surface"])
    ]
    assert [] == missing
    page = (ROOT / "docs/known-issues.md").read_text("utf-8")
    assert f"has {len(rows())} attacks" in page
    assert f"not built ({len(open_rows)})" in page
    surfaces = {one["surface"] for one in rows() if one["id"] in open_rows}
    assert [] == [pattern for pattern in LATER if not any(re.fullmatch(pattern, one) for one in surfaces)]


def test_no_row_is_counted_twice() -> None:
    """Rows have one id each, every id that is run or proved is a row's, and none is both."""
    ids = Counter(one["id"] for one in rows())
    assert {1} == set(ids.values())
    assert RUN | ELSEWHERE.keys() <= ids.keys()
    assert not RUN & ELSEWHERE.keys()


def test_what_is_proved_elsewhere_exists() -> None:
    """Every test named here is in the file it is said to be in."""
    for name in ELSEWHERE.values():
        path, _, function = name.partition("::")
        assert re.search(rf"^def {function}\(", (ROOT / path).read_text("utf-8"), re.MULTILINE), name
