"""The doctor of a run: the same for a server and for a command without one."""

from postroom.clock import Clock
from postroom.egress.doctor.doctor import AccountDoctor
from postroom.ports.doctor import Doctor


def build_doctor(clock: Clock) -> Doctor:
    """Return a doctor who asks this machine's name servers."""
    return AccountDoctor(clock=clock)
