"""The page behind the links of alert mails: shown by GET, done by POST, and by nobody without a link."""

import re
from datetime import datetime, timedelta

from each_row import each
from ingress.alert_doors_room import AlertDoorsRoom, changed, on_doors
from postroom.ingress.http.alert_words import PAGE_WORDS
from postroom.policy.alerting.links import AlertDeed
from postroom.providers.words import LANGUAGES

DISK = {"key": "disk-low", "title": "Disk <b>low</b> & full", "severity": "critical", "state": "firing"}
PATH = "/alerts/act"
SILENT = timedelta(hours=1)


async def silences(room: AlertDoorsRoom) -> int:
    return len((await room.ask("GET", "/v1/alerts/silences")).json()["silences"])


def test_a_look_changes_nothing_and_the_button_acts_once() -> None:
    """GET and HEAD show what would happen; POST does it, and pressed twice it is one silence."""

    async def scenario(room: AlertDoorsRoom) -> None:
        (alert_id,) = await room.report(DISK)
        link = room.link(AlertDeed.SILENCE_HOUR, alert=alert_id)
        for method in ("GET", "HEAD", "GET"):
            shown = await room.ask(method, PATH, query=link, key=None)
            assert 200 == shown.status
        page = shown.body.decode()
        assert "Disk &lt;b&gt;low&lt;/b&gt; &amp; full" in page
        assert ("Silence for 1 hour", "default") == (
            re.findall("<h1>(.*?)</h1>", page)[0],
            re.findall("<dd>(.*?)</dd>", page)[1],
        )
        assert 1 == page.count("<button>")
        assert 0 == await silences(room)
        for _ in range(2):
            done = await room.ask("POST", PATH, query=link, key=None)
            assert (200, True) == (done.status, "2030-01-31 13:00 UTC" in done.body.decode())
            assert 1 == await silences(room)
        (silence,) = (await room.ask("GET", "/v1/alerts/silences")).json()["silences"]
        assert "default (letter 1)" == silence["author"]
        assert "silenced" == (await room.ask("GET", f"/v1/alerts/{alert_id}")).json()["muted"]

    on_doors(scenario)


def test_a_button_that_is_pressed_twice_silences_once_as_time_goes_on() -> None:
    """Also where each look at the clock is later than the one before, one link makes one silence."""

    async def scenario(room: AlertDoorsRoom) -> None:
        (alert_id,) = await room.report(DISK)
        link = room.link(AlertDeed.SILENCE_HOUR, alert=alert_id)
        now = room.clock.now

        def later() -> datetime:
            room.clock.advance(0.001)
            return now()

        room.clock.now = later  # type: ignore[method-assign]  # a clock that nobody has to wind
        for _ in range(2):
            assert 200 == (await room.ask("POST", PATH, query=link, key=None)).status
        assert 1 == await silences(room)

    on_doors(scenario)


def test_acknowledge_and_rhythm_by_link() -> None:
    """Who asks is the receiver of the mail; a rhythm is for the group; what is over is 410."""

    async def scenario(room: AlertDoorsRoom) -> None:
        (alert_id,) = await room.report(DISK)
        (letter,) = await room.letters()
        link = room.link(AlertDeed.ACKNOWLEDGE, group=letter.group, letter=letter.number)
        assert 200 == (await room.ask("GET", PATH, query=link, key=None)).status
        headers = {"content-type": "application/x-www-form-urlencoded"}
        for _ in range(2):
            done = await room.ask("POST", PATH, query=link, key=None, headers=headers, body=b"")
            assert 200 == done.status
        shown = (await room.ask("GET", f"/v1/alerts/{alert_id}")).json()
        assert "default (letter 1)" == shown["acknowledged_by"]
        rhythm = room.link(AlertDeed.RHYTHM_DAY, group=letter.group, letter=letter.number)
        assert b"Repeat every day" in (await room.ask("GET", PATH, query=rhythm, key=None)).body
        assert 200 == (await room.ask("POST", PATH, query=rhythm, key=None)).status
        await room.report({**DISK, "state": "resolved"})
        for method in ("GET", "POST"):
            over = await room.ask(method, PATH, query=link, key=None)
            assert (410, True) == (over.status, "nothing to do" in over.body.decode())
        gone = room.link(AlertDeed.ACKNOWLEDGE, group=letter.group, letter=999)
        assert 410 == (await room.ask("GET", PATH, query=gone, key=None)).status

    on_doors(scenario)


