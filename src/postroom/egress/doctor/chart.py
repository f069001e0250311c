"""What a check has found so far: one result a stage, and how long each stage took."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from postroom.clock import Clock
from postroom.model.checkup import Stage, StageResult, StageStatus
from postroom.policy.doctoring import skipped

DIALOGUE = (
    Stage.NAME,
    Stage.DNS,
    Stage.PROXY,
    Stage.TCP,
    Stage.GREETING,
    Stage.TLS,
    Stage.EHLO,
    Stage.AUTH,
    Stage.MAIL,
    Stage.RCPT,
    Stage.RSET,
)
"""In the order of a plain port with STARTTLS; where TLS comes first it is told first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckLimits:
    """Seconds that a check and its parts may take; one set for real use, smaller ones for tests."""

    total: float = 14.0
    """Of the whole check, domain records included; with what it takes to end, within 15."""
    names: float = 3.0
    """For the addresses of the host, and for each DNS record."""
    connect: float = 5.0
    tls: float = 5.0
    step: float = 6.0
    """For the reply to each command."""
    silence: float = 2.0
    """Without a greeting, after which TLS is tried beside; a tarpit may still greet until the end."""
    beside: float = 2.5
    """For each look beside the dialogue: another port, a certificate that was not trusted."""
    leave: float = 0.5
    """For the reply to QUIT."""


class Chart:
    """Notes of one check."""

    def __init__(self, clock: Clock, total_s: float) -> None:
        """Begin now."""
        self.is_tls_first = False
        self._clock = clock
        self._end = clock.monotonic() + total_s
        self._was_cut = False
        self._results: dict[Stage, StageResult] = {}
        self._seconds: dict[Stage, float] = {}

    def left(self, limit_s: float) -> float:
        """Return how many seconds a wait may take: its limit, or what is left of the check."""
        return max(min(limit_s, self._end - self._clock.monotonic()), 0.0)

    @property
    def is_cut(self) -> bool:
        """Whether the time of the whole check is used up."""
        return self._clock.monotonic() >= self._end - 0.01  # timers may ring a moment early

    @contextmanager
    def timing(self, stage: Stage) -> Iterator[None]:
        """Count the time of a block for a stage."""
        began = self._clock.monotonic()
        try:
            yield
        finally:
            self._seconds[stage] = self._seconds.get(stage, 0.0) + self._clock.monotonic() - began

    def note(self, result: StageResult) -> None:
        """Keep the result of a stage; the first one counts."""
        self._results.setdefault(result.stage, result)

    def note_cut(self) -> None:
        """Note that the check was ended by its time: what has no result then says so."""
        self._was_cut = True

    def stages(self, stages: Sequence[Stage]) -> Sequence[StageResult]:
        """Return the results of these stages with their times; what has none was not reached."""
        if self.is_tls_first:
            stages = [stage for stage in stages if stage is not Stage.TLS]
            stages.insert(stages.index(Stage.GREETING), Stage.TLS)
        told = [self._results.get(stage) for stage in stages]
        failed = next((one for one in told if one is not None and one.status is StageStatus.FAILED), None)
        if self._was_cut:
            cut = skipped(Stage.NAME, "not reached: the time of the check was used up", "check-cut")
            filled = [one or replace(cut, stage=stage) for stage, one in zip(stages, told, strict=True)]
            told = list(filled if failed is not None else _failed_where_cut(filled))
        why = f"not reached: {failed.stage.value} failed" if failed is not None else "not reached"
        return [
            replace(one or skipped(stage, why), ms=round(self._seconds.get(stage, 0.0) * 1000))
            for stage, one in zip(stages, told, strict=True)
        ]


def _failed_where_cut(told: Sequence[StageResult]) -> list[StageResult]:
    """Return results of which the first that was cut has failed: what nobody saw is not well."""
    at = next((at for at, one in enumerate(told) if one.cause == "check-cut" and one.stage in DIALOGUE), None)
    return [
        replace(one, status=StageStatus.FAILED) if at == number else one for number, one in enumerate(told)
    ]
