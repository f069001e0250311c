"""``[templates]`` of the settings file: where templates are, what rendering may cost, what all can read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field

from postroom.config.settings import TemplateSettings
from postroom.config.sources import Sources
from postroom.engine.limits import MIB
from postroom.renderer.packages import package_folder
from postroom.schema.quantities import parse_duration
from postroom.schema.written import Section, Size, listed

LOGO_PATH = "calypsso/logo.png"
"""Where an API of the calypsso shape serves its logo, below its base URL."""
_GIVEN = frozenset({"_year", "_locale"})
"""Globals that rendering knows by itself."""


def _package(text: str) -> str:
    if not text.isidentifier() or text == "postroom":
        msg = "not the name of a Python package"
        raise ValueError(msg)
    return text


def _plain(value: object) -> object:
    if not isinstance(value, str | int | float):
        msg = "not text, a number, true or false"
        raise ValueError(msg)  # noqa: TRY004 - pydantic collects value errors only
    return value


class GlobalsSection(Section):
    """What every template can read. Further names with an underscore in front are allowed."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Annotated[str | int | float | bool, BeforeValidator(_plain)]]

    product_name: Annotated[str | None, Field(alias="_product_name")] = None
    """Name of the product whose mail this is."""
    payment_product_name: Annotated[str | None, Field(alias="_payment_product_name")] = None
    """Name of its part for payments."""
    entity_name: Annotated[str | None, Field(alias="_entity_name")] = None
    """Who sends: a company, a society."""
    entity_site_url: Annotated[str | None, Field(alias="_entity_site_url")] = None
    """The sender's site, which the logo leads to."""
    logo_url: Annotated[str | None, Field(alias="_logo_url")] = None
    """The logo; else `calypsso/logo.png` below `api_base_url`."""
    api_base_url: str | None = None
    """Base URL of the application's API; only for `_logo_url`."""


class TemplatesSection(Section):
    """Templates of mail."""

    directory: str | None = None
    """A directory of templates, usually a checkout; read again when it changes."""
    packages: Annotated[tuple[Annotated[str, AfterValidator(_package)], ...], BeforeValidator(listed)] = ()
    """Installed Python packages of templates; used as `PACKAGE:NAME`."""
    workers: Annotated[int, Field(ge=1, le=32)] = 1
    """Processes that render; they start with the first mail that needs one."""
    time_limit: Annotated[float, BeforeValidator(parse_duration), Field(ge=0.05, le=60)] = 1.0
    """How long one rendering may take."""
    memory_limit: Annotated[Size, Field(ge=32 * MIB)] = 256 * MIB
    """Memory of such a process beyond what it starts with."""
    globals: GlobalsSection = GlobalsSection()


def template_settings(section: TemplatesSection, sources: Sources, cwd: Path) -> TemplateSettings:
    """Return what the section means; what is wrong with it is reported to ``sources``."""
    directory = None
    if section.directory is not None:
        directory = cwd.absolute() / Path(section.directory).expanduser()
        if not directory.is_dir():
            field = sources.origins.get(("templates", "directory"), "templates.directory")
            sources.report("file", field, "there is no such directory", f"Check {directory}.")
    packages = {}
    for name in section.packages:
        folder = package_folder(name)
        if folder is None:
            field = sources.origins.get(("templates", "packages"), "templates.packages")
            cause = f"no package {name} with a folder mail_templates is installed beside Postroom"
            sources.report("template-package", field, cause, f"Install it: pip install {name}.")
        else:
            packages[name] = folder
    return TemplateSettings(
        directory=directory,
        packages=packages,
        workers=section.workers,
        time_limit_s=section.time_limit,
        memory_bytes=section.memory_limit,
        globals=_globals(section.globals, sources),
    )


def _globals(section: GlobalsSection, sources: Sources) -> Mapping[str, str | int | float | bool]:
    found: dict[str, str | int | float | bool] = {}
    for name, value in section.model_dump(by_alias=True, exclude_none=True).items():
        if name == "api_base_url":
            found.setdefault("_logo_url", f"{value.removesuffix('/')}/{LOGO_PATH}")
        elif not name.startswith("_") or not name.isidentifier():
            fix = f"Write _{name}: globals begin with an underscore, variables of a mail do not."
            cause = "not the name of a global"
            sources.report("template-global", f"templates.globals.{name}", cause, fix)
        elif name in _GIVEN or name.startswith("__"):
            cause, fix = "every rendering knows it by itself", "Remove it."
            sources.report("template-global", f"templates.globals.{name}", cause, fix)
        else:
            found[name] = value
    return found
