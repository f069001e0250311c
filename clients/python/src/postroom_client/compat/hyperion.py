"""Hyperion's ``send_email``: the same signature and the same behaviour to its caller.

    from postroom_client.compat.hyperion import send_email

With ``POSTROOM_URL`` (in the settings object or the environment) the mail is handed over to a Postroom
server; the call waits up to ``SMTP_WAIT`` seconds for the first attempt, and what did not go then is
repeated by the server. Without it the extra ``postroom-client[direct]`` sends by the account of the settings,
STARTTLS required, and what did not go is raised. A plain function: fit for ``BackgroundTasks`` and for any
thread. Every difference from the original is in ``docs/hyperion.md``.
"""

import logging
import os
import smtplib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import Any, Protocol

from postroom_client.client import PostroomClient
from postroom_client.errors import InvalidError, NotConfiguredError
from postroom_client.messages import Message, message_of

WAIT_S = 10.0
"""For the first attempt by a server, unless the settings say ``SMTP_WAIT``."""
DIRECT_S = 60.0
"""For the one attempt without a server; the original waits for ever."""

_logger = logging.getLogger("hyperion.error")  # the original's
_REFUSED = frozenset({"refused", "suppressed"})
_GONE = frozenset({"accepted", "captured"})


class Settings(Protocol):
    """What is read of Hyperion's settings.

    Optional beside them: ``POSTROOM_URL`` and ``POSTROOM_API_KEY``, else from the environment, and
    ``SMTP_WAIT``.
    """

    @property
    def SMTP_ACTIVE(self) -> bool: ...  # noqa: D102, N802 - the names of the original
    @property
    def SMTP_SERVER(self) -> str: ...  # noqa: D102, N802
    @property
    def SMTP_PORT(self) -> int: ...  # noqa: D102, N802
    @property
    def SMTP_USERNAME(self) -> str: ...  # noqa: D102, N802
    @property
    def SMTP_PASSWORD(self) -> str: ...  # noqa: D102, N802
    @property
    def SMTP_EMAIL(self) -> str: ...  # noqa: D102, N802


class SendError(smtplib.SMTPException):
    """The mail did not go: the cause, what it means and what to do."""


class LoginError(SendError, smtplib.SMTPAuthenticationError):
    """The server refused the login."""

    def __init__(self, text: str, *, code: int) -> None:
        """Take the sentence and the code of the reply."""
        smtplib.SMTPAuthenticationError.__init__(self, code, text)


def send_email(recipient: str | list[str], subject: str, content: str, settings: Settings) -> None:
    """Send a html mail.

    Args:
        recipient: One address or several; blank ones are left out.
        subject: As it is.
        content: HTML.
        settings: Object with the ``SMTP_*`` attributes of Hyperion.

    Raises:
        SendError: Without a server: it did not go. Also an ``smtplib.SMTPException``.
        PostroomError: With a server: it could not be handed over.
    """
    recipients = [recipient] if isinstance(recipient, str) else list(recipient)
    if not settings.SMTP_ACTIVE:
        _logger.info('Mail with subject "%s" to %s is not sent: SMTP_ACTIVE is off', subject, recipients)
        return
    wanted = list(dict.fromkeys(one.strip() for one in recipients if one.strip()))
    mail = {"from": settings.SMTP_EMAIL, "subject": subject, "html": content}
    if not wanted:
        _warn(recipients, subject)
        return
    url = getattr(settings, "POSTROOM_URL", None) or os.environ.get("POSTROOM_URL")
    try:
        is_gone = _by_server(str(url), mail, wanted, settings) if url else _directly(mail, wanted, settings)
    except _NobodyError:
        is_gone = False
    if not is_gone:
        _warn(recipients, subject)


def _warn(recipients: Sequence[str], subject: str) -> None:
    """Say it in the words of the original, its spelling included."""
    _logger.warning('Bad email adress: "%s" for mail with subject "%s".', ", ".join(recipients), subject)


# --------------------------------------------------------------------------- with a server


def _by_server(url: str, mail: Mapping[str, str], wanted: Sequence[str], settings: Settings) -> bool:
    """Hand the mail over; return whether anybody is left whom it may reach."""
    wait_s = float(getattr(settings, "SMTP_WAIT", None) or WAIT_S)
    with PostroomClient(url, getattr(settings, "POSTROOM_API_KEY", None)) as client:

        def send(to: Sequence[str]) -> Message:
            return client.send(
                wait=wait_s, from_=mail["from"], to=to, subject=mail["subject"], html=mail["html"]
            )

        try:
            message = send(wanted)
        except InvalidError as error:
            message = send(_good(wanted, [(one.code, one.field) for one in error.problems], error))
    waiting = [one for one in message.recipients if one.state not in _GONE | _REFUSED]
    for one in waiting:
        _logger.info(
            "Mail %s to %s is %s: %s %s", message.id, one.address, one.state, one.meaning, one.remedy
        )
    return any(one.state not in _REFUSED for one in message.recipients)


class _NobodyError(Exception):
    """No address is one."""


def _good(wanted: Sequence[str], problems: Sequence[tuple[str, str]], error: Exception) -> list[str]:
    """Leave out the addresses that are none, as a server's refusal of a recipient would.

    Raises ``error`` when something else is wrong, _NobodyError when nobody is left.
    """
    places = [field.split(".")[1] if field.startswith("to.") else "" for _, field in problems]
    if not all(place.isdecimal() for place in places):
        raise error
    left = [one for number, one in enumerate(wanted) if str(number) not in places]
    if not left:
        raise _NobodyError
    return left


# --------------------------------------------------------------------------- without a server


def _directly(mail: Mapping[str, str], wanted: Sequence[str], settings: Settings) -> bool:
    """Make one attempt by the account of the settings; return whether anybody was not refused."""
    if find_spec("postroom") is None:
        msg = "nothing to send with: set POSTROOM_URL, or install postroom-client[direct]"
        raise NotConfiguredError(msg)
    from postroom.bootstrap.direct import send_alone  # noqa: PLC0415 - an extra
    from postroom.errors import InputError  # noqa: PLC0415 - as the one above

    account = {
        "host": settings.SMTP_SERVER,
        "port": settings.SMTP_PORT,
        "encryption": "starttls",
        "username": settings.SMTP_USERNAME,
        "password": settings.SMTP_PASSWORD,
    }

    def send(to: Sequence[str]) -> Mapping[str, Any]:
        # A thread of its own: the caller's may run an event loop.
        with ThreadPoolExecutor(1, thread_name_prefix="postroom") as thread:
            return thread.submit(send_alone, account, {**mail, "to": list(to)}, wait_s=DIRECT_S).result()

    try:
        document = send(wanted)
    except InputError as error:
        wrong = SendError("; ".join(f"{one.field}: {one.cause}. {one.fix}" for one in error.problems))
        document = send(_good(wanted, [(one.code, one.field) for one in error.problems], wrong))
    return _judged(message_of(document))


def _judged(message: Message) -> bool:
    """Return whether anybody took it. Raises SendError when it ended before or after the recipients."""
    if any(one.state in _GONE for one in message.recipients):
        return True
    others = [one for one in message.recipients if one.step != "rcpt" and one.state != "suppressed"]
    if not others:
        return False
    one = others[0]
    text = " ".join(filter(None, [one.cause + ":", one.meaning, one.remedy, one.reply]))
    if one.step == "auth" or one.cause.startswith("auth-"):
        raise LoginError(text, code=one.reply_code or 535)
    raise SendError(text)
