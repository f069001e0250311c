"""Stored templates in memory."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from postroom.model.ids import TenantId
from postroom.model.template import TemplateVersion, Variant, VersionState
from postroom.spool.templates import MAX_TEMPLATES, MAX_VERSIONS, too_many


@dataclass(slots=True, kw_only=True, eq=False)
class _Template:
    last: int = 0
    current: int | None = None
    versions: dict[int, TemplateVersion] = field(default_factory=dict)


class MemoryTemplates:
    """The port ``TemplateRecords``."""

    def __init__(self) -> None:
        """Begin empty."""
        self._all: dict[tuple[TenantId, str], _Template] = {}
        self._removed: dict[tuple[TenantId, str], int] = {}
        """The newest numbers of templates that were removed: none is ever used again."""

    async def add(self, version: TemplateVersion) -> int:
        """Store a version and return its number. Raises TooLargeError."""
        key = (version.tenant, version.name)
        if key not in self._all and sum(tenant == version.tenant for tenant, _ in self._all) >= MAX_TEMPLATES:
            raise too_many()
        template = self._all.setdefault(key, _Template(last=self._removed.pop(key, 0)))
        template.last += 1
        if version.published_at is not None:
            template.current = template.last
        template.versions[template.last] = replace(version, number=template.last)
        for number in sorted(template.versions):
            if len(template.versions) <= MAX_VERSIONS:
                break
            if number != template.current:
                del template.versions[number]
        return template.last

    async def names(self, tenant: TenantId) -> Sequence[TemplateVersion]:
        """Return, by name, the version in use of every template, else its newest draft."""
        return [
            _without_texts(template.versions[template.current or template.last])
            for (owner, _), template in sorted(self._all.items(), key=lambda item: item[0])
            if owner == tenant
        ]

    async def one(self, tenant: TenantId, name: str, number: int | None = None) -> TemplateVersion | None:
        """Return a version; without a number the one in use."""
        template = self._all.get((tenant, name))
        wanted = number if number is not None or template is None else template.current
        return None if template is None or wanted is None else template.versions.get(wanted)

    async def versions(self, tenant: TenantId, name: str) -> Sequence[TemplateVersion]:
        """Return every version of a template, newest first."""
        template = self._all.get((tenant, name))
        found = {} if template is None else template.versions
        return [_without_texts(found[number]) for number in sorted(found, reverse=True)]

    async def publish(self, tenant: TenantId, name: str, number: int, *, at: datetime) -> bool:
        """Make a version the one in use; ``False`` when there is none."""
        template = self._all.get((tenant, name))
        if template is None or number not in template.versions:
            return False
        before = template.versions[number]
        template.versions[number] = replace(before, state=VersionState.PUBLISHED, published_at=at)
        template.current = number
        return True

    async def remove(self, tenant: TenantId, name: str) -> bool:
        """Remove a template with all versions; ``False`` when there is none."""
        template = self._all.pop((tenant, name), None)
        if template is not None:
            self._removed[tenant, name] = template.last
        return template is not None


def _without_texts(version: TemplateVersion) -> TemplateVersion:
    return replace(
        version,
        variants={
            locale: Variant(
                source=replace(variant.source, text="", text_part=None),
                compiled=replace(variant.compiled, html="", text=""),
            )
            for locale, variant in version.variants.items()
        },
    )
