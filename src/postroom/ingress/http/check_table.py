"""The operations that check an account or send a test mail."""

from postroom.ingress.http.acting import JSON, JSON_OR_NOTHING
from postroom.ingress.http.checks import MAX_TEXT, CheckDoors
from postroom.ingress.http.language import ACCEPT_LANGUAGE
from postroom.schema.checking import CheckBody, RecipientBody, TestMailAnswer, TestMailBody
from postroom.schema.checkup_answers import CheckupAnswer
from postroom.schema.diagnosed import DiagnoseBody, DiagnosisAnswer
from postroom.web.gate import Operation

_NO_MAIL = "Stage by stage, within 15 seconds; no mail is sent. A `fix` is the body of PATCH that mends it."


def check_operations(checks: CheckDoors) -> list[Operation]:
    """Return the table."""
    found = {200: ("What was found; `ok` when nothing failed.", CheckupAnswer)}
    return [
        Operation(
            method="POST",
            path="/v1/transports/check",
            endpoint=checks.check_given,
            needs="admin",
            summary="Check an account that need not be stored",
            description=f"{_NO_MAIL} `*****` is the stored secret of the transport of that name.",
            media_types=JSON,
            body=CheckBody,
            parameters=[ACCEPT_LANGUAGE],
            answers=found,
        ),
        Operation(
            method="POST",
            path="/v1/transports/{name}/check",
            endpoint=checks.check_known,
            needs="admin",
            summary="Check a way out",
            description=_NO_MAIL,
            media_types=JSON_OR_NOTHING,
            body=RecipientBody,
            parameters=[ACCEPT_LANGUAGE],
            answers=found,
        ),
        Operation(
            method="POST",
            path="/v1/transports/{name}/test",
            endpoint=checks.test,
            needs="admin",
            summary="Send a test mail",
            description="A real message of class code by this transport; the answer comes after its first "
            "attempt or after 30 seconds. One a minute for each transport, else 429 with the seconds left.",
            media_types=JSON_OR_NOTHING,
            body=TestMailBody,
            parameters=[ACCEPT_LANGUAGE],
            answers={200: ("What became of it.", TestMailAnswer)},
        ),
        Operation(
            method="POST",
            path="/v1/diagnose",
            endpoint=checks.diagnose,
            needs="read",
            summary="What a pasted text means",
            description="A reply, a line of a log, a bounce or the error text of another program; what is "
            "not known is `unknown` and never guessed.",
            media_types=JSON,
            max_body=MAX_TEXT,
            body=DiagnoseBody,
            parameters=[ACCEPT_LANGUAGE],
            answers={200: ("Its cause, in the language asked for.", DiagnosisAnswer)},
        ),
    ]
