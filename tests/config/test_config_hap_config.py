"""``--hap-config``: the vendor's ``appextensions.json``, as it is, through the whole reading of settings."""

from pathlib import Path

import pytest

from postroom.config.load import load
from postroom.config.settings import Settings
from postroom.config.sources import Flags
from postroom.errors import ConfigError
from postroom.model.transport import HookForm, TransportKind

URL = "https://api.example.com/email/webhook"
DOCUMENT = """{
"WebhookUrl": "https://api.example.com/email/webhook",
"WebhookHeaders": {}
}
"""


def loaded(directory: Path, text: str, **environ: str) -> Settings:
    file = directory / "appextensions.json"
    file.write_text(text, encoding="utf-8")
    variables = {"POSTROOM_FROM": "desk@example.com", **environ}
    return load(Flags(hap_config=file), variables, directory)


def problems(directory: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as found:
        loaded(directory, text)
    return [f"{problem.code} {problem.field} {problem.fix}" for problem in found.value.problems]


@pytest.mark.parametrize(
    "text",
    [
        DOCUMENT,
        "\ufeff" + DOCUMENT,
        DOCUMENT.replace("{}", "{},"),
        DOCUMENT.replace('"WebhookUrl"', '// a comment, with "quotes"\n"webhookurl"'),
        DOCUMENT.replace('"WebhookHeaders": {}', '"WebhookHeaders": null, /* or none */'),
    ],
)
def test_the_documents_file_is_read(tmp_path: Path, text: str) -> None:
    """The page's example, with a byte order mark, comments, a comma too many, other letters: one webhook."""
    (spec,) = loaded(tmp_path, text).transports
    assert (TransportKind.WEBHOOK, "hap") == (spec.kind, spec.name)
    assert spec.hook is not None
    assert (URL, HookForm.HAP, True) == (spec.hook.url, spec.hook.form, spec.hook.verify)
    assert not spec.hook.headers


def test_headers_are_taken_and_never_shown(tmp_path: Path) -> None:
    """Texts, numbers and booleans are header values; ``null`` is left out; no representation has one."""
    text = DOCUMENT.replace(
        "{}", '{"X-Token": "secret // no comment,}", "X-Number": 7, "X-Yes": true, "X-No": null}'
    )
    settings = loaded(tmp_path, text)
    hook = settings.transports[0].hook
    assert hook is not None
    assert {"X-Token": "secret // no comment,}", "X-Number": "7", "X-Yes": "true"} == {
        name: value.reveal() for name, value in hook.headers.items()
    }
    assert "no comment" not in repr(settings)


def test_inverted_and_foreign_keys_are_said_aloud(tmp_path: Path) -> None:
    """``CertificateValidation: true`` means ignore; what has no meaning here is named."""
    more = (
        '"CertificateValidation": true, "ComponentType": 1, "AppSettings": {}, "Extra": 1, "WebhookHeaders"'
    )
    settings = loaded(tmp_path, DOCUMENT.replace('"WebhookHeaders"', more))
    hook = settings.transports[0].hook
    assert hook is not None
    assert not hook.verify
    told = "\n".join(settings.warnings)
    for words in ("CertificateValidation", "IGNORED", "ComponentType", "AppSettings", "Extra is not used"):
        assert words in told


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{}", "hap-webhook-url appextensions.json WebhookUrl"),
        ('{"WebhookUrl": ""}', "hap-webhook-url appextensions.json WebhookUrl"),
        ('{"AppSettings": {"SessionWebhookUrl": "x"}}', "not below AppSettings"),
        ('{"server": "smtp.example.com", "account": "a"}', "SMTP account"),
        (DOCUMENT.replace("{}", '["a"]'), "hap-webhook-headers"),
        (DOCUMENT.replace("{}", '{"a": {}}'), "hap-webhook-headers"),
        (DOCUMENT.replace("{}", '{"Host": "a"}'), "webhook-mapping WebhookHeaders.Host"),
        (DOCUMENT.replace("https://api", "https://user:secret@api"), "webhook-url WebhookUrl"),
        (DOCUMENT.replace("https:", "ftp:"), "webhook-url WebhookUrl"),
        ("[]", "hap-config"),
        ('{"WebhookUrl"', "hap-config"),
    ],
)
def test_what_is_missing_or_wrong_is_named(tmp_path: Path, text: str, words: str) -> None:
    """Every mistake has its place and what to do, and no value of the file is repeated."""
    found = problems(tmp_path, text)
    assert any(words in one for one in found), found
    assert not any("secret" in one for one in found)


def test_it_is_the_default_beside_others(tmp_path: Path) -> None:
    """Other transports stay; the webhook comes first, and the variable names the file as the flag does."""
    (tmp_path / "postroom.toml").write_text(
        '[[transports]]\nname = "other"\nurl = "smtp://mail.example.com"\n'
    )
    (tmp_path / "appextensions.json").write_text(DOCUMENT)
    settings = load(Flags(), {"POSTROOM_HAP_CONFIG": "appextensions.json"}, tmp_path)
    assert ["hap", "other"] == [spec.name for spec in settings.transports]
    assert not settings.is_capturing


def test_a_webhook_and_an_account_may_stand_for_each_other(tmp_path: Path) -> None:
    """``failover`` of a webhook's URL and an account is one route, named by their hosts."""
    urls = "failover(hap+https://api.example.com/mail smtps://u:p@mail.example.com)"
    settings = load(Flags(), {"POSTROOM_TRANSPORT": urls, "POSTROOM_FROM": "a@example.com"}, tmp_path)
    assert ["api-example-com", "mail-example-com"] == [spec.name for spec in settings.transports]
    assert settings.default_route is not None
    assert ("api-example-com", "mail-example-com") == settings.default_route.legs
