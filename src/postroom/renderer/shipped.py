"""The templates that come with Postroom as a place of the catalogue: ``postroom:NAME``.

They are compiled with the components, styles and theme of the directory, so that they wear its colours.
"""

from postroom.model.template import Collection, Shelf, TemplateSource
from postroom.ports import Collections
from postroom.template.shelves import shipped_sources


class Shipped:
    """The port ``Collections`` over the package's own data."""

    def __init__(self, directory: Collections | None) -> None:
        """Take the directory whose components go before the shipped ones."""
        self._directory = directory
        self._collection: Collection | None = None
        self._sources: dict[str, tuple[TemplateSource, ...]] = {}

    async def look(self) -> Collection:
        """Return them, with the directory's shelf as it is now. Never raises."""
        shelf = Shelf() if self._directory is None else (await self._directory.look()).shelf
        if self._collection is None or self._collection.shelf is not shelf:
            self._collection = Collection(sources=self._sources or self._read(), shelf=shelf)
        return self._collection

    def _read(self) -> dict[str, tuple[TemplateSource, ...]]:
        for source in shipped_sources():
            self._sources[source.name] = (*self._sources.get(source.name, ()), source)
        return self._sources
