-- earlier_use: What was stored under a caller's idempotency key.
SELECT message_id, fields, keep_until FROM idempotency WHERE tenant = ? AND key = ?;

-- remember_key: Keep an idempotency key with the message it made; a key past its end is taken over.
INSERT OR REPLACE INTO idempotency (tenant, key, message_id, fields, keep_until) VALUES (?, ?, ?, ?, ?);

-- insert_message: The facts of a message that lists and views show.
INSERT INTO message (
    seq, id, tenant, door, mail_class, transport, uncertain_policy, created_at, expires_at, sender, subject, tags, metadata,
    route, send_at, template
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- insert_content: The message itself.
INSERT INTO content (seq, sha256, body) VALUES (?, ?, ?);

-- insert_recipient: One recipient, queued.
INSERT INTO recipient (seq, number, address, state, cause) VALUES (?, ?, ?, 'queued', '');

-- insert_reference: A message names a blob file.
INSERT OR IGNORE INTO blob_ref (sha256, tenant, seq) VALUES (?, ?, ?);

-- insert_group: A group that waits.
INSERT INTO queue (
    seq, grp, transport, priority, state, due_at, lease, members, tries, crashes, digest, maybe_duplicate, expires_at,
    tenant, route, standing, hold
) VALUES (?, ?, ?, ?, ?, ?, NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- add_to_tally: Add to a count, or set it for the first time.
INSERT INTO tally (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + excluded.value;

-- raise_tally: Set a mark that only grows.
INSERT INTO tally (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value);

-- tally_value: One count or mark.
SELECT value FROM tally WHERE name = ?;
