"""The Python client of Postroom: hand mail to a server, and see what became of it.

``PostroomClient`` and ``AsyncPostroomClient`` are the same calls; errors are typed and carry the server's
cause and fix. ``compat`` has functions with the signatures of other programs.
"""

from postroom_client.alerts import Alert, AlertHandler, TakenAlert
from postroom_client.client import AsyncPostroomClient, PostroomClient
from postroom_client.errors import (
    ConflictError,
    InvalidError,
    NotConfiguredError,
    NotFoundError,
    PostroomError,
    Problem,
    RefusedKeyError,
    ServerError,
    UnavailableError,
    UnreachableError,
)
from postroom_client.messages import Attachment, Mail, Message, Recipient, TemplateLook
from postroom_client.templates import Preview, Template

__all__ = [
    "Alert",
    "AlertHandler",
    "AsyncPostroomClient",
    "Attachment",
    "ConflictError",
    "InvalidError",
    "Mail",
    "Message",
    "NotConfiguredError",
    "NotFoundError",
    "PostroomClient",
    "PostroomError",
    "Preview",
    "Problem",
    "Recipient",
    "RefusedKeyError",
    "ServerError",
    "TakenAlert",
    "Template",
    "TemplateLook",
    "UnavailableError",
    "UnreachableError",
]
