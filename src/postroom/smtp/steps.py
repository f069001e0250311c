"""The step table: for each step of a dialogue its time limit, its words, and what a loss there means.

One row per step, so that the engine, the shell and the texts of faults cannot disagree.
Sources: RFC 5321 section 4.5.3.2 (time limits), RFC 1047 (the final reply), RFC 2920 section 3.1 (groups).
"""

from dataclasses import dataclass

from postroom.model.step import Step
from postroom.model.transport import StepTimeouts


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRow:
    """What is special about waiting at one step."""

    timeout: str
    """Name of the field of ``StepTimeouts`` that limits the wait."""
    phrase: str
    """Where something happened, to be put after what happened: "connection closed" + phrase."""
    is_in_doubt: bool = False
    """A loss here leaves the outcome unknown: the final dot was handed to the socket."""


STEPS: dict[Step, StepRow] = {
    Step.RESOLVE: StepRow(timeout="connect", phrase="while resolving the host name"),
    Step.CONNECT: StepRow(timeout="connect", phrase="while connecting"),
    Step.PROXY: StepRow(timeout="connect", phrase="while asking the proxy"),
    Step.TLS: StepRow(timeout="tls", phrase="during the tls handshake"),
    Step.GREETING: StepRow(timeout="greeting", phrase="before the greeting"),
    Step.EHLO: StepRow(timeout="ehlo", phrase="after EHLO"),
    Step.STARTTLS: StepRow(timeout="starttls", phrase="after STARTTLS"),
    Step.AUTH: StepRow(timeout="auth", phrase="after AUTH"),
    Step.MAIL: StepRow(timeout="mail", phrase="after MAIL"),
    Step.RCPT: StepRow(timeout="rcpt", phrase="after RCPT"),
    Step.DATA: StepRow(timeout="data", phrase="after DATA"),
    Step.BODY: StepRow(timeout="body", phrase="while sending the content"),
    Step.BODY_END: StepRow(timeout="body_end", phrase="after sending the final dot", is_in_doubt=True),
    Step.RSET: StepRow(timeout="rset", phrase="after RSET"),
    Step.QUIT: StepRow(timeout="quit", phrase="after QUIT"),
}


def step_seconds(timeouts: StepTimeouts) -> dict[Step, float]:
    """Return the time limit of every step in seconds."""
    return {step: float(getattr(timeouts, row.timeout)) for step, row in STEPS.items()}
