"""The sender process: ``python -m postroom.bootstrap.sender DESCRIPTOR``, started by the server alone.

Its settings come as the first frame over the socket pair and its transports by later ones: no secret stands
in its arguments or environment.
"""

import ctypes
import pickle
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import uvloop

from postroom.bootstrap.seeing import conceal_accounts, forget_accounts
from postroom.clock import SystemClock
from postroom.egress.channel import first_frame
from postroom.egress.frames import packed
from postroom.egress.sender import Sender
from postroom.egress.smtp import SmtpTransport
from postroom.model.transport import TransportSpec
from postroom.net.guard import Guard
from postroom.ports import TokenSource, Transport
from postroom.spool.blobs import BlobFiles
from postroom.telemetry import configure_logging

COMMAND = (sys.executable, "-P", "-m", "postroom.bootstrap.sender")
"""``-P``: a file of the working directory that is named like a module is not taken for it."""
_PR_SET_PDEATHSIG = 1
"""linux/prctl.h: the signal this process gets when the thread that started it ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderSettings:
    """All that a sender process needs beside its transports, which come by frames of their own."""

    data: Path
    log_json: bool
    allowed_networks: tuple[str, ...] = ()
    """Where the accounts of callers may lead although it is not public."""


def packed_settings(settings: SenderSettings) -> bytes:
    """Return the first frame."""
    return packed(pickle.dumps(settings))


def main(arguments: Sequence[str]) -> None:
    """Serve until the server's end of the socket pair closes.

    Signals to the whole group are the server's matter: it finishes what is past its dot and then closes.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    # A server killed between two system calls cannot tell us; the kernel does.
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    end = socket.socket(fileno=int(arguments[0]))
    frame = first_frame(end)
    if frame is None:
        return  # the server has gone already
    settings: SenderSettings = pickle.loads(frame[0])  # noqa: S301 - from the server, over a private socket
    configure_logging(json=settings.log_json)
    uvloop.run(_serve(settings, end))


async def _serve(settings: SenderSettings, end: socket.socket) -> None:
    clock, blobs, guard = SystemClock(), BlobFiles(settings.data), Guard(settings.allowed_networks)
    guests: dict[str, TransportSpec] = {}

    def build(packed_spec: bytes, tokens: TokenSource) -> Transport:
        spec: TransportSpec = pickle.loads(packed_spec)  # noqa: S301 - as above
        conceal_accounts([spec])
        if spec.is_guest:
            guests[spec.name] = spec
        return SmtpTransport(spec, clock=clock, blobs=blobs, tokens=tokens, guard=guard)

    def forget(transport: Transport) -> None:
        if (spec := guests.pop(transport.name, None)) is not None:
            forget_accounts([spec])

    await Sender(build, clock=clock, forget=forget).serve(end)


if __name__ == "__main__":
    main(sys.argv[1:])
