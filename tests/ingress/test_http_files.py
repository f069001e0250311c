"""``/files``: who gets what by which link."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from egress.hook_works import attached, content
from egress.works import file_blobs
from peers.manual import ManualClock
from postroom.engine.mail_files import SharedFiles
from postroom.ingress.http import files
from postroom.ingress.http.files import FileDoors, disposition, span_of
from postroom.model.ids import DEFAULT_TENANT, MessageId, TenantId
from postroom.model.message import Content, RawMail
from postroom.policy.links import LIFETIME, FilePlace, LinkKeys, Links
from postroom.web.auth import Doorkeeper
from postroom.web.gate import Gate
from postroom.web.problem import HttpError

MESSAGE = "20261121120000.22aaaaaaaaaaaaaaaaaaaa"
KEYS = LinkKeys((b"n" * 32, b"o" * 32))
DATA = bytes(range(200))
RAW = (
    b"Content-Type: multipart/mixed; boundary=b\r\n",
    (
        b"--b\r\n\r\ntext\r\n--b\r\nContent-Type: image/gif\r\nContent-Transfer-Encoding: base64\r\n"
        b"Content-Disposition: attachment; filename=a.gif\r\n\r\nR0lG\r\n--b--\r\n"
    ),
)


class Answer:
    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""


class Room:
    """The door over real files and a spool that has one message, or none."""

    def __init__(self, data: Path, mail: Content | None, keys: LinkKeys | None = KEYS) -> None:
        self.clock = ManualClock()
        self.mail = mail
        self.asked: list[tuple[str, TenantId]] = []
        shared = SharedFiles(self._spool(), file_blobs(data))
        doors = FileDoors(shared, keys=lambda: keys, clock=self.clock)
        self.gate = Gate(doors.operations(), Doorkeeper(lambda _: None, trusted_proxies=()))

    def _spool(self) -> Any:
        room = self

        class Stored:
            content: Content

        class OneMessage:
            async def message(self, message_id: MessageId, *, tenant: TenantId) -> Any:
                room.asked.append((message_id, tenant))
                if room.mail is None:
                    return None
                stored = Stored()
                stored.content = room.mail
                return stored

        return OneMessage()

    def link(self, number: int = 0, *, keys: LinkKeys = KEYS, tenant: str = DEFAULT_TENANT) -> str:
        place = FilePlace(tenant=tenant, message=MESSAGE, number=number)
        links = Links(public_url="", keys=keys)
        return links.url(place, name="a b.pdf", accepted_at=self.clock.now(), now=self.clock.now())

    def get(self, link: str, *, method: str = "GET", **headers: str) -> Answer:
        path, _, query = link.partition("?")
        answer = Answer()

        async def receive() -> dict[str, Any]:
            await asyncio.Event().wait()
            return {}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            else:
                answer.body += message.get("body", b"")

        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
            "client": ("192.0.2.1", 1),
            "http_version": "1.1",
            "scheme": "http",
        }
        asyncio.run(self.gate(scope, receive, send))
        return answer


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path, content(attachments=(attached(file_blobs(tmp_path), "a b.pdf", DATA),)))


def test_a_link_gives_its_file_as_a_download(room: Room) -> None:
    """The bytes, the stored name, and headers that let no browser render or sniff it."""
    answer = room.get(room.link())
    assert (200, DATA) == (answer.status, answer.body)
    assert 'attachment; filename="a b.pdf"' == answer.headers["content-disposition"]
    assert ("nosniff", "bytes") == (
        answer.headers["x-content-type-options"],
        answer.headers["accept-ranges"],
    )
    assert "sandbox" in answer.headers["content-security-policy"]
    assert [(MESSAGE, DEFAULT_TENANT)] == room.asked


def test_head_has_the_size_and_no_body(room: Room) -> None:
    """HEAD answers as GET does, without the bytes."""
    answer = room.get(room.link(), method="HEAD")
    assert (200, b"", "200") == (answer.status, answer.body, answer.headers["content-length"])


@pytest.mark.parametrize(
    ("wanted", "status", "body"),
    [
        ("bytes=0-9", 206, DATA[:10]),
        ("bytes=190-", 206, DATA[190:]),
        ("bytes=-5", 206, DATA[-5:]),
        ("bytes=-500", 206, DATA),
        ("bytes=100-5000", 206, DATA[100:]),
        ("bytes=0-1,5-6", 200, DATA),
        ("bytes=9-1", 200, DATA),
        ("items=0-9", 200, DATA),
        ("bytes=-", 200, DATA),
    ],
)
def test_one_range_is_given_and_others_are_the_whole(
    room: Room, wanted: str, status: int, body: bytes
) -> None:
    """Each form of Range."""
    answer = room.get(room.link(), range=wanted)
    assert (status, body) == (answer.status, answer.body)
    assert str(len(body)) == answer.headers["content-length"]


def test_a_range_beyond_the_end_is_416(room: Room) -> None:
    """The answer says how large the file is."""
    answer = room.get(room.link(), range="bytes=200-")
    assert (416, "bytes */200") == (answer.status, answer.headers["content-range"])
    assert b"range-not-there" in answer.body


def test_a_range_of_another_version_is_the_whole(room: Room) -> None:
    """If-Range with another tag gives everything, with the same tag the part; If-None-Match nothing."""
    etag = room.get(room.link()).headers["etag"]
    assert 200 == room.get(room.link(), range="bytes=0-1", if_range='"other"').status
    assert 206 == room.get(room.link(), range="bytes=0-1", if_range=etag).status
    assert (304, b"") == (
        (again := room.get(room.link(), if_none_match=etag)).status,
        again.body,
    )


def test_a_link_ends(room: Room) -> None:
    """Up to the last second it works, then it is gone, with the time in the answer."""
    link = room.link()
    room.clock.advance(LIFETIME.total_seconds() - 1)
    assert 200 == room.get(link).status
    room.clock.advance(1)
    answer = room.get(link)
    assert 410 == answer.status
    assert b"the link ended at" in answer.body


def test_a_deleted_mail_is_gone(tmp_path: Path) -> None:
    """Without its content, and without its file, the answer is 410."""
    emptied = Room(tmp_path, None)
    assert 410 == emptied.get(emptied.link()).status
    missing = Room(tmp_path, content())
    assert 410 == missing.get(missing.link()).status


def test_only_a_whole_link_opens_anything(room: Room) -> None:
    """Another file, mail, tenant, key, expiry or path, no signature: there is nothing, and no look."""
    link = room.link()
    stranger = room.link(keys=LinkKeys((b"x" * 32,)))
    signed = link.partition("?s=")[2]
    expires = signed.partition(".")[0]
    for wrong in (
        link.partition("?")[0],
        link[:-1],
        link.replace("/0/", "/1/"),
        link.replace("/0/", "/00000/"),
        link.replace(MESSAGE, MESSAGE[:-1] + "b"),
        link.replace(f"/{DEFAULT_TENANT}/", "/other/"),
        link.replace(expires, str(int(expires) + 1)),
        link.replace("/0/", "/../"),
        stranger,
    ):
        answer = room.get(wrong)
        assert 404 == answer.status, wrong
        assert DATA not in answer.body
    assert [] == room.asked


def test_an_older_key_still_reads(room: Room) -> None:
    """A link of a key that is not the first any more works; one of a key that was taken away does not."""
    assert 200 == room.get(room.link(keys=LinkKeys((b"o" * 32,)))).status


def test_without_keys_there_is_nothing(tmp_path: Path) -> None:
    """A server that never made a link has none."""
    assert 404 == (none := Room(tmp_path, content(), keys=None)).get(none.link()).status


def test_a_file_of_a_mail_in_its_own_bytes_is_decoded(tmp_path: Path) -> None:
    """Its parts are numbered as a webhook's links number them."""
    head, body = RAW
    raw = Room(tmp_path, content(raw=RawMail(head=head, body=body), html=None))
    answer = raw.get(raw.link())
    assert (200, b"GIF", "image/gif") == (answer.status, answer.body, answer.headers["content-type"])
    assert 410 == raw.get(raw.link(1)).status


