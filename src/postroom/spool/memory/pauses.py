"""Pauses and learnt limits in memory."""

from collections.abc import Sequence

from postroom.model.view import LearntLimit, PauseKind, TransportPause


class MemoryPauses:
    """What transports wait for and what they have learnt."""

    def __init__(self) -> None:
        """Start empty."""
        self._pauses: dict[tuple[str, PauseKind], TransportPause] = {}
        self._limits: dict[tuple[str, int], LearntLimit] = {}

    def pause(self, pause: TransportPause) -> None:
        """Store a pause."""
        self._pauses[pause.transport, pause.kind] = pause

    def resume(self, transport: str, kind: PauseKind | None) -> None:
        """Remove pauses: of one kind, or of every kind but a person's."""
        kinds = set(PauseKind) - {PauseKind.SUSPENDED} if kind is None else {kind}
        for one in kinds:
            self._pauses.pop((transport, one), None)

    def pauses(self) -> Sequence[TransportPause]:
        """Return every stored pause."""
        return [self._pauses[key] for key in sorted(self._pauses)]

    def store_limit(self, limit: LearntLimit) -> None:
        """Store a learnt limit."""
        self._limits[limit.transport, limit.window_s] = limit

    def forget_limit(self, transport: str, window_s: int) -> None:
        """Remove a learnt limit."""
        self._limits.pop((transport, window_s), None)

    def limits(self) -> Sequence[LearntLimit]:
        """Return every learnt limit."""
        return [self._limits[key] for key in sorted(self._limits)]
