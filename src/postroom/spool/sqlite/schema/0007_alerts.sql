-- Alerts: reports as they came, the book of what is remembered of them, decisions, letters, and rules made by calls.

-- Numbers come from the mark last_alert_event and are never given twice.
CREATE TABLE alert_event (
    number INTEGER PRIMARY KEY,
    arrived_at INTEGER NOT NULL,
    tenant TEXT NOT NULL,
    is_urgent INTEGER NOT NULL,  -- the lane in which it is looked at
    key TEXT NOT NULL,
    body TEXT NOT NULL  -- JSON object, members with their defaults left out
) STRICT;

CREATE INDEX alert_event_lane ON alert_event (is_urgent);
CREATE INDEX alert_event_key ON alert_event (key, tenant);

-- Numbers come from the mark last_alert_decision and are never given twice.
CREATE TABLE alert_decision (
    number INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    tenant TEXT NOT NULL,
    alert TEXT NOT NULL,
    clause TEXT NOT NULL,
    event INTEGER,  -- the report that led to it, NULL: time did
    letter INTEGER,
    grp TEXT,
    data TEXT  -- JSON object, NULL when empty
) STRICT;

-- With the event, so that the reports of an alert are found without a look at every decision.
CREATE INDEX alert_decision_alert ON alert_decision (alert, number, event);
CREATE INDEX alert_decision_event ON alert_decision (event) WHERE event IS NOT NULL;

-- Numbers are the book's.
CREATE TABLE alert_letter (
    number INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    tenant TEXT NOT NULL,
    incident TEXT NOT NULL,
    is_urgent INTEGER NOT NULL,  -- it has urgent news
    body TEXT NOT NULL,  -- JSON object
    message_id TEXT,  -- what it was handed in as
    sent_by TEXT NOT NULL DEFAULT ''  -- empty while it waits
) STRICT;

CREATE INDEX alert_letter_open ON alert_letter (is_urgent DESC) WHERE sent_by = '';
CREATE INDEX alert_letter_done ON alert_letter (at) WHERE sent_by <> '';
CREATE INDEX alert_letter_incident ON alert_letter (incident) WHERE message_id IS NOT NULL;

-- What the book of alerts remembers; how far it has looked is the mark named alerts. Rows have numbers, because in
-- a table that is sorted by its key a row of a kilobyte takes a page of its own.
CREATE TABLE alert_book (
    number INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    data TEXT NOT NULL,  -- JSON object
    UNIQUE (kind, id)
) STRICT;

CREATE TABLE alert_rule (
    number INTEGER PRIMARY KEY,  -- the order of storing
    tenant TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    data TEXT NOT NULL,  -- JSON object
    UNIQUE (tenant, kind, name)
) STRICT;
