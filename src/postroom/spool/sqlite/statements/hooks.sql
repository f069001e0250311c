-- hooks: Every webhook endpoint, oldest first.
SELECT id, tenant, url, kinds, secrets, created_at, old_secrets_until, disabled_at, disabled_why, told_up_to
FROM hook ORDER BY created_at, id;

-- insert_hook: Store a webhook endpoint.
INSERT INTO hook (id, tenant, url, kinds, secrets, created_at, old_secrets_until, disabled_at, disabled_why, told_up_to)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- hook_ids: The id of every webhook endpoint.
SELECT id FROM hook;

-- update_hook: Change an endpoint; what it was told of never goes back, and without new secrets the old ones stay.
UPDATE hook SET
    url = ?1, kinds = ?2, secrets = coalesce(?3, secrets), old_secrets_until = ?4, disabled_at = ?5, disabled_why = ?6,
    told_up_to = max(told_up_to, ?7)
WHERE id = ?8;

-- fail_pending: What waits for an endpoint that is disabled has failed.
UPDATE hook_delivery SET state = 'failed', due_at = NULL, text = ? WHERE hook_id = ? AND state = 'pending';

-- delete_hook: Remove an endpoint of a tenant.
DELETE FROM hook WHERE id = ? AND tenant = ?;

-- delete_hook_log: Remove the deliveries of an endpoint.
DELETE FROM hook_delivery WHERE hook_id = ?;

-- hook_was_told: Move the mark of an endpoint.
UPDATE hook SET told_up_to = ? WHERE id = ?;

-- events_behind: What endpoints choose events by, of those between two numbers, in order.
SELECT number, kind, tenant FROM event WHERE number > ? AND number <= ? ORDER BY number LIMIT ?;

-- insert_delivery: An event is due at an endpoint, unless it was told of it before.
INSERT OR IGNORE INTO hook_delivery (hook_id, event, state, tries, created_at, due_at, text, duration_ms)
VALUES (?1, ?2, 'pending', 0, ?3, ?3, '', 0);

-- replay_delivery: An event is due at an endpoint once more.
INSERT INTO hook_delivery (hook_id, event, state, tries, created_at, due_at, text, duration_ms)
VALUES (?1, ?2, 'pending', 0, ?3, ?3, '', 0)
ON CONFLICT (hook_id, event) DO UPDATE SET
    state = 'pending', tries = 0, due_at = ?3, last_at = NULL, status = NULL, text = '', duration_ms = 0;

-- due_deliveries: Deliveries of an endpoint that are due, the longest due first.
SELECT hook_id, event, state, tries, created_at, due_at, last_at, status, text, duration_ms
FROM hook_delivery INDEXED BY hook_delivery_due
WHERE hook_id = ? AND state = 'pending' AND due_at <= ?
ORDER BY due_at, event LIMIT ?;

-- record_delivery: What became of a try.
UPDATE hook_delivery SET
    state = ?, tries = ?, due_at = ?, last_at = ?, status = ?, text = ?, duration_ms = ?
WHERE hook_id = ? AND event = ?;

-- next_delivery: When the next delivery of an endpoint is due.
SELECT due_at FROM hook_delivery INDEXED BY hook_delivery_due
WHERE hook_id = ? AND state = 'pending' AND due_at IS NOT NULL ORDER BY due_at LIMIT 1;

-- delivery_log: Deliveries of an endpoint below an event, newest first.
SELECT hook_id, event, state, tries, created_at, due_at, last_at, status, text, duration_ms
FROM hook_delivery WHERE hook_id = ?1 AND event < ?2 AND (?3 IS NULL OR state = ?3)
ORDER BY event DESC LIMIT ?4;

-- delete_old_deliveries: Deliveries of an endpoint whose events are gone.
DELETE FROM hook_delivery WHERE hook_id = ?1 AND event IN (
    SELECT event FROM hook_delivery WHERE hook_id = ?1 AND event < ?2 ORDER BY event LIMIT ?3
);

-- mark_of: How far a reader of the events came.
SELECT text FROM mark WHERE name = ?;

-- store_mark: Store how far a reader of the events came.
INSERT OR REPLACE INTO mark (name, text) VALUES (?, ?);
