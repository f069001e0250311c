"""A started server logs in with tokens."""

import asyncio
import http.client
import json
from pathlib import Path

import pytest

from egress.smtp_peer import SmtpPeer, listening
from egress.test_egress_token_logins import identity
from egress.token_source import counting
from peers.hook_server import hook_server
from peers.postroom_process import KEY, PostroomProcess

SETTINGS = """
[egress]
allowed_networks = ["127.0.0.0/8"]

[[transports]]
name = "mail"
url = "smtp://127.0.0.1:{port}"
username = "me@example.com"

[transports.oauth]
kind = "refresh_token"
token_url = "{token_url}"
client_id = "client-1"
client_secret = "planted-client-secret"
secret = "planted-refresh-token"
"""


def submitted(server: PostroomProcess) -> str:
    """Hand in a mail and return its state after the first attempt."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    mail = {"from": "me@example.com", "to": "to@example.net", "subject": "hello", "text": "hello"}
    fields = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json", "Prefer": "wait=10"}
    connection.request("POST", "/v1/messages", json.dumps(mail), fields)
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return str(answer["state"])


@pytest.mark.slow
def test_a_mail_goes_by_token(tmp_path: Path) -> None:
    """The first token has ended: it is renewed, the mail goes, and no secret stands in the log."""
    peer = SmtpPeer()
    identity(peer, {"token-2"})

    def serve(settings: Path) -> str:
        with PostroomProcess(tmp_path / "data", environ={"POSTROOM_CONFIG": str(settings)}) as server:
            assert "accepted" == submitted(server)
        return server.log.read_text(encoding="utf-8")

    async def main() -> None:
        async with hook_server(counting()) as issuer, listening(peer) as port:
            settings = tmp_path / "postroom.toml"
            settings.write_text(SETTINGS.format(port=port, token_url=issuer.url), encoding="utf-8")
            log = await asyncio.to_thread(serve, settings)
            assert 2 == len(issuer.requests)
        assert not [word for word in ("planted", "token-1", "token-2") if word in log]

    asyncio.run(main())
