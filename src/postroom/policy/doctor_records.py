"""What the records of the sender's domain mean for its mail: MX, SPF, DKIM, DMARC.

All of it is a warning at most: no record keeps a server from taking mail, it keeps receivers from trusting
it. Where the sender's domain is the provider's own, the provider answers for all of it.
"""

from collections.abc import Mapping

from postroom.model.checkup import Stage, StageResult, StageStatus
from postroom.policy.doctor_case import Case
from postroom.policy.doctoring import line, passed, skipped
from postroom.policy.records import Answer, DmarcWalk, SpfWalk, mail_hosts
from postroom.providers import catalogue
from postroom.providers.relays import Relay, relay

RECORDS = (Stage.MX, Stage.SPF, Stage.DKIM, Stage.DMARC)


def domain_of(case: Case) -> str:
    """Return the domain to look at; empty when there is none that the public DNS can know."""
    domain = case.sender.domain if case.sender is not None else ""
    is_private = domain.endswith((".local", ".internal", ".localhost", ".invalid", ".test"))
    return "" if is_private or "." not in domain else domain


def relay_of(case: Case) -> Relay:
    """Return what the account's provider publishes, as far as is known."""
    return relay(case.provider.id) if case.provider is not None else Relay()


def is_providers_own(case: Case) -> bool:
    """Say whether the sender's domain belongs to the provider itself."""
    return case.provider is not None and domain_of(case) in case.provider.domains


def is_freemail_elsewhere(case: Case) -> bool:
    """Say whether the sender is a mailbox of one provider and goes out through another."""
    owner = catalogue.by_domain(domain_of(case))
    if owner is None or is_providers_own(case):
        return False
    return case.provider is None or owner.id != case.provider.id


def owned(case: Case, result: StageResult) -> StageResult:
    """Return a result; of the provider's own domain nothing is the sender's to mend."""
    if result.status is not StageStatus.WARNING or case.provider is None or not is_providers_own(case):
        return result
    why = f"{domain_of(case)} belongs to {case.provider.name}, who answers for it: {result.evidence}"
    return skipped(result.stage, why)


def mx(case: Case, answer: Answer, addresses: Answer) -> StageResult:
    """Where mail to the sender's domain goes."""
    domain = domain_of(case)
    hosts = mail_hosts(answer)
    if hosts == ["."]:
        return _warning(Stage.MX, "mx-null", f"{domain} has a null MX")
    if hosts:
        return passed(Stage.MX, ", ".join(hosts[:5]), record="; ".join(answer.records[:10]))
    if addresses.records:
        return passed(Stage.MX, f"{domain} has no MX and takes mail at its own address")
    what = "has no MX and no address" if answer.exists else "does not exist"
    return _warning(Stage.MX, "mx-missing", f"{domain} {what}")


def spf(case: Case, walk: SpfWalk) -> StageResult:
    """Whether the domain names the service that sends for it."""
    include = relay_of(case).spf
    expected = _expected_spf(walk.record, include)
    found = {"found": walk.record, "expected": expected} if walk.record else {"expected": expected}
    if walk.cause:
        return _warning(Stage.SPF, walk.cause, walk.detail, found)
    if walk.is_open:
        return _warning(Stage.SPF, "spf-open", walk.record, found)
    if names_relay(case, walk):
        text = f"{walk.record} (names {include}, {walk.lookups} look-ups)"
        return passed(Stage.SPF, text, found=walk.record)
    if include and not is_providers_own(case):
        return _warning(Stage.SPF, "spf-relay-absent", walk.record, found)
    return passed(Stage.SPF, f"{walk.record} ({walk.lookups} look-ups)", found=walk.record)


def names_relay(case: Case, walk: SpfWalk) -> bool:
    """Say whether the record is known to allow the account's service."""
    name = relay_of(case).spf
    return bool(name) and not walk.cause and any(one == name for one in walk.included)


