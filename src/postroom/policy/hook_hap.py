"""The body that Mingdao HAP posts to an e-mail webhook: its members, their names and their order.

Addresses stand bare, as in HAP's own posts; ``Signature`` is the sender's name, ``Body`` always HTML, and
``Attachments`` maps a name to a link. Every member is there, empty ones too.

Source: "How to enable email service", section Self Integration.
"""

import json

from postroom.policy.hook_mail import HookMail, shown_inline, unique_names

CONTENT_TYPE = "application/json"


def hap_body(mail: HookMail) -> bytes:
    """Return the JSON text, the same for the same mail."""
    mail = shown_inline(mail)
    names = unique_names([one.name for one in mail.files])
    body = {
        "ToEmails": [one.address.spec for one in mail.to],
        "ReplyToEmails": [one.address.spec for one in mail.reply_to],
        "CcEmails": [one.address.spec for one in mail.cc],
        "BccEmails": [one.address.spec for one in mail.bcc],
        "Signature": mail.signature,
        "Subject": mail.subject,
        "Body": mail.body,
        "Attachments": {name: one.url for name, one in zip(names, mail.files, strict=True)},
    }
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
