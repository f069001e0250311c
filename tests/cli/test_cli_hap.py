"""What HAP is to be given, printed and written."""

import json
import stat
from pathlib import Path

from cli.scripted_answers import Run
from postroom.cli.exits import Exit

SECRET = "hap-secret-0123456789"
SETTINGS = f'[hap]\nsecret = "{SECRET}"\n[http]\npublic_url = "https://mail.example.com/post/"\n'


def test_the_file_and_the_steps(postroom: Run) -> None:
    """The JSON comes first, whole, with URL and header; then volume line and restart; nothing to warn of."""
    Path("postroom.toml").write_text(SETTINGS)
    code, out, _ = postroom("hap", "config")
    document, end = json.JSONDecoder().raw_decode(out)
    assert Exit.OK == code
    assert {
        "WebhookUrl": "https://mail.example.com/post/email/webhook",
        "WebhookHeaders": {"X-Hap-Token": SECRET},
    } == document
    steps = " ".join(out[end:].split())
    volume = "- ./volume/email/appextensions.json:/usr/local/MDPrivateDeployment/email/appextensions.json"
    assert volume in steps
    assert "Restart the service" in steps
    assert "warning" not in steps


def test_the_file_is_written_once_and_for_its_owner(postroom: Run) -> None:
    """A file that is there is never overwritten: it may hold other members of HAP's."""
    Path("postroom.toml").write_text(SETTINGS)
    code, out, _ = postroom("hap", "config", "--write", "appextensions.json", "--url", "http://10.0.0.7:8587")
    written = Path("appextensions.json")
    assert (Exit.OK, False) == (code, SECRET in out)
    assert "http://10.0.0.7:8587/email/webhook" == json.loads(written.read_text())["WebhookUrl"]
    assert 0o600 == stat.S_IMODE(written.stat().st_mode)
    code, _, err = postroom("hap", "config", "--write", "appextensions.json")
    assert (Exit.FAILED, True) == (code, "exists" in err)
    code, _, err = postroom("hap", "config", "--write", "missing/appextensions.json")
    assert (Exit.FAILED, True) == (code, "cannot be written" in err)


def test_what_would_keep_hap_out_is_said(postroom: Run) -> None:
    """Without a secret and a URL that others reach, both are named."""
    code, out, _ = postroom("hap", "config")
    assert Exit.OK == code
    words = " ".join(out.split())
    assert '"WebhookHeaders": {}' in words
    assert "there is no secret" in words
    assert "give --url, or set http.public_url" in words
    assert {} == json.loads(postroom("hap", "config", "--json")[1])["WebhookHeaders"]
