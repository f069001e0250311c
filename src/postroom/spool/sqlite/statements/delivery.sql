-- claimable: Groups of a lane that are due, or whose lease has run out, the longest due first.
SELECT seq, grp, transport, priority, state, due_at, lease, members, tries, crashes, digest, maybe_duplicate, expires_at, tenant, route, standing, hold
FROM queue INDEXED BY queue_lane
WHERE transport = ? AND route = ? AND tenant = ? AND priority = ? AND standing = ? AND due_at <= ? AND expires_at > ?
ORDER BY due_at LIMIT ?;

-- lane_waits: Whether anything of a lane waits, due or not, leased or not.
SELECT 1 FROM queue INDEXED BY queue_lane
WHERE transport = ? AND route = ? AND tenant = ? AND priority = ? AND standing = ? AND due_at IS NOT NULL LIMIT 1;

-- next_lane: The first lane behind a given one; with the latest due time there is, so that none of its own is met.
SELECT transport, route, tenant, priority, standing FROM queue INDEXED BY queue_lane
WHERE due_at IS NOT NULL
    AND (transport, route, tenant, priority, standing, due_at) > (?, ?, ?, ?, ?, 9223372036854775807)
ORDER BY transport, route, tenant, priority, standing LIMIT 1;

-- leased_suspect: Whether a suspect is in work, and has been since a given time.
SELECT 1 FROM queue INDEXED BY queue_suspect
JOIN attempt ON attempt.seq = queue.seq AND attempt.number = queue.lease
WHERE standing = 2 AND lease IS NOT NULL AND due_at > ? AND opened_at > ? LIMIT 1;

-- content: The stored bytes of a message and their hash.
SELECT body, sha256 FROM content WHERE seq = ?;

-- lease_group: Put a group under a lease; its due time becomes the lease's end.
UPDATE queue SET lease = ?, due_at = ?, members = ? WHERE seq = ? AND grp = ?;

-- insert_attempt: An attempt, written before it is made.
INSERT INTO attempt (seq, number, transport, members, stage, opened_at) VALUES (?, ?, ?, ?, 'open', ?);

-- next_group: The first free group number of a message.
SELECT coalesce(max(grp), -1) + 1 FROM queue WHERE seq = ?;

-- mark_committing: The final dot is next, under a lease that still runs.
UPDATE attempt SET stage = 'committing', digest = ?, committing_at = ?
WHERE seq = ? AND number = ? AND stage = 'open'
    AND EXISTS (
        SELECT 1 FROM queue
        WHERE queue.seq = attempt.seq AND queue.grp = ? AND queue.lease = attempt.number AND queue.due_at > ?
    );

-- leased_group: The group that a lease holds; no row when the lease is over.
SELECT seq, grp, transport, priority, state, due_at, lease, members, tries, crashes, digest, maybe_duplicate, expires_at, tenant, route, standing, hold
FROM queue WHERE seq = ? AND grp = ? AND lease = ?;

-- attempt_stage: How far an attempt came.
SELECT stage, opened_at, committing_at, digest FROM attempt WHERE seq = ? AND number = ?;

-- settle_attempt: The end of an attempt.
UPDATE attempt SET stage = 'settled', settled_at = ?, counts = ? WHERE seq = ? AND number = ?;

-- delete_attempt: An attempt that never began.
DELETE FROM attempt WHERE seq = ? AND number = ?;

-- insert_outcome: What an attempt meant for one recipient.
INSERT INTO outcome (
    seq, attempt, recipient, at, outcome, action, cause, step, code, enhanced, text, raw, fault, host, port, duration_ms
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- move_recipient: The new state of a recipient.
UPDATE recipient SET state = ?, cause = ? WHERE seq = ? AND number = ?;

-- delete_group: Nothing of the group waits any more.
DELETE FROM queue WHERE seq = ? AND grp = ?;

-- uncertain_policy: What the message wants done about an uncertain outcome.
SELECT uncertain_policy FROM message WHERE seq = ?;

-- touch_message: Note a change that no attempt tells.
UPDATE message SET changed_at = max(coalesce(changed_at, 0), ?) WHERE seq = ?;

-- add_sent: Attempts that began in a minute, or were given back.
INSERT INTO sent (transport, minute, count) VALUES (?1, ?2, max(?3, 0))
ON CONFLICT (transport, minute) DO UPDATE SET count = max(count + ?3, 0);

-- insert_event: Something happened.
INSERT INTO event (number, at, kind, tenant, seq, members, transport, cause, data) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?);
