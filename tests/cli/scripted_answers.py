"""Answers of the scripted server, in the forms of the real one."""

from collections.abc import Callable
from typing import Any

from postroom.schema import answers

KEY = "test-key-s3cret-0123456789"
ID = "20300131080000.22aaaaaaaaaaaaaaaaaaaa"
Run = Callable[..., tuple[int, str, str]]


def message(state: str, **changes: Any) -> dict[str, Any]:
    attempt = {
        "at": "2030-01-31T08:00:01Z",
        "transport": "main",
        "step": "rcpt",
        "code": 550,
        "enhanced": "5.1.1",
        "text": "5.1.1 no such user\x1b[2J",
        "outcome": state,
        "duration_ms": 12,
    }
    recipient = {
        "address": "a@example.com",
        "state": state,
        "cause": "mailbox-unknown",
        "meaning": "There is no such mailbox.",
        "remedy": "Check the address.",
        "attempts": [attempt],
    }
    value = {
        "id": ID,
        "mode": "live",
        "state": state,
        "open": state in {"queued", "sending", "deferred", "held", "uncertain"},
        "class": "transactional",
        "counts": {state: 1},
        "transport": "main",
        "route": "main",
        "created_at": "2030-01-31T08:00:00Z",
        "next_attempt_at": None,
        "expires_at": "2030-02-03T08:00:00Z",
        "from": "b@example.com",
        "subject": "Hi",
        "tags": [],
        "metadata": {},
        "recipients": [recipient],
        **changes,
    }
    answers.MessageAnswer.model_validate(value)
    return value


CAPTURED_MESSAGE = message("captured", mode="capture")
STATUS: dict[str, Any] = {
    "status": "degraded",
    "mode": "live",
    "ready": True,
    "version": "1.2.3",
    "started_at": "2030-01-31T07:00:00Z",
    "uptime_s": 4000,
    "problems": [],
    "next": [{"text": "2 recipients are held", "command": "postroom release --state held"}],
    "durability": "fsync",
    "counts": {"queued": 2, "accepted": 5},
    "oldest_open_at": "2030-01-31T08:00:00Z",
    "oldest_due_at": {"code": "2030-01-31T08:00:30Z"},
    "uncertain": {"recipients": 3, "oldest_accepted_at": "2030-01-30T08:00:00Z"},
    "store": {
        "disk_free": 5 << 30,
        "disk_reserve": 1 << 30,
        "intake_stopped": False,
        "wal": 4096,
        "waiting_operations": 0,
    },
    "alerts": {
        "active": 4,
        "events_waiting": 7,
        "letters_waiting": 2,
        "oldest_letter_at": "2030-01-31T08:01:00Z",
    },
    "transports": [
        {
            "name": "main",
            "target": "smtps://app@example.com:*****@mx.example.com:465",
            "default": True,
            "state": "down",
            "level": 2,
            "pauses": [
                {
                    "kind": "login",
                    "open": True,
                    "over": False,
                    "since": "2030-01-31T08:00:00Z",
                    "until": "2030-01-31T08:15:00Z",
                    "cause": "login-refused",
                    "meaning": "The server refused the login.",
                    "remedy": "Use an application password.",
                    "evidence": "535 5.7.8 no",
                    "step": "auth",
                    "host": "mx.example.com",
                    "author": "",
                    "failures": 1,
                }
            ],
            "pace": [],
            "quota_ends_at": None,
        }
    ],
}
NEW_KEY = {
    "id": "k1",
    "name": "app",
    "scopes": ["read", "send"],
    "senders": ["@example.com"],
    "networks": [],
    "created_at": "2030-01-31T08:00:00Z",
    "revoked_at": None,
}
CAPTURED = {
    "number": 7,
    "message_id": ID,
    "captured_at": "2030-01-31T08:00:00Z",
    "from": "b@example.com",
    "reverse_path": "b@example.com",
    "recipients": ["a@example.com"],
    "subject": "Hi \u2028 there",
    "size": 321,
    "source": "/v1/captured/7/source",
}
ACCEPTED = {"id": ID, "mode": "live", "state": "queued"}
