"""A secret that cannot be printed by accident."""


class Secret:
    """A string whose ``repr``, ``str`` and format show only ``*****``; ``reveal`` gives it away."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        """Wrap ``value``."""
        self._value = value

    def reveal(self) -> str:
        """Return the secret itself, for the one place that must send it."""
        return self._value

    def __repr__(self) -> str:
        """Hide the value."""
        return "Secret(*****)"

    def __str__(self) -> str:
        """Hide the value."""
        return "*****"

    def __bool__(self) -> bool:
        """Say whether the secret is not empty."""
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        """Compare values; secrets are equal to secrets only."""
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        """Hash the value, so that pools can be keyed by credential."""
        return hash(self._value)
