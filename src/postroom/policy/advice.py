"""What a person should do next, from what is known about the queue, the transports and the store. Pure.

At most one piece of advice for each kind of trouble, the worst first; nothing to do is no advice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from postroom.model.lifecycle import RecipientState
from postroom.model.view import PauseKind, TransportPause


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What is so, and the command that shows more or mends it."""

    text: str
    command: str


def advice(
    *, counts: Mapping[RecipientState, int], pauses: Sequence[TransportPause], is_intake_stopped: bool
) -> tuple[Advice, ...]:
    """Return what to do, the worst first."""
    found = []
    if is_intake_stopped:
        text = "no new mail is taken: the disk has less free space than is kept in reserve"
        found.append(Advice(text=text, command="df -h"))
    for pause in [pause for pause in pauses if pause.kind is PauseKind.SECRETS][:1]:
        text = f"{pause.transport}: {pause.text}: put their key back and start again, or give them anew"
        found.append(Advice(text=text, command=f"postroom transports update {pause.transport} --password"))
    logins = [pause for pause in pauses if pause.kind is PauseKind.LOGIN]
    for pause in logins[:1]:
        text = f"{pause.transport} refuses the login ({pause.text}): mend the account, then try at once"
        found.append(Advice(text=text, command=f"postroom transports resume {pause.transport}"))
    for pause in [pause for pause in pauses if pause.kind is PauseKind.SUSPENDED][:1]:
        text = f"{pause.transport} is suspended by {pause.author or 'a person'} ({pause.text})"
        found.append(Advice(text=text, command=f"postroom transports resume {pause.transport}"))
    for state, words, command in _WAITING:
        if count := counts.get(state, 0):
            subject = "1 recipient is" if count == 1 else f"{count} recipients are"
            found.append(Advice(text=f"{subject} {words}", command=command))
    return tuple(found)


_WAITING = (
    (
        RecipientState.UNCERTAIN,
        "uncertain: find out whether the mail arrived, then say so (arrived, send-again or drop)",
        "postroom resolve --state uncertain --as arrived --note 'HOW YOU KNOW'",
    ),
    (RecipientState.HELD, "held for a person", "postroom release --state held"),
)
