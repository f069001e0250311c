"""Every code a problem document or one of its ``errors`` can carry, explained for the caller.

``/docs`` shows this table (the ``type`` of a problem points into it) and ``docs/errors.md`` repeats it; a
test holds both to what the program can really answer.
"""

from collections.abc import Mapping

ANSWERS: Mapping[str, str] = {
    "backup-exists": "409. A backup never overwrites; name a file that does not exist.",
    "disk-full": "507. Intake stops before the disk is full; reading and sending go on. Free space.",
    "form-parts": "422. A form has one part `message` with the JSON, and file parts with different names.",
    "head-too-large": "431. Request line and headers together may have 64 KiB and 100 lines.",
    "head-too-slow": "408. The request's head was not complete within 10 seconds.",
    "host-header": "400. An HTTP/1.1 request has exactly one Host header.",
    "house-only": "403. Transports belong to the house, and the key to a tenant.",
    "idempotency-key-reused": "422. The key was used for another mail; the fields that differ are listed. "
    "Use a new key for a new mail.",
    "internal-error": "500. A fault of this program; the log has the details. Nothing is known to be stored.",
    "invalid-fields": "400 or 422. Several things are wrong; each is listed in `errors`.",
    "key-missing": "401. Send `Authorization: Bearer KEY`; the detail says why this door needs one.",
    "key-unknown": "401. The header holds no live key: check it for blanks, or make a new one.",
    "malformed-body": "400. The form cannot be read; the cause says where.",
    "malformed-json": "400. The body is not JSON in UTF-8, says a name twice, or holds NaN or huge numbers.",
    "malformed-request": "400. This is not an HTTP/1.1 request.",
    "message-too-large": "413. The mail is too large once it is encoded. Send links to large files.",
    "method-not-allowed": "405. The header Allow names the methods of this path.",
    "network-not-allowed": "403. The key is limited to networks the caller is not in.",
    "no-such-path": "404. There is nothing at this path.",
    "not-found": "404. There is no such thing, or it is not the key's to see.",
    "nothing-to-cancel": "409. No recipient waits any more; `recipients` shows the state of each.",
    "nothing-to-change": "409. No recipient is in a state that fits; `recipients` shows the state of each.",
    "nothing-to-resume": "409. The transport is neither suspended nor paused.",
    "overloaded": "503. A bound is reached; repeat after the seconds in Retry-After.",
    "scope-missing": "403. The key lacks the scope the detail names.",
    "secret-key-missing": "503. A stored secret is needed, and its key is not there; the operator has it.",
    "secret-key-wrong": "503. A stored secret was altered or damaged; enter it anew.",
    "store-unavailable": "503. The store cannot be used now; the operator's log says why.",
    "target-form": "400. The request's target is neither a path nor an http URL without userinfo.",
    "token-used": "409. The action of this dry run was done or is being done; it is never done twice.",
    "too-large": "413. The body, one of its parts or the number of parts crosses a limit.",
    "too-late": "409. Sending has begun, or nothing waits; `recipients` shows the state of each.",
    "too-many-connections": "503. Too many connections are open, in all or from this address.",
    "transport-changed": "409, 412 with If-Match. The transport was changed since it was looked at; look "
    "again.",
    "transport-exists": "409. There is a transport of this name; change it with PATCH, or choose another "
    "name.",
    "transport-in-route": "409. A route of the settings names the transport.",
    "transport-in-use": "409. Mail waits for the transport; say with `move_to` who takes it.",
    "transport-last": "409. The last transport of a store that has sent real mail is not removed.",
    "transport-read-only": "409. The settings configure the transport; `patch` has the lines to change "
    "there.",
    "transport-unknown": "409. `move_to` names no other transport that is in use.",
    "truncated-body": "400. The body ended early; nothing was stored. Send it again, whole.",
    "unknown-outcome": "503. The store failed while committing: the mail may or may not be stored. Repeat "
    "the request with the same Idempotency-Key and it is stored once.",
    "unsupported-media-type": "415. The Content-Type or Content-Encoding is not read here.",
}
"""Codes of a whole answer, each with its status."""

FIELDS: Mapping[str, str] = {
    "address-invalid": "Not one address in a form we take: `a@example.com`, `Name <a@example.com>`.",
    "attachment-source": "An attachment has exactly one of `content` (base64) and `upload` (a form part).",
    "base64-syntax": "Not base64 with padding and without line breaks.",
    "content-id-syntax": "A content id is 1 to 200 printable ASCII characters without blanks and brackets.",
    "control-character": "A line end, NUL, lone surrogate or other control character where none may be.",
    "csv-header": "The first line of a CSV file does not name its columns, `address` among them, each once.",
    "csv-syntax": "A row that is not CSV in UTF-8, or has another number of cells than the header.",
    "empty": "An empty text where one is needed.",
    "expires-too-early": "The mail would expire before it could be sent.",
    "filter-empty": "A filter without any member would mean all mail.",
    "from-missing": "No `from`, and the transport has no default sender.",
    "from-not-account": "The transport sends only as its account, and `from` is another address.",
    "given-twice": "Given twice where once is meant.",
    "header-not-allowed": "A header the gateway writes itself, or one that would not stay one line.",
    "host-missing": "The provider has no server that is the same for everybody; give `host`.",
    "idempotency-key-syntax": "A key is 1 to 256 printable ASCII characters.",
    "idempotency-key-twice": "The header Idempotency-Key and the field differ.",
    "import-file": "Not a file of a form that is read here.",
    "instant-syntax": "Not ISO 8601 with an offset, such as `2030-01-31T09:00:00+09:00`.",
    "limit-exceeded": "More entries or bytes than one mail may have; the cause names the limit.",
    "media-type-syntax": "Not the `type/subtype` of a single file.",
    "message-id-syntax": "Not one message id such as `<id@example.com>`.",
    "missing-field": "A field that is needed is missing.",
    "name-fixed": "The name of a transport stays; make a new one and move its mail.",
    "network-syntax": "Not a network in CIDR form.",
    "path-invalid": "Not an absolute path in a directory that exists on the server.",
    "provider-unknown": "There is no provider of this id; the fix names the nearest.",
    "recipient-unknown": "The message has no such recipient.",
    "recipients-missing": "No address in `to`, `cc` or `bcc`.",
    "replay-range": "Neither one event nor a range from `first` to `last`.",
    "sender-not-allowed": "The key may not send as this address.",
    "setting-value": "Not a value that this setting of a transport takes. Other codes of such settings are "
    "in `docs/transports.md`.",
    "token-invalid": "Not the token of a dry run of this verb and filter, or older than ten minutes.",
    "too-long": "A text longer than its limit.",
    "too-many-recipients": "More recipients than one mail may have; send a batch.",
    "uncertain-not-retried": "Uncertain mail is not retried by filter; resolve it with `send_again`.",
    "unknown-field": "There is no such field; the fix names the nearest.",
    "unknown-setting": "There is no such setting of a transport; the fix names the nearest.",
    "unknown-value": "Not one of the known values; the fix lists them.",
    "until-passed": "An end that has passed.",
    "upload-missing": "No file part of this name came with the JSON.",
    "upload-unused": "A file part that no attachment names.",
    "webhook-disabled": "The webhook endpoint is disabled; enable it first.",
    "webhook-url": "The URL may not be called; the cause says why, and which setting opens it.",
    "wrong-type": "A value of another JSON type than the field's.",
}
"""Codes of single fields; the answer's status is 422."""