def dkim(case: Case, keys: Mapping[str, Answer]) -> StageResult:
    """Whether keys are published under the selectors that the service usually has."""
    if not keys:
        return skipped(Stage.DKIM, "the selector is not known; a key cannot be found without it")
    domain = domain_of(case)
    known = {one: " ".join(answer.records) for one, answer in keys.items() if answer.records}
    tags = {one: _tags(text) for one, text in known.items()}
    usable = [one for one, found in tags.items() if found.get("p")]
    if usable:
        name = f"{usable[0]}._domainkey.{domain}"
        return passed(Stage.DKIM, f"{name} has a key", found=line(known[usable[0]]))
    revoked = [one for one, found in tags.items() if found.get("p") == ""]
    if revoked:
        name = f"{revoked[0]}._domainkey.{domain}"
        return _warning(Stage.DKIM, "dkim-revoked", f"{name} has an empty key", {"found": known[revoked[0]]})
    text = f"no key under the usual selectors ({', '.join(keys)}); another selector may be in use"
    return skipped(Stage.DKIM, text)


def dmarc(case: Case, walk: DmarcWalk, spf_walk: SpfWalk | None, *, exists: bool) -> StageResult:
    """What the domain asks receivers to do, and whether this mail would pass."""
    domain, record = domain_of(case), walk.record
    facts = {
        "from_domain": domain,
        "organisational_domain": walk.organisational,
        "policy": walk.policy(exists=exists),
        "found": f"{record.name}: {record.text}" if record is not None else "",
    }
    found = {name: value for name, value in facts.items() if value}
    if is_freemail_elsewhere(case):
        text = f"a sender at {domain} never aligns through {case.account.host}"
        return _warning(Stage.DMARC, "from-freemail", text, found)
    expected = {**found, "expected": f'_dmarc.{domain} TXT "v=DMARC1; p=none; rua=mailto:dmarc@{domain}"'}
    if walk.several:
        text = f"{walk.several[0]} has more than one record"
        return _warning(Stage.DMARC, "dmarc-invalid", text, expected)
    if record is None:
        return _warning(Stage.DMARC, "dmarc-missing", f"{domain} and what is above it have none", expected)
    policy = facts["policy"]
    if not policy:
        return _warning(Stage.DMARC, "dmarc-invalid", record.text, expected)
    text = f"{record.name}: p={policy}{' in test mode' if record.is_test else ''}"
    is_strict = record.tags.get("aspf", "r").lower() == "s"
    if spf_walk is not None and names_relay(case, spf_walk):
        mode = "strict" if is_strict else "relaxed"
        return passed(Stage.DMARC, f"{text}; sender and SPF domain are {domain} ({mode})", **found)
    is_asked = policy != "none" and not record.is_test
    is_absent = spf_walk is not None and bool(relay_of(case).spf) and not is_providers_own(case)
    if is_asked and is_absent:
        return _warning(Stage.DMARC, "dmarc-unaligned", f"{text}; SPF does not name the service", found)
    return passed(Stage.DMARC, text, **found)


def _expected_spf(record: str, include: str) -> str:
    """Return the record as it should be, from the one that is there."""
    term = f"include:{include}" if include else "include:<of your provider>"
    if not record:
        return f"v=spf1 {term} ~all"
    terms = [one for one in record.split()[1:] if one.lower() not in {"+all", "all"}]
    if include and f"include:{include}" not in terms:
        terms.insert(0, term)
    is_ended = any(one.lower().lstrip("-~?") == "all" or one.lower().startswith("redirect=") for one in terms)
    return " ".join(["v=spf1", *terms, *([] if is_ended else ["~all"])])


def _tags(text: str) -> Mapping[str, str]:
    pairs = (part.partition("=") for part in text.split(";"))
    return {name.strip(): "".join(value.split()) for name, _, value in pairs if name.strip()}


def _warning(stage: Stage, cause: str, evidence: str, found: Mapping[str, str] | None = None) -> StageResult:
    return StageResult(
        stage=stage, status=StageStatus.WARNING, cause=cause, evidence=line(evidence), found=found or {}
    )
