-- stored_transports: Every transport made by a call, oldest first.
SELECT name, fields, secrets, created_at, changed_at, author FROM stored_transport ORDER BY created_at, name;

-- secrets_of_transport: What is sealed of one transport.
SELECT secrets FROM stored_transport WHERE name = ?;

-- store_transport: Store a transport, in place of one of its name, which keeps its time of creation.
INSERT INTO stored_transport (name, fields, secrets, created_at, changed_at, author) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (name) DO UPDATE SET
    fields = excluded.fields, secrets = excluded.secrets, changed_at = excluded.changed_at, author = excluded.author;

-- delete_transport: Remove a transport made by a call.
DELETE FROM stored_transport WHERE name = ?;

-- sealed_rows: Every row with a secret: its table, its id and what is sealed.
SELECT 'stored_transport', name, secrets FROM stored_transport WHERE secrets <> '{}'
UNION ALL
SELECT 'hook', id, secrets FROM hook WHERE secrets <> '{}'
UNION ALL
SELECT 'guest', name, secrets FROM guest WHERE secrets <> '{}';

-- reseal_transport: Put what is sealed of a transport in place of what was.
UPDATE stored_transport SET secrets = ? WHERE name = ?;

-- reseal_hook: Put what is sealed of an endpoint in place of what was.
UPDATE hook SET secrets = ? WHERE id = ?;
