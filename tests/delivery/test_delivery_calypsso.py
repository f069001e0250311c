"""The calypsso package as a server's catalogue, and packages we build in its place, up to an SMTP server."""

import importlib
import inspect
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from types import ModuleType
from typing import Any

import calypsso
import pytest
from selectolax.lexbor import LexborHTMLParser, LexborNode

from peers.calypsso_mails import GLOBALS, MAILS, URL, source
from peers.mail_host import MailHost, running
from peers.postroom_process import KEY, PostroomProcess
from postroom_client.compat.hyperion import send_email

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("calypsso")]

POSTROOM = Path(sys.executable).parent / "postroom"
PLACE = {
    "product_name": GLOBALS["_product_name"],
    "payment_product_name": GLOBALS["_payment_product_name"],
    "entity_name": GLOBALS["_entity_name"],
    "entity_site_url": GLOBALS["_entity_site_url"],
    "api_base_url": "https://api.example.org/",
}
"""What Hyperion gives to the class."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """As Hyperion has them, with the two names of the server."""

    POSTROOM_URL: str
    POSTROOM_API_KEY: str = KEY
    SMTP_WAIT: float = 20.0
    SMTP_ACTIVE: bool = True
    SMTP_SERVER: str = "unused.invalid"
    SMTP_PORT: int = 587
    SMTP_USERNAME: str = ""
    SMTP_PASSWORD: str = ""
    SMTP_EMAIL: str = "noreply@example.com"


@pytest.fixture(scope="module")
def host() -> Iterator[MailHost]:
    with running(MailHost()) as server:
        yield server


@pytest.fixture(scope="module")
def server(host: MailHost, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostroomProcess]:
    """A server whose settings name the package."""
    place = tmp_path_factory.mktemp("calypsso")
    given = "\n".join(f'{name} = "{value}"' for name, value in GLOBALS.items())
    (place / "postroom.toml").write_text(
        f'from = "noreply@example.com"\n[[transports]]\nname = "main"\nurl = "smtp://127.0.0.1:{host.port}"\n'
        f'[templates]\npackages = ["calypsso"]\n[templates.globals]\n{given}\n'
    )
    with PostroomProcess(place / "data", args=("--config", str(place / "postroom.toml"))) as started:
        yield started


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """A package that the command makes of twelve sources of our own."""
    place = tmp_path_factory.mktemp("built")
    (place / "mails").mkdir()
    for name in MAILS:
        (place / "mails" / f"{name}.html").write_text(source(name))
    command = [str(POSTROOM), "templates", "build", "mails", "--package", "society-mails"]
    logo = ("--logo", "calypsso/logo.png")
    subprocess.run([*command, *logo], cwd=place, check=True, capture_output=True, timeout=100)
    sys.path.insert(0, str(place / "society-mails" / "src"))
    yield importlib.import_module("society_mails")
    sys.path.remove(str(place / "society-mails" / "src"))


def page_of(mail: EmailMessage) -> LexborHTMLParser:
    html = mail.get_body(("html",))
    assert html is not None
    return LexborHTMLParser(html.get_content())


def shown(node: LexborNode) -> str:
    return " ".join(node.text().split())


def links(page: LexborHTMLParser) -> list[str | None]:
    return [node.attributes["href"] for node in page.css("body a")]


def buttons(page: LexborHTMLParser) -> list[LexborNode]:
    return [node for node in page.css("a") if "inline-block" in (node.attributes["style"] or "")]


def has_the_shape(page: LexborHTMLParser, name: str) -> None:
    """Two blocks, English then French, each with its closing; buttons and postscripts where it has them."""
    mail = MAILS[name]
    product = GLOBALS["_product_name"]
    assert shown(page.css("body > div")[0]).startswith(mail.preheader.format(product=product))
    blocks = [node for node in page.css("td") if "border-radius: 8px" in _style(node)]
    assert [1, 1] == [len(block.css("h1")) for block in blocks]
    assert [GLOBALS["_logo_url"]] * 2 == [node.attributes["src"] for node in page.css("img")]
    for block, thanks in zip(blocks, ("Thanks, ", "Merci, "), strict=True):
        assert f"{thanks}{GLOBALS['_entity_name']}" in [shown(node) for node in block.css("p")]
    assert ([URL] * 2 if mail.button else []) == [node.attributes["href"] for node in buttons(page)]
    paragraphs = {(True, True): 4, (True, False): 3}.get((bool(mail.button), mail.has_more))
    if paragraphs:
        assert [paragraphs] * 2 == [len(block.css("p")) for block in blocks]


def _style(node: LexborNode) -> str:
    return (node.attributes.get("style") or "").replace(":", ": ").replace(":  ", ": ")


@pytest.mark.parametrize("name", MAILS)
def test_each_of_the_twelve_goes_from_a_call_to_the_server(
    name: str, server: PostroomProcess, host: MailHost
) -> None:
    """By name and variables: the mail that arrives has both blocks, every link, and a text part."""
    mail = MAILS[name]
    order = {
        "to": "kim@example.org",
        "subject": f"About {name}",
        "template": f"calypsso:{name}",
        "variables": mail.variables,
    }
    status, answer = server.call("POST", "/v1/messages", order, headers={"Prefer": "wait=20"})
    assert (200, "accepted") == (status, answer["state"]), answer
    assert f"calypsso:{name}" == answer["template"]["name"]
    envelope, arrived = host.mails[-1]
    assert (["kim@example.org"], f"About {name}") == (envelope.rcpt_tos, arrived["subject"])
    page = page_of(arrived)
    has_the_shape(page, name)
    assert all(links(page))
    plain = arrived.get_body(("plain",))
    assert plain is not None
    for text in map(str, mail.variables.values()):
        assert text in plain.get_content()
        assert text in page.text() + str(links(page))


def test_a_hole_of_the_package_is_refused_and_nothing_leaves(server: PostroomProcess, host: MailHost) -> None:
    """What its getters never pass is named, for each of the two mails it leaves it out of."""
    before = len(host.mails)
    for name, mail in MAILS.items():
        if mail.never_passed:
            order: dict[str, Any] = {"to": "kim@example.org", "subject": "x", "template": f"calypsso:{name}"}
            order["variables"] = {k: v for k, v in mail.variables.items() if k != mail.never_passed}
            status, answer = server.call("POST", "/v1/messages", order)
            assert (422, [f"variables.{mail.never_passed}"]) == (
                status,
                [one["field"] for one in answer["errors"]],
            )
    assert before == len(host.mails)


def test_a_package_we_build_takes_the_place_of_calypsso(built: ModuleType) -> None:
    """The class and each getter take the same arguments: names, order, types."""
    assert inspect.signature(calypsso.MailTemplates) == inspect.signature(built.MailTemplates).replace(
        return_annotation=inspect.signature(calypsso.MailTemplates).return_annotation
    )
    theirs = {name for name in dir(calypsso.MailTemplates) if name.startswith("get_mail_")}
    assert 12 == len(theirs)
    assert theirs == {name for name in dir(built.MailTemplates) if name.startswith("get_mail_")}
    for name in theirs:
        wanted = inspect.signature(getattr(calypsso.MailTemplates, name))
        here = inspect.signature(getattr(built.MailTemplates, name))
        assert wanted.return_annotation is here.return_annotation is str
        parameters = list(here.parameters.values())
        assert list(wanted.parameters.values()) == parameters[: len(wanted.parameters)]
        assert all(one.default is None for one in parameters[len(wanted.parameters) :])  # the two holes


@pytest.mark.parametrize("name", MAILS)
def test_getters_of_a_package_we_build_go_by_send_email(
    name: str, built: ModuleType, server: PostroomProcess, host: MailHost
) -> None:
    """Hyperion's lines with another import: the mail that arrives has the structure of the original's."""
    mail = MAILS[name]
    getter = f"get_mail_{mail.getter or name.replace('-', '_')}"
    given = {key: value for key, value in mail.variables.items() if key != mail.never_passed}
    pages = []
    for module in (calypsso, built):
        mail_templates = module.MailTemplates(**PLACE)
        content = getattr(mail_templates, getter)(**given)
        send_email(
            recipient="kim@example.org",
            subject="MyECL - a mail",
            content=content,
            settings=Settings(POSTROOM_URL=server.url),
        )
        assert "MyECL - a mail" == host.mails[-1][1]["subject"]
        pages.append(page_of(host.mails[-1][1]))
    theirs, ours = pages
    has_the_shape(theirs, name)
    has_the_shape(ours, name)
    assert "{{" not in ours.text()
    assert all(links(ours))
    assert {link for link in links(theirs) if link} == set(links(ours))
    assert len(theirs.css("[role=separator]")) == len(ours.css("[role=separator]"))