def test_files_held_in_memory_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has to be decoded as a whole counts while it is there; beyond the bound a caller comes back."""
    head, body = RAW
    raw = Room(tmp_path, content(raw=RawMail(head=head, body=body), html=None))
    monkeypatch.setattr(files, "MAX_IN_MEMORY", 4)
    assert [200, 200, 200] == [raw.get(raw.link()).status for _ in range(3)]
    monkeypatch.setattr(files, "MAX_IN_MEMORY", 2)
    answer = raw.get(raw.link())
    assert (503, "5") == (answer.status, answer.headers["retry-after"])


def test_names_are_said_in_both_forms() -> None:
    """RFC 6266: a plain name, and one in UTF-8 where it has more; nothing breaks out of the quotes."""
    assert 'attachment; filename="a.pdf"' == disposition("a.pdf")
    assert "attachment; filename=\"M_rz__.pdf\"; filename*=UTF-8''M%C3%A4rz%22%25.pdf" == disposition(
        'März"%.pdf'
    )


def test_an_empty_file_has_no_range() -> None:
    """Nothing of it can be asked for."""
    with pytest.raises(HttpError):
        span_of("bytes=0-", 0)


def test_links_are_the_same_whenever_they_are_made() -> None:
    """Expiry and signature come from the mail, not from the clock."""
    clock = ManualClock()
    place = FilePlace(tenant="t", message=MESSAGE, number=3)
    links = Links(public_url="https://mail.example.com/in/", keys=KEYS)
    accepted_at = clock.now()
    first = links.url(place, name="a/b?.pdf", accepted_at=accepted_at, now=accepted_at)
    later = accepted_at + timedelta(days=14)
    assert first == links.url(place, name="a/b?.pdf", accepted_at=accepted_at, now=later)
    assert first.startswith(f"https://mail.example.com/in/files/t/{MESSAGE}/3/a%2Fb%3F.pdf?s=")
    assert KEYS.reads(place, first.partition("?s=")[2]) == clock.now() + timedelta(days=30)


@pytest.mark.parametrize(("waited", "left"), [(0, 30), (14, 16), (15, 30), (40, 20), (365, 25)])
def test_a_mail_that_waited_is_posted_with_links_that_are_good(waited: int, left: int) -> None:
    """A mail scheduled or held for weeks has links with half of their time left at least."""
    accepted_at = ManualClock().now()
    now = accepted_at + timedelta(days=waited)
    place = FilePlace(tenant="t", message=MESSAGE, number=0)
    link = Links(public_url="", keys=KEYS).url(place, name="a", accepted_at=accepted_at, now=now)
    assert now + timedelta(days=left) == KEYS.reads(place, link.partition("?s=")[2])


def test_the_response_type_is_the_files(room: Room) -> None:
    """What is stored is what is said."""
    assert "application/pdf" == room.get(room.link()).headers["content-type"]
