-- Accounts that callers brought for their own mail, gone when nothing waits for them.

CREATE TABLE guest (
    name TEXT PRIMARY KEY,
    tenant TEXT NOT NULL,
    fields TEXT NOT NULL,  -- JSON object without secrets
    secrets TEXT NOT NULL,  -- JSON object: what was sealed, by the field's path
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Whether anything waits for a guest, held mail too, without a look at what waits for others.
CREATE INDEX queue_guest ON queue (transport) WHERE transport >= 'guest:' AND transport < 'guest;';
