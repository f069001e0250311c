-- The first schema. Instants are microseconds since 1970 in UTC; states and stages are the words of the model.

CREATE TABLE message (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    tenant TEXT NOT NULL,
    door TEXT NOT NULL,
    mail_class TEXT NOT NULL,
    transport TEXT NOT NULL,
    uncertain_policy TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    changed_at INTEGER,  -- last change that no attempt tells: cancelled, expired, recovered
    sender TEXT NOT NULL,
    subject TEXT NOT NULL,
    tags TEXT,  -- JSON array, NULL when empty
    metadata TEXT  -- JSON object, NULL when empty
) STRICT;

-- Apart from message, because it goes earlier and lists never read it.
CREATE TABLE content (
    seq INTEGER PRIMARY KEY,
    sha256 BLOB NOT NULL,
    body BLOB NOT NULL
) STRICT;

CREATE TABLE recipient (
    seq INTEGER NOT NULL,
    number INTEGER NOT NULL,
    address TEXT NOT NULL,
    state TEXT NOT NULL,  -- never sending: that is the lease of the group
    cause TEXT NOT NULL,
    PRIMARY KEY (seq, number)
) STRICT, WITHOUT ROWID;

-- The states a person looks for; the usual way (queued, then accepted) pays nothing for it.
CREATE INDEX recipient_unusual ON recipient (state, seq) WHERE state NOT IN ('queued', 'accepted', 'captured');

-- What waits: one row per group of recipients, gone when the group is finished. Without foreign keys.
CREATE TABLE queue (
    seq INTEGER NOT NULL,
    grp INTEGER NOT NULL,
    transport TEXT NOT NULL,
    priority INTEGER NOT NULL,
    state TEXT NOT NULL,
    due_at INTEGER,  -- under a lease: when the lease ends; NULL waits for a person
    lease INTEGER,  -- number of the attempt that holds the group
    members TEXT NOT NULL,  -- recipient numbers as ranges
    tries INTEGER NOT NULL,
    crashes INTEGER NOT NULL,
    digest TEXT,
    maybe_duplicate INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (seq, grp)
) STRICT, WITHOUT ROWID;

CREATE INDEX queue_due ON queue (transport, priority, due_at) WHERE due_at IS NOT NULL;

CREATE TABLE attempt (
    seq INTEGER NOT NULL,
    number INTEGER NOT NULL,  -- unique in the store, never given twice
    transport TEXT NOT NULL,
    members TEXT NOT NULL,
    stage TEXT NOT NULL,
    opened_at INTEGER NOT NULL,
    digest TEXT,
    committing_at INTEGER,
    settled_at INTEGER,
    counts INTEGER,
    PRIMARY KEY (seq, number)
) STRICT, WITHOUT ROWID;

-- What an attempt meant for one recipient, with its evidence.
CREATE TABLE outcome (
    seq INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    recipient INTEGER NOT NULL,
    at INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    action TEXT NOT NULL,
    cause TEXT NOT NULL,
    step TEXT NOT NULL,
    code INTEGER,
    enhanced TEXT,
    text TEXT NOT NULL,
    raw BLOB,
    fault TEXT,
    host TEXT NOT NULL,
    port INTEGER NOT NULL,
    duration_ms INTEGER NOT NULL,
    PRIMARY KEY (seq, attempt, recipient)
) STRICT, WITHOUT ROWID;

CREATE TABLE idempotency (
    tenant TEXT NOT NULL,
    key TEXT NOT NULL,
    message_id TEXT NOT NULL,
    fields TEXT NOT NULL,  -- JSON object: field to digest
    keep_until INTEGER NOT NULL,
    PRIMARY KEY (tenant, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_end ON idempotency (keep_until);

-- Which message names which blob file; the sweep keeps what is named here or in capture.
CREATE TABLE blob_ref (
    sha256 TEXT NOT NULL,
    tenant TEXT NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (sha256, tenant, seq)
) STRICT, WITHOUT ROWID;

CREATE INDEX blob_ref_message ON blob_ref (seq);

CREATE TABLE capture (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    message_id TEXT NOT NULL,
    captured_at INTEGER NOT NULL,
    reverse_path TEXT NOT NULL,
    recipients TEXT NOT NULL,  -- JSON array
    subject TEXT NOT NULL,
    sender TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    size INTEGER NOT NULL
) STRICT;

CREATE INDEX capture_source ON capture (sha256);

CREATE TABLE api_key (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    sha256 BLOB NOT NULL,
    scopes TEXT NOT NULL,  -- JSON arrays from here
    tenant TEXT NOT NULL,
    senders TEXT NOT NULL,
    networks TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT;

CREATE TABLE pause (
    transport TEXT PRIMARY KEY,
    since INTEGER NOT NULL,
    until INTEGER NOT NULL,
    cause TEXT NOT NULL,
    step TEXT NOT NULL,
    text TEXT NOT NULL,
    host TEXT NOT NULL,
    failures INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Recipients by state, kept with every change, and the marks last_seq, last_attempt and real_mail.
CREATE TABLE tally (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
