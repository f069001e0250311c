-- Lanes, routes, events, pauses by kind, learnt limits, and what was begun in each minute.

ALTER TABLE message ADD COLUMN route TEXT NOT NULL DEFAULT '';
ALTER TABLE message ADD COLUMN send_at INTEGER;  -- not before this instant; NULL: at once

UPDATE message SET send_at = (
    SELECT json_extract(CAST(content.body AS TEXT), '$.send_at') FROM content WHERE content.seq = message.seq
)
WHERE seq IN (SELECT seq FROM queue WHERE state IN ('queued', 'held') AND tries = 0);
UPDATE message SET send_at = NULL WHERE send_at <= created_at;

ALTER TABLE queue ADD COLUMN tenant TEXT NOT NULL DEFAULT 'default';
ALTER TABLE queue ADD COLUMN route TEXT NOT NULL DEFAULT '';
ALTER TABLE queue ADD COLUMN standing INTEGER NOT NULL DEFAULT 0;  -- 0 fresh, 1 again, 2 suspected of a crash
ALTER TABLE queue ADD COLUMN hold TEXT;  -- the standing hold that keeps the group

-- Deaths of the process were counted for whatever was in work beside the guilty one: nobody is suspected yet.
UPDATE queue SET
    tenant = (SELECT tenant FROM message WHERE message.seq = queue.seq),
    standing = state IN ('deferred', 'uncertain'),
    crashes = 0;

-- A claim walks one lane; failing over walks one route; both in order of the due time.
DROP INDEX queue_due;
CREATE INDEX queue_lane ON queue (transport, route, tenant, priority, standing, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX queue_suspect ON queue (due_at) WHERE standing = 2 AND lease IS NOT NULL;

-- What happened, never altered. Numbers come from the mark last_event and are never given twice.
CREATE TABLE event (
    number INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    tenant TEXT NOT NULL,
    seq INTEGER,  -- of the message, NULL for events of no message
    members TEXT NOT NULL,  -- recipients as ranges, empty for the whole message
    transport TEXT NOT NULL,
    cause TEXT NOT NULL,
    data TEXT  -- JSON object, NULL when empty
) STRICT;

CREATE INDEX event_message ON event (seq) WHERE seq IS NOT NULL;
-- The kinds a person looks for; the usual way (queued, then accepted) pays next to nothing for it. Not NOT IN:
-- that makes SQLite build a table of the list for every row written.
CREATE INDEX event_unusual ON event (kind)
WHERE kind <> 'message.queued' AND kind <> 'recipient.accepted' AND kind <> 'recipient.captured';

DROP INDEX recipient_unusual;
CREATE INDEX recipient_unusual ON recipient (state, seq)
WHERE state <> 'queued' AND state <> 'accepted' AND state <> 'captured';

ALTER TABLE pause RENAME TO old_pause;
CREATE TABLE pause (
    transport TEXT NOT NULL,
    kind TEXT NOT NULL,
    is_open INTEGER NOT NULL,
    author TEXT NOT NULL,
    since INTEGER NOT NULL,
    until INTEGER NOT NULL,
    cause TEXT NOT NULL,
    step TEXT NOT NULL,
    text TEXT NOT NULL,
    host TEXT NOT NULL,
    failures INTEGER NOT NULL,
    PRIMARY KEY (transport, kind)
) STRICT, WITHOUT ROWID;
INSERT INTO pause (transport, kind, is_open, author, since, until, cause, step, text, host, failures)
SELECT transport, iif(step = 'auth', 'login', 'connect'), 1, '', since, until, cause, step, text, host, failures
FROM old_pause;
DROP TABLE old_pause;

CREATE TABLE learnt_limit (
    transport TEXT NOT NULL,
    window_s INTEGER NOT NULL,
    allowed INTEGER NOT NULL,
    seen INTEGER NOT NULL,
    learnt_at INTEGER NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (transport, window_s)
) STRICT, WITHOUT ROWID;

-- Attempts that began, by minute, so that a pace and a day's quota hold over a restart.
CREATE TABLE sent (
    transport TEXT NOT NULL,
    minute INTEGER NOT NULL,  -- since 1970
    count INTEGER NOT NULL,
    PRIMARY KEY (transport, minute)
) STRICT, WITHOUT ROWID;
