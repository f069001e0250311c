-- next_due: When the next unleased group of a lane is due.
SELECT due_at FROM queue INDEXED BY queue_lane
WHERE transport = ? AND route = ? AND tenant = ? AND priority = ? AND standing = ? AND due_at IS NOT NULL AND lease IS NULL
ORDER BY due_at LIMIT 1;

-- tallies: Every count and mark.
SELECT name, value FROM tally;

-- oldest_open: When the oldest message that still waits was accepted.
SELECT created_at FROM message WHERE seq = (SELECT min(seq) FROM queue);

-- message_row: One message of a tenant.
SELECT seq, id, door, mail_class, transport, created_at, expires_at, sender, subject, tags, metadata, route,
    template
FROM message WHERE id = ? AND tenant = ?;

-- stored_body: The stored form of a tenant's message and its hash.
SELECT content.body, content.sha256 FROM message JOIN content USING (seq) WHERE message.id = ? AND message.tenant = ?;

-- recipients: The recipients of a message.
SELECT number, address, state, cause FROM recipient WHERE seq = ? ORDER BY number;

-- waiting: What waits of a message.
SELECT members, due_at, lease FROM queue WHERE seq = ?;

-- outcomes: Every line of a message's attempts, in order.
SELECT outcome.recipient, outcome.at, attempt.transport, step, code, enhanced, text, outcome, duration_ms, cause, host
FROM outcome JOIN attempt ON attempt.seq = outcome.seq AND attempt.number = outcome.attempt
WHERE outcome.seq = ? ORDER BY outcome.attempt, outcome.recipient;

-- running_attempts: Attempts of a message without an end.
SELECT members, opened_at, committing_at, transport, stage FROM attempt
WHERE seq = ? AND stage <> 'settled' ORDER BY number;

-- listed: Messages of a tenant, newest first; parts in braces are put in by the caller.
SELECT seq, id, mail_class, transport, created_at, sender, subject, tags, route
FROM message WHERE tenant = :tenant {conditions}
ORDER BY seq DESC LIMIT :limit;

-- listed_states: Recipients of a message by stored state.
SELECT state, count(*) FROM recipient WHERE seq = ? GROUP BY state;

-- captured_page: Captured mails below a number, newest first.
SELECT number, message_id, captured_at, reverse_path, recipients, subject, sender, sha256, size
FROM capture WHERE number < ? ORDER BY number DESC LIMIT ?;

-- captured_one: One captured mail.
SELECT number, message_id, captured_at, reverse_path, recipients, subject, sender, sha256, size
FROM capture WHERE number = ?;

-- insert_captured: Store a captured mail.
INSERT INTO capture (message_id, captured_at, reverse_path, recipients, subject, sender, sha256, size)
VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- keys: Every API key, oldest first.
SELECT id, name, sha256, scopes, tenant, senders, networks, created_at, revoked_at FROM api_key ORDER BY created_at, id;

-- insert_key: Store an API key.
INSERT INTO api_key (id, name, sha256, scopes, tenant, senders, networks, created_at, revoked_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?);

-- revoke_key: Revoke a key by id or name; one revoked before keeps its time.
UPDATE api_key SET revoked_at = coalesce(revoked_at, ?1) WHERE id = ?2 OR name = ?2;

-- event_page: Events with the id of their message; conditions and order are put in by the caller.
SELECT event.number, event.at, event.kind, event.tenant, event.seq, message.id, event.members, event.transport,
    event.cause, event.data
FROM event LEFT JOIN message ON message.seq = event.seq
WHERE TRUE {conditions}
ORDER BY event.number {order} LIMIT :limit;

-- newest_event: The number of the newest event.
SELECT number FROM event ORDER BY number DESC LIMIT 1;

-- addresses: The addresses of a message's recipients.
SELECT number, address FROM recipient WHERE seq = ?;

-- worked_until: When a server last took mail by a transport, among the newest messages.
SELECT outcome.at FROM attempt
JOIN outcome ON outcome.seq = attempt.seq AND outcome.attempt = attempt.number
WHERE attempt.seq > (SELECT max(seq) FROM message) - ? AND attempt.transport = ? AND outcome.outcome = 'accepted'
ORDER BY attempt.seq DESC, attempt.number DESC LIMIT 1;

-- sent_since: What began in each minute.
SELECT minute, count FROM sent WHERE transport = ? AND minute >= ? AND count > 0 ORDER BY minute;

-- limits: Every learnt limit.
SELECT transport, window_s, allowed, seen, learnt_at, text FROM learnt_limit ORDER BY transport, window_s;