def test_links_that_are_not_good_do_nothing() -> None:
    """Every changed member is 403, an ended link 410, both as pages, and nothing is done."""

    async def scenario(room: AlertDoorsRoom) -> None:
        (alert_id,) = await room.report(DISK)
        link = room.link(AlertDeed.SILENCE_HOUR, alert=alert_id)
        forged = [
            changed(link, do="silence-1d"),
            changed(link, alert="0" * 20),
            changed(link, to="<script>alert(1)</script>"),
            changed(link, letter="2"),
            changed(link, tenant="other"),
            changed(link, s="1.00000000." + "A" * 43),
            link + "&do=ack",
            "",
            "s=%ff&do=ack",
        ]
        for query in forged:
            for method in ("GET", "POST"):
                page = await room.ask(method, PATH, query=query, key=None)
                assert 403 == page.status, query
                assert page.headers["content-type"].startswith("text/html")
                assert b"<script" not in page.body
                assert f">{PAGE_WORDS['en'].forged}<" in page.body.decode()
        room.clock.advance(timedelta(days=7).total_seconds())
        for method in ("GET", "POST"):
            page = await room.ask(method, PATH, query=link, key=None)
            assert (410, True) == (page.status, b"2030-02-07 12:00 UTC" in page.body)
        assert 0 == await silences(room)
        wrong = await room.ask("POST", PATH, {}, query=link, key=None)
        assert (415, True) == (wrong.status, wrong.headers["content-type"].startswith("text/html"))

    on_doors(scenario)


def test_pages_load_nothing_and_post_only_here() -> None:
    """No script, no address of elsewhere, no referrer, no cache; the form goes to this server alone."""

    async def scenario(room: AlertDoorsRoom) -> None:
        (alert_id,) = await room.report(DISK)
        link = room.link(AlertDeed.ACKNOWLEDGE, alert=alert_id)
        for method, form_action in (("GET", "'self'"), ("POST", "'none'")):
            page = await room.ask(method, PATH, query=link, key=None)
            policy = page.headers["content-security-policy"]
            assert f"form-action {form_action}" in policy
            assert policy.startswith("default-src 'none'")
            assert ("no-store", "no-referrer", "nosniff") == tuple(
                page.headers[name] for name in ("cache-control", "referrer-policy", "x-content-type-options")
            )
            assert not re.search(r"<script|https?://|src=|\son\w+=", page.body.decode())

    on_doors(scenario)


@each("language", LANGUAGES)
def test_pages_speak_the_readers_language(language: str) -> None:
    """Every sentence of the page stands in the language that the browser asks for."""

    async def scenario(room: AlertDoorsRoom) -> None:
        (alert_id,) = await room.report(DISK)
        words = PAGE_WORDS[language]
        link = room.link(AlertDeed.ACKNOWLEDGE, alert=alert_id)
        headers = {"accept-language": f"{language}, en;q=0.1"}
        shown = await room.ask("GET", PATH, query=link, key=None, headers=headers)
        assert language == shown.headers["content-language"]
        page = shown.body.decode().replace("&#x27;", "'")
        assert f'<html lang="{language}">' in page
        assert all(text in page for text in (words.lead, words.asks, words.alerts, words.ends))
        done = (await room.ask("POST", PATH, query=link, key=None, headers=headers)).body.decode()
        assert all(text in done for text in (words.done, words.acknowledged, words.close))
        forged = await room.ask("GET", PATH, query="s=1", key=None, headers=headers)
        assert words.forged in forged.body.decode()

    on_doors(scenario)


def test_all_languages_say_everything_in_their_own_words() -> None:
    """No sentence is missing, left in English, or lacks what is filled in."""
    assert set(LANGUAGES) == set(PAGE_WORDS)
    english = PAGE_WORDS["en"]
    for language, words in PAGE_WORDS.items():
        for name in words.__slots__:
            text = getattr(words, name)
            assert text
            assert set(re.findall(r"{\w+}", getattr(english, name))) == set(re.findall(r"{\w+}", text))
            assert language == "en" or text != getattr(english, name), (language, name)
