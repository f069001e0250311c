"""What services publish for the domains of their customers: SPF includes and usual DKIM selectors.

Names as the services' own pages give them. A service that makes selectors per customer or by date has none
here, and then a key cannot be found without asking its owner.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Relay:
    """What one service publishes; keyed by the provider's id."""

    spf: str = ""
    """The name to include."""
    selectors: tuple[str, ...] = ()


RELAYS: Mapping[str, Relay] = {
    "163": Relay("spf.163.com"),
    "aliyun-directmail": Relay("spf1.dm.aliyun.com", ("aliyun-cn-hangzhou", "aliyun-ap-southeast-1")),
    "aliyun-qiye": Relay("spf.qiye.aliyun.com"),
    "brevo": Relay("spf.brevo.com", ("mail", "brevo1", "brevo2")),
    "exmail": Relay("spf.mail.qq.com"),
    "fastmail": Relay("spf.messagingengine.com", ("fm1", "fm2", "fm3")),
    "gandi": Relay("_mailcust.gandi.net", ("gm1", "gm2", "gm3")),
    "gmail": Relay("_spf.google.com", ("google",)),
    "gmail-relay": Relay("_spf.google.com", ("google",)),
    "godaddy": Relay("secureserver.net"),
    "icloud": Relay("icloud.com", ("sig1",)),
    "infomaniak": Relay("spf.infomaniak.ch"),
    "mail-ru": Relay("_spf.mail.ru", ("mailru",)),
    "mailbox-org": Relay("mailbox.org", ("MBO0001", "MBO0002", "MBO0003", "MBO0004")),
    "mailersend": Relay("_spf.mailersend.net", ("mlsend", "mlsend2")),
    "mailgun": Relay("mailgun.org", ("mx", "k1", "s1", "smtp", "mailo", "pic", "email")),
    "mailjet": Relay("spf.mailjet.com", ("mailjet",)),
    "mandrill": Relay("spf.mandrillapp.com", ("mte1", "mte2", "mandrill")),
    "microsoft365": Relay("spf.protection.outlook.com", ("selector1", "selector2")),
    "migadu": Relay("spf.migadu.com", ("key1", "key2", "key3")),
    "netease-qiye": Relay("spf.163.com"),
    "outlook-com": Relay("spf.protection.outlook.com", ("selector1", "selector2")),
    "ovh": Relay("mx.ovh.com"),
    "postmark": Relay("spf.mtasv.net"),
    "proton": Relay("_spf.protonmail.ch", ("protonmail", "protonmail2", "protonmail3")),
    "qq": Relay("spf.mail.qq.com"),
    "resend": Relay("amazonses.com", ("resend",)),
    "scaleway": Relay("_spf.tem.scaleway.com"),
    "sendgrid": Relay("sendgrid.net", ("s1", "s2")),
    "ses": Relay("amazonses.com"),
    "sparkpost": Relay("sparkpostmail.com"),
    "yandex": Relay("_spf.yandex.net", ("mail",)),
    "zeptomail": Relay("zeptomail.net"),
    "zoho": Relay("zohomail.com", ("zoho", "zmail")),
}
