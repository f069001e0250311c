"""The twelve mails of calypsso: what each takes and shows, and sources of our own of the same shape."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

GLOBALS = {
    "_product_name": "Acme & Co",
    "_payment_product_name": "AcmePay",
    "_entity_name": "Example Society",
    "_entity_site_url": "https://example.org",
    "_logo_url": "https://api.example.org/calypsso/logo.png",
}
URL = "https://app.example.org/do?a=1&b=2"


@dataclass(frozen=True, kw_only=True)
class Mail:
    """One of the twelve."""

    variables: Mapping[str, Any]
    """All that its file reads, with values."""
    preheader: str
    """``{product}`` is the name of the product."""
    button: str = ""
    """The variable its two buttons lead to; empty: two cards without a button."""
    has_more: bool = False
    """A paragraph below each button."""
    getter: str = ""
    """What stands behind ``get_mail_`` where it is not the name."""
    never_passed: str = ""
    """The variable that its getter leaves out."""
    types: Mapping[str, str] = field(default_factory=dict)


MAILS: Mapping[str, Mail] = {
    "account-activation": Mail(
        variables={"activation_url": URL},
        preheader="Welcome to {product}! Please activate your account.",
        button="activation_url",
    ),
    "account-exist": Mail(
        variables={"reset_password_url": URL},
        preheader="Your {product} account already exists!",
        never_passed="reset_password_url",
    ),
    "account-invitation": Mail(
        variables={"creation_url": URL},
        preheader="Welcome to {product}! Please create your account.",
        button="creation_url",
    ),
    "account-invitation-required": Mail(
        variables={}, preheader="You need an invitation to create a {product} account"
    ),
    "account-merged": Mail(
        variables={"deleted_mail": "old@example.org", "kept_mail": "new@example.org"},
        preheader="Your {product} accounts have been merged",
    ),
    "mail-migration-already-exist": Mail(
        variables={}, preheader="Email migration {product} - address is already used"
    ),
    "mail-migration-confirmation": Mail(
        variables={"confirmation_url": URL},
        preheader="Confirm your new {product} e-mail address",
        button="confirmation_url",
        getter="mail_migration_confirm",
    ),
    "mypayment-device-activation": Mail(
        variables={"activation_url": URL},
        preheader="Activate your device",
        button="activation_url",
        has_more=True,
    ),
    "mypayment-structure-transfer": Mail(
        variables={"confirmation_url": URL, "structure_name": "Tea Club"},
        preheader="Confirm structure transfer",
        button="confirmation_url",
        has_more=True,
        never_passed="structure_name",
    ),
    "mypayment-tos-signed": Mail(
        variables={"tos_version": 3, "tos_url": URL},
        preheader="Terms of Service signed",
        types={"tos_version": "integer"},
    ),
    "reset-password": Mail(
        variables={"confirmation_url": URL},
        preheader="Reset your {product} password",
        button="confirmation_url",
    ),
    "reset-password-account-does-not-exist": Mail(
        variables={"register_url": URL},
        preheader="Your {product} account does not exist.",
        button="register_url",
    ),
}


def source(name: str) -> str:
    """Return a mail of the same shape: preheader, variables, blocks and links, in words of our own."""
    mail = MAILS[name]
    lines = ["---", f"preheader: {mail.preheader.format(product='@{{ _product_name }}')}"]
    lines += [f"getter: {mail.getter}"] if mail.getter else []
    lines += ["variables:"] if mail.variables else []
    for variable in mail.variables:
        rule = "false" if variable == mail.never_passed else "true"
        kind = mail.types.get(variable, "string")
        lines.append(f"  {variable}: {{type: {kind}, required: {rule}}}")
    blocks = '\n<x-spacer height="24px" />\n'.join(_block(mail, lang) for lang in ("en", "fr"))
    return "\n".join([*lines, "---", f"<x-default>\n{blocks}\n</x-default>\n"])


def _block(mail: Mail, lang: str) -> str:
    words, press = ("À propos de", "Continuer") if lang == "fr" else ("About", "Go on")
    body = f"{words} @{{{{ _product_name }}}}, @{{{{ _payment_product_name }}}}"
    for variable in mail.variables:
        shown = f"@{{{{ {variable} }}}}"
        part = f' <a href="{shown}">{press}</a>' if variable.endswith("_url") else f" ({shown})"
        if variable == mail.never_passed:
            part = f"{{% if {variable} %}}{part}{{% endif %}}"
        body += part if variable != mail.button else ""
    head = f'lang="{lang}" title="{words} @{{{{ _product_name }}}}"'
    if not mail.button:
        return f"<x-card {head}>\n<p>{body}</p>\n</x-card>"
    more = "<fill:complementary_info>Postscript</fill:complementary_info>" if mail.has_more else ""
    head += f' url="@{{{{ {mail.button} }}}}" button="{press}"'
    return f"<x-button-card {head}>\n{body}{more}\n</x-button-card>"
