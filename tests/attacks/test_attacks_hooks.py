"""Every attack row that is a URL, handed to a started server as a webhook endpoint."""

import http.server
import threading
from collections.abc import Iterator

import pytest

from attacks.attack_room import AttackRoom, Row, attack_room, inputs, rows

pytestmark = pytest.mark.slow

URL_ROWS = [one for one in rows() if one["surface"] == "fetch.url"]
RUN = {one["id"] for one in URL_ROWS}
"""Rows that are run here."""


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AttackRoom]:
    with attack_room(tmp_path_factory.mktemp("hooks")) as attacked:
        yield attacked


@pytest.mark.parametrize("one", URL_ROWS, ids=lambda one: one["id"])
def test_attack_urls_are_refused(room: AttackRoom, one: Row) -> None:
    """The URL is refused with a reason by the field's name, and no endpoint is stored."""
    with room.watched():
        for text in inputs(one):
            status, problem = room.server.call("POST", "/v1/webhooks", {"url": text})
            assert 422 == status
            assert ["url"] == [error["field"] for error in problem["errors"]]
        assert [] == room.server.call("GET", "/v1/webhooks")[1]["webhooks"]


def test_a_name_that_leads_home_is_not_called(room: AttackRoom) -> None:
    """An endpoint whose name resolves to this machine is stored, and its canary sees nothing (O5)."""
    met: list[str] = []

    class Canary(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            met.append(self.path)

    with http.server.HTTPServer(("127.0.0.1", 0), Canary) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            url = f"http://localhost:{server.server_port}/"
            status, hook = room.server.call("POST", "/v1/webhooks", {"url": url})
            assert 201 == status
            status, said = room.server.call("POST", f"/v1/webhooks/{hook['id']}/test")
            room.server.call("DELETE", f"/v1/webhooks/{hook['id']}")
        finally:
            server.shutdown()
            thread.join()

    assert (200, False, None) == (status, said["delivered"], said["status"])
    assert "egress.allowed_networks" in said["text"]
    assert [] == met
