"""The figures for people, and the bars they are held against."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.postroom import OpenLoop, Uploads
from bench.result import Peer, better
from bench.smtp_in import LargeMail, Sessions
from bench.waiting import Waited

BAR_RATIO = 4.0
BAR_P99_MS = 20.0
BAR_CPU_US = 250.0
BAR_UPLOAD_MB = 150.0
BAR_LARGE_MB = 30.0
BAR_IDLE_MS = 20.0
BAR_CODE_MS = 1000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One figure and what it is held against."""

    name: str
    wanted: str
    found: str
    is_met: bool


def peers_table(peers: Sequence[Peer]) -> str:
    """Return one line a peer: the medians over its rounds."""
    lines = [
        "",
        f"{'':<18}{'accepted/s':>12}{'delivered/s':>13}{'CPU us/message':>16}{'peak PSS MB':>13}  copies",
    ]
    for peer in peers:
        copies = sum(one.received - one.sent for one in peer.rounds)
        lines.append(
            f"{peer.name:<18}{peer.median(lambda one: one.accepted_s):>12,.0f}"
            f"{peer.median(lambda one: one.delivered_s):>13,.0f}{peer.median(lambda one: one.cpu_us):>16,.0f}"
            f"{max(one.pss_mb for one in peer.rounds):>13,.0f}  {copies}"
        )
    return "\n".join(lines)


def configurations(peers: Sequence[Peer]) -> str:
    """Return every peer's settings."""
    lines = ["", "configurations (on top of the defaults)"]
    for peer in peers:
        lines.append(f"  {peer.name}")
        lines += [f"    {name} = {value}" for name, value in peer.settings.items()]
    return "\n".join(lines)


def latency_line(found: OpenLoop) -> str:
    """Return the open-loop figures."""
    return (
        f"accept at {found.rate}/s for {found.seconds:.0f} s, open loop: p50 {found.p50_ms:.1f} ms, "
        f"p99 {found.p99_ms:.1f} ms, max {found.max_ms:.1f} ms ({found.accepted} of {found.sent} accepted)"
    )


def uploads_line(found: Uploads) -> str:
    """Return the figures of the large attachments."""
    return (
        f"{found.count} messages with {found.attachment_bytes / 1e6:.0f} MB attached, "
        f"{found.connections} at once: "
        f"peak {found.peak_rss_mb:.0f} MB resident ({found.pss_mb:.0f} MB PSS), "
        f"{found.received} delivered in {found.seconds:.1f} s"
    )


def large_line(found: LargeMail) -> str:
    """Return the figures of one large mail by SMTP."""
    return (
        f"one mail of {found.content_bytes / 1e6:.0f} MB in and out by SMTP: memory of all processes "
        f"{found.before_mb:.0f} to {found.peak_mb:.0f} MB, {found.seconds:.1f} s"
    )


def sessions_line(found: Sessions) -> str:
    """Return the figures of many open sessions."""
    return (
        f"{found.opened} of {found.wanted} SMTP sessions open, {found.kb_each:.0f} kB each; "
        f"a mail by the last one took {found.mail_ms:.1f} ms"
    )


def waited_line(name: str, found: Waited) -> str:
    """Return the figures of messages that wait."""
    behind = f" beside {found.queued:,} bulk messages" if found.queued else ""
    return (
        f"{name}{behind}, from request to sink: p50 {found.p50_ms:.1f} ms, p99 {found.p99_ms:.1f} ms, "
        f"max {found.max_ms:.1f} ms ({found.count} messages)"
    )


def ratio(postroom: Peer, postfixes: Sequence[Peer]) -> float:
    """Return how many times the better Postfix's messages Postroom delivered in the same time."""
    return postroom.median(lambda one: one.delivered_s) / better(postfixes).median(
        lambda one: one.delivered_s
    )


def bars(
    postroom: Peer | None, postfixes: Sequence[Peer], latency: OpenLoop | None, uploads: Uploads | None
) -> list[Bar]:
    """Return the bars of throughput, latency and memory that were measured."""
    found = []
    if postroom and postfixes:
        times = ratio(postroom, postfixes)
        wanted = f"at least {BAR_RATIO:.0f} x Postfix"
        found.append(Bar(name="delivered", wanted=wanted, found=f"{times:.1f} x", is_met=times >= BAR_RATIO))
    if latency:
        p99 = latency.p99_ms
        wanted = f"under {BAR_P99_MS:.0f} ms"
        found.append(Bar(name="p99 of accept", wanted=wanted, found=f"{p99:.1f} ms", is_met=p99 < BAR_P99_MS))
    if postroom:
        cpu = postroom.median(lambda one: one.cpu_us)
        wanted = f"at most {BAR_CPU_US:.0f} us"
        found.append(
            Bar(name="CPU a message", wanted=wanted, found=f"{cpu:.0f} us", is_met=cpu <= BAR_CPU_US)
        )
    if uploads:
        peak = uploads.peak_rss_mb
        wanted = f"under {BAR_UPLOAD_MB:.0f} MB"
        found.append(
            Bar(name="memory, uploads", wanted=wanted, found=f"{peak:.0f} MB", is_met=peak < BAR_UPLOAD_MB)
        )
    return found


def smtp_bars(
    by_smtp: Peer | None, postfixes: Sequence[Peer], large: LargeMail | None, sessions: Sessions | None
) -> list[Bar]:
    """Return the bars of the SMTP door that were measured."""
    found = []
    if by_smtp and postfixes:
        times = ratio(by_smtp, postfixes)
        wanted = f"at least {BAR_RATIO:.0f} x Postfix"
        found.append(
            Bar(name="SMTP to SMTP", wanted=wanted, found=f"{times:.1f} x", is_met=times >= BAR_RATIO)
        )
    if large:
        growth, wanted = large.growth_mb, f"under {BAR_LARGE_MB:.0f} MB more"
        found.append(
            Bar(name="25 MB by SMTP", wanted=wanted, found=f"{growth:.0f} MB", is_met=growth < BAR_LARGE_MB)
        )
    if sessions:
        is_met = sessions.opened >= sessions.wanted
        found.append(
            Bar(name="SMTP sessions", wanted=f"{sessions.wanted}", found=f"{sessions.opened}", is_met=is_met)
        )
    return found


def waiting_bars(idle: Waited | None, code: Waited | None) -> list[Bar]:
    """Return the bars of messages that wait that were measured."""
    found = []
    if idle:
        wanted, p50 = f"under {BAR_IDLE_MS:.0f} ms", idle.p50_ms
        found.append(
            Bar(name="p50 when idle", wanted=wanted, found=f"{p50:.1f} ms", is_met=p50 < BAR_IDLE_MS)
        )
    if code:
        wanted, p99 = f"under {BAR_CODE_MS:.0f} ms", code.p99_ms
        found.append(
            Bar(name="p99 of a code", wanted=wanted, found=f"{p99:.1f} ms", is_met=p99 < BAR_CODE_MS)
        )
    return found


def bars_table(found: Sequence[Bar]) -> str:
    """Return one line a bar."""
    lines = ["", f"{'bar':<18}{'wanted':<24}{'found':<12}"]
    lines += [
        f"{bar.name:<18}{bar.wanted:<24}{bar.found:<12}{'met' if bar.is_met else 'MISSED'}" for bar in found
    ]
    return "\n".join(lines)
