-- Standing orders (holds, suppressions) and webhook endpoints.

CREATE INDEX queue_hold ON queue (hold, seq, grp) WHERE hold IS NOT NULL;

CREATE TABLE hold (
    id TEXT PRIMARY KEY,
    tenant TEXT NOT NULL,
    mail_class TEXT,  -- the filter from here; NULL means any
    tag TEXT,
    sender TEXT,
    recipient TEXT,
    transport TEXT,
    reason TEXT NOT NULL,
    author TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    until INTEGER,
    fate TEXT NOT NULL,  -- release or expire, when it ends by itself
    ended_at INTEGER,
    ended_by TEXT NOT NULL
) STRICT;

CREATE TABLE suppression (
    tenant TEXT NOT NULL,
    address TEXT NOT NULL,  -- folded, or @domain
    mail_class TEXT NOT NULL,  -- empty for all
    reason TEXT NOT NULL,
    note TEXT NOT NULL,
    author TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    until INTEGER,
    message_id TEXT,
    PRIMARY KEY (tenant, address, mail_class)
) STRICT, WITHOUT ROWID;

CREATE INDEX suppression_end ON suppression (until) WHERE until IS NOT NULL;

CREATE TABLE hook (
    id TEXT PRIMARY KEY,
    tenant TEXT NOT NULL,
    url TEXT NOT NULL,
    kinds TEXT NOT NULL,  -- JSON array, empty for every kind
    secrets TEXT NOT NULL,  -- JSON array, newest first; the one column to encrypt at rest
    created_at INTEGER NOT NULL,
    old_secrets_until INTEGER,
    disabled_at INTEGER,
    disabled_why TEXT NOT NULL,
    told_up_to INTEGER NOT NULL
) STRICT;

CREATE TABLE hook_delivery (
    hook_id TEXT NOT NULL,
    event INTEGER NOT NULL,
    state TEXT NOT NULL,
    tries INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    due_at INTEGER,
    last_at INTEGER,
    status INTEGER,
    text TEXT NOT NULL,
    duration_ms INTEGER NOT NULL,
    PRIMARY KEY (hook_id, event)
) STRICT, WITHOUT ROWID;

CREATE INDEX hook_delivery_due ON hook_delivery (hook_id, due_at) WHERE state = 'pending';

-- How far readers of the events have come.
CREATE TABLE mark (
    name TEXT PRIMARY KEY,
    text TEXT NOT NULL
) STRICT, WITHOUT ROWID;
