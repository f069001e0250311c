"""TapData's connection test, from the call of its page to a mail at a real server."""

import json
import ssl
from pathlib import Path

import pytest
import trustme

from peers import proxies
from peers.mail_host import MailHost, running
from peers.postroom_process import PostroomProcess, free_port

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS"),  # the listener has TLS
]

PATH = "/api/Settings/testEmail"
PASSWORD = "authorization-code-17"
SETTINGS = """
[egress]
allowed_networks = ["127.0.0.0/8", "::1/128"]

[[transports]]
name = "tapdata"
host = "localhost"
port = {port}
username = "app@example.com"
password = "{password}"
from = "app@example.com"
proxy = "socks5://127.0.0.1:{socks}"
"""


@pytest.fixture
def context(tmp_path: Path) -> ssl.SSLContext:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return context


def test_the_button_of_the_settings_page(tmp_path: Path, context: ssl.SSLContext) -> None:
    """What is typed is tried: stored password, SOCKS, prefix, receivers; once a minute, nothing kept."""
    with running(MailHost(PASSWORD), implicit=context) as host, proxies.running() as proxy:
        page = SETTINGS.format(port=host.port, password=PASSWORD, socks=proxy.socks)
        (tmp_path / "made.toml").write_text(page)
        form = {
            "SMTP_Server_User": "app@example.com",
            "SMTP_Server_password": "*****",
            "Email_Communication_Protocol": "SSL",
            "SMTP_Server_Host": "localhost",
            "SMTP_Server_Port": str(host.port),
            "Email_Send_Address": "app@example.com",
            "Email_Receivers": "ops@example.org, dba@example.org",
            "Send_Email_Title_Prefix": "[Prod]",
            "SMTP_Proxy_Host": "127.0.0.1",
            "SMTP_Proxy_Port": str(proxy.socks),
        }
        dotted = {
            "smtp.server.user": "other@example.com",
            "smtp.server.password": PASSWORD,
            "email.server.tls": "SSL",
            "smtp.server.host": "localhost",
            "smtp.server.port": str(host.port),
            "email.send.address": "app@example.com",
            "email.receivers": "ops@example.org",
        }
        environ = {"SSL_CERT_FILE": str(tmp_path / "ca.pem")}
        args = ("--config", str(tmp_path / "made.toml"))
        with PostroomProcess(tmp_path / "data", environ=environ, args=args) as server:
            first = server.call("POST", PATH, form)
            again, too_soon = server.call("POST", PATH, form)
            own = server.call("POST", PATH, {**dotted, "title": "Hello", "text": "There."})
            wrong = {**dotted, "smtp.server.user": "third@example.com", "smtp.server.password": "no"}
            status, failed = server.call("POST", PATH, wrong)
            closed = {"smtp.proxy.host": "127.0.0.1", "smtp.proxy.port": str(free_port())}
            _, unproxied = server.call(
                "POST", PATH, {**dotted, **closed, "smtp.server.user": "fourth@example.com"}
            )
            missing, refused = server.call("POST", PATH, {**dotted, "email.receivers": " "})
            names = [way["name"] for way in server.call("GET", "/v1/transports")[1]["transports"]]
            view = server.call("GET", "/v1/messages?limit=1")[1]["messages"][0]
    assert (200, {"result": True, "stack": None}) == first == own
    assert not unproxied["result"]
    assert "proxy" in unproxied["stack"]
    (envelope, mail), (_, second) = host.mails
    assert ["ops@example.org", "dba@example.org"] == envelope.rcpt_tos
    assert ("[Prod]Tapdata Notification:", "app@example.com") == (mail["subject"], mail["from"])
    assert "This is a test email" in mail.get_content()
    assert ("Hello", "There.") == (second["subject"], second.get_content().strip())
    assert (429, False) == (again, too_soon["result"])
    assert "Try again in" in too_soon["stack"]
    assert (200, False) == (status, failed["result"])
    assert "535" in failed["stack"]
    assert (422, False) == (missing, refused["result"])
    assert "email.receivers" in refused["stack"]
    assert ["tapdata"] == names
    assert view["state"] in {"refused", "cancelled"}
    assert PASSWORD not in json.dumps([first, too_soon, failed, refused])
