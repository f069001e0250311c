-- newest_seq: The row of the newest message.
SELECT coalesce(max(seq), 0) FROM message;

-- waiting_messages: Messages of which something waits, in order.
SELECT DISTINCT seq FROM queue WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?;

-- messages_in_state: Messages with a recipient in an unusual state, in order.
SELECT DISTINCT seq FROM recipient
WHERE state = ? AND state <> 'queued' AND state <> 'accepted' AND state <> 'captured' AND seq > ? AND seq <= ? ORDER BY seq LIMIT ?;

-- cases: Facts of messages, by a JSON array of rows.
SELECT seq, id, tenant, mail_class, transport, route, sender, tags, created_at, expires_at, send_at
FROM message WHERE seq IN (SELECT value FROM json_each(?)) ORDER BY seq;

-- case_recipients: Recipients of messages, by a JSON array of rows.
SELECT seq, number, address, state FROM recipient WHERE seq IN (SELECT value FROM json_each(?)) ORDER BY seq, number;

-- case_leases: What of messages is under a lease, by a JSON array of rows.
SELECT seq, members FROM queue WHERE seq IN (SELECT value FROM json_each(?)) AND lease IS NOT NULL;

-- case_contents: Which messages still have their content, by a JSON array of rows.
SELECT seq FROM content WHERE seq IN (SELECT value FROM json_each(?));

-- shrink_group: Recipients of a group wait no longer with the others.
UPDATE queue SET members = ? WHERE seq = ? AND grp = ?;

-- committed_attempts: Attempts of a message whose bytes were handed over, in order.
SELECT transport, members, digest FROM attempt WHERE seq = ? AND digest IS NOT NULL ORDER BY number;

-- uncertain_before: Recipients of a message whose outcome was uncertain once.
SELECT DISTINCT recipient FROM outcome WHERE seq = ? AND outcome = 'uncertain';

-- any_attempt: Whether an attempt was ever recorded for a message.
SELECT 1 FROM attempt WHERE seq = ? LIMIT 1;

-- replace_content: The stored form of a message whose times changed, or whose files were fetched.
UPDATE content SET sha256 = ?, body = ? WHERE seq = ?;

-- retime_message: The times of a message changed.
UPDATE message SET expires_at = ?, send_at = coalesce(?, send_at) WHERE seq = ?;

-- retime_groups: The end of a message changed.
UPDATE queue SET expires_at = ? WHERE seq = ?;

-- reschedule_groups: What is queued of a message is due at another time.
UPDATE queue SET due_at = ? WHERE seq = ? AND state = 'queued' AND lease IS NULL;

-- messages_to: Which messages have a recipient among addresses and domains; both are JSON arrays.
SELECT DISTINCT seq FROM recipient
WHERE seq IN (SELECT value FROM json_each(?1)) AND (
    lower(address) IN (SELECT value FROM json_each(?2))
    OR substr(lower(address), instr(address, '@')) IN (SELECT value FROM json_each(?2))
);

-- kept_of_message: Recipients of a message that a hold keeps.
SELECT members FROM queue WHERE seq = ? AND hold = ?;
