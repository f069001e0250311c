-- stored_guests: Every account that a caller brought, oldest first.
SELECT name, tenant, fields, secrets, created_at FROM guest ORDER BY created_at, name;

-- has_guest: Whether a guest is stored.
SELECT 1 FROM guest WHERE name = ?;

-- store_guest: Store a guest.
INSERT INTO guest (name, tenant, fields, secrets, created_at) VALUES (?, ?, ?, ?, ?);

-- delete_guest: Forget a guest.
DELETE FROM guest WHERE name = ?;

-- is_guest_awaited: Whether anything waits for a guest; the range lets the small index be used.
SELECT 1 FROM queue WHERE transport = ? AND transport >= 'guest:' AND transport < 'guest;' LIMIT 1;

-- awaited_guests: The guests that something waits for.
SELECT DISTINCT transport FROM queue WHERE transport >= 'guest:' AND transport < 'guest;';

-- reseal_guest: Put what is sealed of a guest in place of what was.
UPDATE guest SET secrets = ? WHERE name = ?;
