"""No input brings an HTTP error, an answer that is not JSON, or a code outside the table."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ingress.nexus_doors import Answered, Call, ScriptedService, app_of, form_body
from postroom.schema.nexus import Code

JSON = {"content-type": "application/json"}
FORM = {"content-type": "multipart/form-data; boundary=b"}


def in_the_dialect(service: ScriptedService, answer: Answered) -> None:
    """Assert what holds for every answer."""
    assert answer.status == 200
    assert Code(answer.code)
    assert (answer.code == "200") == bool(service.submissions) == bool(answer.json["message_id"])
    assert {blob.end for blob in service.blobs} <= {"stored", "discarded"}


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
names = st.sampled_from(
    ["to", "cc", "bcc", "subject", "body", "use_html", "reply_id", "replay_id", "files", "smtp_url", "user"]
)
addresses = st.sampled_from(
    ["<a@example.com>", "a@example.com,", '"<a@example.com>"', "김 <a@example.com>", "a@"]
)


@given(st.dictionaries(names, values | addresses, max_size=6), st.booleans())
def test_any_json(members: dict[str, Any], is_ascii: bool) -> None:
    """Whatever the members of a JSON object are, the answer is in the dialect."""
    service = ScriptedService()
    try:
        body = json.dumps(members, ensure_ascii=is_ascii).encode()
    except UnicodeEncodeError:
        body = json.dumps(members).encode()
    answer = Call(headers=JSON, chunks=[body]).into(app_of(service))
    in_the_dialect(service, answer)


@given(
    st.binary(max_size=60)
    | st.lists(
        st.tuples(names, st.binary(max_size=30) | addresses.map(str.encode), st.none() | st.just("f"))
    ).map(form_body),
    st.sampled_from([JSON, FORM, {}]),
    st.integers(min_value=1, max_value=40),
)
def test_any_bytes(body: bytes, headers: dict[str, str], size: int) -> None:
    """Whatever the bytes of a body are, the answer is in the dialect."""
    service = ScriptedService()
    chunks = [body[i : i + size] for i in range(0, len(body), size)]
    answer = Call(headers=headers, chunks=chunks).into(app_of(service))
    in_the_dialect(service, answer)
