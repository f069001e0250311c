-- insert_hold: A standing hold.
INSERT INTO hold (
    id, tenant, mail_class, tag, sender, recipient, transport, reason, author, created_at, until, fate, ended_at, ended_by
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- open_holds: Holds that stand, oldest first.
SELECT id, tenant, mail_class, tag, sender, recipient, transport, reason, author, created_at, until, fate, ended_at, ended_by
FROM hold WHERE ended_at IS NULL ORDER BY created_at, id;

-- tenant_holds: Holds of a tenant that stand, or that ended, newest first.
SELECT id, tenant, mail_class, tag, sender, recipient, transport, reason, author, created_at, until, fate, ended_at, ended_by
FROM hold WHERE tenant = ?1 AND (ended_at IS NULL) = ?2 ORDER BY created_at DESC, id DESC;

-- one_hold: One hold.
SELECT id, tenant, mail_class, tag, sender, recipient, transport, reason, author, created_at, until, fate, ended_at, ended_by
FROM hold WHERE id = ?;

-- end_hold: A hold stands no longer.
UPDATE hold SET ended_at = ?, ended_by = ? WHERE id = ?;

-- groups_of_hold: What a hold keeps, oldest first.
SELECT seq, members FROM queue INDEXED BY queue_hold WHERE hold = ? ORDER BY seq, grp LIMIT ?;

-- kept_by_hold: How many groups of which recipients a hold keeps.
SELECT members, count(*) FROM queue INDEXED BY queue_hold WHERE hold = ? GROUP BY members;

-- delete_old_holds: Holds that ended long ago.
DELETE FROM hold WHERE ended_at < ?;

-- store_suppression: An address is not sent to; an earlier row of the same address and scope is replaced.
INSERT OR REPLACE INTO suppression (
    tenant, address, mail_class, reason, note, author, created_at, until, message_id
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?);

-- delete_suppression: An address is sent to again.
DELETE FROM suppression WHERE tenant = ? AND address = ? AND mail_class = ?;

-- suppression_addresses: Every address that a suppression names.
SELECT address FROM suppression;

-- suppressions_of: Which suppressions stop mail of a class to an address or its domain.
SELECT tenant, address, mail_class, reason, note, author, created_at, until, message_id FROM suppression
WHERE tenant = ?1 AND address IN (?2, ?3) AND mail_class IN ('', ?4) AND (until IS NULL OR until > ?5);

-- suppression_page: Suppressions of a tenant behind an address, in order.
SELECT tenant, address, mail_class, reason, note, author, created_at, until, message_id FROM suppression
WHERE tenant = ? AND address > ? ORDER BY address, mail_class LIMIT ?;

-- suppressions_at: Suppressions of exactly one address of a tenant.
SELECT tenant, address, mail_class, reason, note, author, created_at, until, message_id FROM suppression
WHERE tenant = ? AND address = ? ORDER BY mail_class;

-- delete_old_suppressions: Suppressions past their end.
DELETE FROM suppression WHERE (tenant, address, mail_class) IN (
    SELECT tenant, address, mail_class FROM suppression WHERE until < ? ORDER BY until LIMIT ?
);
