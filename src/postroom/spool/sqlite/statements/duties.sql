-- leased_groups: Every group under a lease.
SELECT seq, grp, transport, priority, state, due_at, lease, members, tries, crashes, digest, maybe_duplicate, expires_at, tenant, route, standing, hold
FROM queue WHERE lease IS NOT NULL;

-- seq_of_message: The row of a tenant's message.
SELECT seq FROM message WHERE id = ? AND tenant = ?;

-- groups_of_message: What waits of a message.
SELECT seq, grp, transport, priority, state, due_at, lease, members, tries, crashes, digest, maybe_duplicate, expires_at, tenant, route, standing, hold
FROM queue WHERE seq = ? ORDER BY grp;

-- recipient_states: The stored states of a message's recipients.
SELECT number, state FROM recipient WHERE seq = ? ORDER BY number;

-- expired_groups: Groups past their message's end that no running lease holds; uncertain ones only while they are due.
SELECT seq, grp, transport, priority, state, due_at, lease, members, tries, crashes, digest, maybe_duplicate, expires_at, tenant, route, standing, hold
FROM queue
WHERE expires_at <= ?1 AND (state <> 'uncertain' OR due_at IS NOT NULL) AND (lease IS NULL OR due_at <= ?1)
LIMIT ?2;

-- group: One group.
SELECT seq, grp, transport, priority, state, due_at, lease, members, tries, crashes, digest, maybe_duplicate, expires_at, tenant, route, standing, hold
FROM queue WHERE seq = ? AND grp = ?;

-- strangers: Groups that wait for a transport nobody knows (JSON array of known ones) and for no guest; uncertain ones will wait for a person.
SELECT seq, grp, CASE WHEN state = 'uncertain' THEN NULL ELSE due_at END, route, tenant, priority, standing
FROM queue WHERE lease IS NULL AND transport NOT IN (SELECT value FROM json_each(?))
    AND NOT (transport >= 'guest:' AND transport < 'guest;');

-- reroute_message: The transport that lists and views show.
UPDATE message SET transport = ? WHERE seq = ?;

-- reroutable: Groups of one route that may go over another transport, with the instant before which they must not.
SELECT seq, grp, members, tenant, priority, standing, (SELECT send_at FROM message WHERE message.seq = queue.seq)
FROM queue INDEXED BY queue_lane
WHERE transport = ?1 AND route = ?2 AND due_at IS NOT NULL AND lease IS NULL
    AND ((state <> 'uncertain' AND digest IS NULL) OR priority IN (SELECT value FROM json_each(?3)))
LIMIT ?4;

-- groups_of_transport: How many groups wait for a transport or are in its work.
SELECT count(*) FROM queue WHERE transport = ?;

-- hurry: Queued groups that wait for a later time are due now, scheduled ones at their time.
UPDATE queue INDEXED BY queue_lane
SET due_at = max(?2, coalesce((SELECT send_at FROM message WHERE message.seq = queue.seq), 0))
WHERE transport = ?1 AND state = 'queued' AND due_at IS NOT NULL AND due_at > ?2 AND lease IS NULL;

-- give_group: A group waits for another transport.
UPDATE queue SET transport = ?, due_at = ? WHERE seq = ? AND grp = ?;

-- next_route: The first route behind a given one of what waits for a transport.
SELECT route FROM queue INDEXED BY queue_lane
WHERE due_at IS NOT NULL AND transport = ? AND route > ? ORDER BY route LIMIT 1;

-- store_pause: A transport waits; an earlier pause of the same kind is replaced.
INSERT OR REPLACE INTO pause (transport, kind, is_open, author, since, until, cause, step, text, host, failures)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- delete_pause: A pause is over.
DELETE FROM pause WHERE transport = ? AND kind = ?;

-- delete_pauses: A transport works again, unless a person suspended it.
DELETE FROM pause WHERE transport = ? AND kind <> 'suspended';

-- pauses: Every stored pause.
SELECT transport, kind, is_open, author, since, until, cause, step, text, host, failures
FROM pause ORDER BY transport, kind;

-- store_limit: A learnt limit; an earlier one of the same window is replaced.
INSERT OR REPLACE INTO learnt_limit (transport, window_s, allowed, seen, learnt_at, text) VALUES (?, ?, ?, ?, ?, ?);

-- delete_limit: A learnt limit is forgotten.
DELETE FROM learnt_limit WHERE transport = ? AND window_s = ?;

-- move_only: The new state of a recipient whose last cause stays.
UPDATE recipient SET state = ? WHERE seq = ? AND number = ?;

-- id_of_message: The id behind a row.
SELECT id FROM message WHERE seq = ?;

-- newest_before: About where in the order of rows an age begins; an id begins with its time.
SELECT seq FROM message WHERE id < ? ORDER BY id DESC LIMIT 1;

-- old_contents: Finished messages whose content is past its retention, oldest first.
SELECT message.seq FROM content CROSS JOIN message USING (seq)
WHERE content.seq <= ?3 AND message.created_at < ?1
    AND NOT EXISTS (SELECT 1 FROM queue WHERE queue.seq = message.seq)
    AND max(
        coalesce(message.changed_at, message.created_at),
        coalesce((SELECT max(settled_at) FROM attempt WHERE attempt.seq = message.seq), 0)
    ) < ?1
ORDER BY message.seq LIMIT ?2;

-- old_messages: Finished messages that are past their retention, oldest first.
SELECT message.seq FROM message
WHERE message.seq <= ?3 AND message.created_at < ?1
    AND NOT EXISTS (SELECT 1 FROM queue WHERE queue.seq = message.seq)
    AND max(
        coalesce(message.changed_at, message.created_at),
        coalesce((SELECT max(settled_at) FROM attempt WHERE attempt.seq = message.seq), 0)
    ) < ?1
ORDER BY message.seq LIMIT ?2;

-- delete_content: The content of a message.
DELETE FROM content WHERE seq = ?;

-- delete_references: What a message names among the blobs.
DELETE FROM blob_ref WHERE seq = ?;

-- delete_outcomes: What a message's attempts meant.
DELETE FROM outcome WHERE seq = ?;

-- delete_attempts: The attempts of a message.
DELETE FROM attempt WHERE seq = ?;

-- delete_recipients: The recipients of a message.
DELETE FROM recipient WHERE seq = ?;

-- delete_message: A message.
DELETE FROM message WHERE seq = ?;

-- delete_events: The events of a message.
DELETE FROM event WHERE seq = ?;

-- delete_events_past: Events past their retention, oldest first.
DELETE FROM event
WHERE number IN (SELECT number FROM (SELECT number, at FROM event ORDER BY number LIMIT ?2) WHERE at < ?1);

-- delete_sent_past: Minutes that no quota looks at any more.
DELETE FROM sent WHERE minute < ?;

-- delete_captures: Captured mails past their retention.
DELETE FROM capture WHERE number IN (SELECT number FROM capture WHERE captured_at < ? ORDER BY number LIMIT ?);

-- delete_keys_past: Idempotency keys past their end.
DELETE FROM idempotency
WHERE (tenant, key) IN (SELECT tenant, key FROM idempotency WHERE keep_until <= ? ORDER BY keep_until LIMIT ?);

-- names_blob: Whether a message or a captured mail names a blob file.
SELECT EXISTS (SELECT 1 FROM blob_ref WHERE sha256 = ?1 AND tenant = ?2) OR EXISTS (SELECT 1 FROM capture WHERE sha256 = ?1);
