"""The packaged OpenAPI document: it is what the table of operations says, and only what is served."""

import json
import subprocess
import sys

import pytest
from tools import draw_openapi

from postroom.ingress.http.app import described
from postroom.web.gate import Operation


def test_packaged_document_is_drawn_from_the_table() -> None:
    """The file equals what is written from the operations now; `make docs` writes it again."""
    assert draw_openapi.drawn() == draw_openapi.DOCUMENT.read_text(encoding="utf-8")


def test_paths_that_are_not_served_are_not_described() -> None:
    """A server with one operation describes one path, with the version of the program."""

    async def endpoint(_request: object) -> object:
        raise AssertionError

    operation = Operation(method="GET", path="/healthz", endpoint=endpoint, needs=None, summary="")  # type: ignore[arg-type] # never called
    document = described([operation])
    assert ["/healthz"] == list(document["paths"])
    assert "0" != document["info"]["version"]


@pytest.mark.slow
def test_the_server_starts_without_the_framework() -> None:
    """What `postroom serve` imports holds no FastAPI and uvicorn (a second of a start), nor what few need."""
    script = "import json, sys, postroom.bootstrap.serve; print(json.dumps(sorted(sys.modules)))"
    listed = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
    assert set() == {"fastapi", "uvicorn", "jinja2", "cronsim", "png"} & set(json.loads(listed.stdout))
