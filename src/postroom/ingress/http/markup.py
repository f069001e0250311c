"""Pages as text: one frame, one stylesheet, nothing loaded from anywhere, no script at all."""

import hashlib
import re
from base64 import b64encode
from html import escape
from importlib.resources import files

from starlette.responses import Response

from postroom.web.gate import SECURITY_HEADERS

STYLE = files("postroom.ingress.http").joinpath("assets/page.css").read_text("utf-8")
_STYLE_HASH = b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
_CODE = re.compile(r"`([^`]+)`")
POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""The stylesheet above and nothing else: even markup that slipped in could load or run nothing."""


def page(
    title: str, content: str, *, status: int = 200, language: str = "en", has_form: bool = False
) -> Response:
    """Frame a page; ``content`` is markup, ``title`` is text. A form may be sent to this server alone."""
    policy = POLICY.replace("form-action 'none'", "form-action 'self'") if has_form else POLICY
    text = (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style></head><body><main>{content}</main></body></html>"
    )
    headers = {**SECURITY_HEADERS, "content-security-policy": policy, "referrer-policy": "no-referrer"}
    return Response(text, status, headers, "text/html; charset=utf-8")


def code(text: str) -> str:
    """Mark up a block of code."""
    return f"<pre><code>{escape(text)}</code></pre>"


def prose(text: str) -> str:
    """Mark up a sentence: what stands between backticks is code."""
    return _CODE.sub(r"<code>\1</code>", escape(text))


def facts(pairs: list[tuple[str, str]]) -> str:
    """Mark up names and values; both are text."""
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in pairs)
    return f"<dl>{rows}</dl>"
