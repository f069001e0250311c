"""Alerts of a run: the desk of the doors, who looks at events and clocks, and the watch over Postroom itself.

Order of a start: rules, evaluator, courier, watch. The end is the reverse.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from ssl import PEM_cert_to_DER_cert

from postroom.bootstrap.alert_mail import MailParts, courier_of
from postroom.clock import Clock, Dice
from postroom.config.settings import Settings
from postroom.engine.alerting.courier import Courier
from postroom.engine.alerting.desk import Alerts
from postroom.engine.alerting.evaluator import Evaluator
from postroom.engine.alerting.rules import Rulebook
from postroom.engine.alerting.watch import Watch
from postroom.engine.ways import Ways
from postroom.model.alert_rules import AlertRules
from postroom.policy.alerting.own import CertificateFacts
from postroom.schema.alert_fitting import merged
from postroom.spool.sqlite.opening import SqliteStore
from postroom.telemetry import logger

log = logger("bootstrap")


@dataclass(frozen=True, slots=True, kw_only=True)
class Alerting:
    """The parts."""

    alerts: Alerts
    rulebook: Rulebook
    evaluator: Evaluator
    courier: Courier
    watch: Watch


def alerting_of(
    settings: Settings,
    store: SqliteStore,
    *,
    ways: Ways,
    mail: MailParts,
    clock: Clock,
    dice: Dice,
    fatal: Callable[[BaseException], None],
) -> Alerting:
    """Put the parts together; nothing runs yet."""
    rulebook = Rulebook(settings.alerts, records=store.alerts, merged=merged)

    def rules() -> AlertRules:
        return rulebook.rules

    courier = courier_of(settings, store, mail, ways=ways, rules=rules, clock=clock, fatal=fatal)
    evaluator = Evaluator(rules, records=store.alerts, clock=clock, fatal=fatal, written=courier.hint)
    alerts = Alerts(
        records=store.alerts,
        evaluator=evaluator,
        rulebook=rulebook,
        spool=store.spool,
        clock=clock,
        dice=dice,
    )
    files = _certificate_files(settings)
    watch = Watch(
        alerts=alerts,
        ways=ways,
        gauge=store.gauge,
        hooks=store.hooks,
        certificates=lambda: _certificates(files),
        uncertain_after=settings.uncertain_alarm,
        clock=clock,
        fatal=fatal,
    )
    return Alerting(alerts=alerts, rulebook=rulebook, evaluator=evaluator, courier=courier, watch=watch)


@asynccontextmanager
async def alerted(alerting: Alerting) -> AsyncIterator[None]:
    """Look at events and clocks while the block runs."""
    await alerting.rulebook.load()
    await alerting.evaluator.start()
    await alerting.courier.start()
    await alerting.watch.start()
    try:
        yield
    finally:
        await alerting.watch.stop()
        await alerting.courier.stop()
        await alerting.evaluator.stop()


def _certificate_files(settings: Settings) -> Sequence[Path]:
    """Return the certificates of our listeners that somebody else renews."""
    given = [listener.files or settings.tls for listener in settings.listeners if listener.tls]
    if settings.smtp.listeners:
        given.append(settings.smtp.tls)
    return tuple(dict.fromkeys(files.cert for files in given if files is not None))


def _certificates(files: Sequence[Path]) -> Sequence[CertificateFacts]:
    """Read them; one that cannot be read is told of by whoever listens with it."""
    if not files:
        return ()
    # Late, because few need it and it costs 30 ms of a start.
    from postroom.net.certificates import read_certificate  # noqa: PLC0415

    found = []
    for file in files:
        try:
            ends_at = read_certificate(_first_der(file)).not_after
        except (OSError, ValueError) as error:
            log.warning("a certificate cannot be read", file=str(file), error=str(error))
        else:
            found.append(CertificateFacts(file=str(file), ends_at=ends_at))
    return found


def _first_der(file: Path) -> bytes:
    text = file.read_text("ascii")
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    return PEM_cert_to_DER_cert(text[text.index(begin) : text.index(end) + len(end)])
