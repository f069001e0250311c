"""What the settings of an account tell before any packet, and what they tell once all else went well."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from postroom.model.checkup import Fix, Stage, StageResult, StageStatus
from postroom.policy import doctor_fixes as fixes
from postroom.policy.doctor_case import Case, is_near
from postroom.policy.doctoring import docs, line, passed
from postroom.providers.provider import FromRule, Grade

Look = Callable[[Case], StageResult | None]


def settings(case: Case) -> StageResult:
    """Look at the settings before any packet: the worst finding is shown, the others are named."""
    findings = [found for look in _LOOKS if (found := look(case)) is not None]
    if not findings:
        name = f", {case.provider.name}" if case.provider is not None else ""
        login = f", login {case.account.username}" if case.account.username else ", no login"
        sender = f", sender {case.sender}" if case.sender is not None else ""
        return passed(Stage.NAME, f"{case.endpoint} ({case.account.tls.value}){name}{login}{sender}")
    worst = next((one for one in findings if one.status is StageStatus.FAILED), findings[0])
    also = ", ".join(one.cause for one in findings if one is not worst)
    return replace(worst, docs=docs(case), found={"also": also} if also else {})


def knocked(case: Case) -> StageResult:
    """Look at a host and a port alone."""
    found = _port_25(case)
    return found if found is not None else passed(Stage.NAME, case.endpoint)


def settled(case: Case, stages: Sequence[StageResult]) -> tuple[StageResult, ...]:
    """Take back what the dialogue disproved, and insist on what it cannot show.

    Some providers compare From only when the content comes, which a check never sends: when all else went
    well, a sender that their rule forbids is the failure.
    """
    is_well = not any(one.status is StageStatus.FAILED for one in stages)
    is_sure = case.provider is not None and case.provider.grade.get("from") != Grade.UNKNOWN
    if not (is_well and is_sure):
        return tuple(stages)
    return tuple(
        replace(one, status=StageStatus.FAILED)
        if one.stage is Stage.NAME and one.cause == "from-not-account"
        else one
        for one in stages
    )


def _finding(status: StageStatus, cause: str, evidence: str, fix: Fix | None = None) -> StageResult:
    return StageResult(stage=Stage.NAME, status=status, cause=cause, evidence=line(evidence), fix=fix)


def _password_missing(case: Case) -> StageResult | None:
    account = case.account
    if not account.username or account.password or account.oauth is not None:
        return None
    text = f"user name {account.username}, no password"
    return _finding(StageStatus.FAILED, "password-missing", text)


def _host_of_another(case: Case) -> StageResult | None:
    other = fixes.host_owner(case)
    if other is None or case.owner is None or case.owner.domain not in other.domains:
        return None
    text = f"{case.owner} is a mailbox of {other.name}, whose server is {other.host}, not {case.account.host}"
    return _finding(StageStatus.WARNING, "host-of-another", text, fixes.own_host(case))


def _port_not_served(case: Case) -> StageResult | None:
    provider, port = case.provider, case.account.port
    if provider is None or not provider.host or provider.mode_of(port) is not None:
        return None
    known = ", ".join(str(one) for one in (*provider.tls, *provider.starttls, *provider.plain))
    text = f"port {port}; {provider.name} answers at {known}"
    return _finding(StageStatus.WARNING, "port-not-served", text, fixes.other_port(case))


def _port_25(case: Case) -> StageResult | None:
    if case.account.port != 25 or is_near(case.account.host):
        return None
    is_known = case.provider is not None and case.provider.prefer.port != 25
    fix = fixes.other_port(case) if is_known else None
    text = "port 25; accounts are served at 465 (TLS at once), 587 (STARTTLS) and often 2525"
    return _finding(StageStatus.WARNING, "port-25", text, fix)


def _user_name_form(case: Case) -> StageResult | None:
    fix = fixes.user_name(case)
    provider = case.provider
    if fix is None or provider is None or provider.username_alt is not None:
        return None  # with two forms that are both in use only a refusal tells
    text = f"user name {case.account.username}; {provider.name} wants {fix.patch['username']}"
    return _finding(StageStatus.WARNING, "user-name-form", text, fix)


def _secret_blanks(case: Case) -> StageResult | None:
    fix = fixes.blanks_removed(case)
    return (
        None if fix is None else _finding(StageStatus.WARNING, "secret-blanks", "blanks in the password", fix)
    )


def _sender(case: Case) -> StageResult | None:
    if case.sender is None:
        return _finding(StageStatus.WARNING, "from-missing", "no sender is set and the login is no address")
    provider, owner = case.provider, case.owner
    if provider is None or owner is None or provider.from_rule is not FromRule.EQUALS_ACCOUNT:
        return None
    if case.sender.is_same(owner):
        return None
    text = f"sender {case.sender}, account {owner}; {provider.name} takes only the account"
    return _finding(StageStatus.WARNING, "from-not-account", text, fixes.sender_as_account(case))


_LOOKS: Sequence[Look] = (
    _password_missing,
    _port_25,
    _host_of_another,
    _port_not_served,
    _secret_blanks,
    _user_name_form,
    _sender,
)
"""In the order in which they are told."""
