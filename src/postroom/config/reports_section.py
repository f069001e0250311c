"""``[reports]`` of the settings file: what senders hear of mail that came by SMTP or sendmail."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from postroom.schema.quantities import parse_duration
from postroom.schema.written import Section, domain_name


class ReportsSection(Section):
    """Reports to the senders of mail that came by SMTP or sendmail."""

    send: bool = True
    """Tell the sender by mail what could not be sent, and what else the sender asked to hear."""
    delayed_after: Annotated[float, BeforeValidator(parse_duration), Field(ge=60)] = 14400.0
    """A sender who asked for it is told of mail that waits longer than this."""
    language: Literal["en", "zh", "ko", "de", "fr"] = "en"
    """Language of a report when the mail itself names none."""
    name: Annotated[str, AfterValidator(domain_name)] | None = None
    """Host name of this gateway in reports; else the first of `smtp.names`, else the machine's."""
