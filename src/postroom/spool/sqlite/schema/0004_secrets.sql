-- Transports made by calls. Secrets are sealed from here on, those of webhook endpoints too.

CREATE TABLE stored_transport (
    name TEXT PRIMARY KEY,
    fields TEXT NOT NULL,  -- JSON object without secrets
    secrets TEXT NOT NULL,  -- JSON object: what was sealed, by the field's path
    created_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    author TEXT NOT NULL
) STRICT;

-- Holds readable secrets: emptied, swept and dropped by the program at the start after this step.
ALTER TABLE hook RENAME TO hook_readable;

CREATE TABLE hook (
    id TEXT PRIMARY KEY,
    tenant TEXT NOT NULL,
    url TEXT NOT NULL,
    kinds TEXT NOT NULL,  -- JSON array, empty for every kind
    secrets TEXT NOT NULL,  -- JSON object: what was sealed, by its place, newest first
    created_at INTEGER NOT NULL,
    old_secrets_until INTEGER,
    disabled_at INTEGER,
    disabled_why TEXT NOT NULL,
    told_up_to INTEGER NOT NULL
) STRICT;
