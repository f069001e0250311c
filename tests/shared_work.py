"""How pytest-xdist shares out tests: a short run one by one, a run of thousands file by file.

Its own way looks through all that was given out whenever a test ends, so that thousands of small tests cost
more to share out than to run.
"""

from xdist.scheduler import LoadGroupScheduling  # type: ignore[import-untyped]

MANY = 1000
"""From here on the tests are small ones: files of them balance well enough."""


class ByFile(LoadGroupScheduling):  # type: ignore[misc] # pytest-xdist is not typed
    """Groups stay together, and so do the tests of a file when there are many."""

    def _split_scope(self, nodeid: str) -> str:
        scope = str(super()._split_scope(nodeid))
        if scope == nodeid and len(self.collection or ()) >= MANY:
            return nodeid.partition("::")[0]
        return scope

    def schedule(self) -> None:
        """Share them out in the order of the files: the most tests are not the most work."""
        self.config.option.loadscopereorder = False
        super().schedule()
