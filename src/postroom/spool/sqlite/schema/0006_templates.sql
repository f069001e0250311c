-- Stored templates with their versions, and what a message was made from.

CREATE TABLE template (
    tenant TEXT NOT NULL,
    name TEXT NOT NULL,
    last INTEGER NOT NULL,  -- the newest version's number
    current INTEGER,  -- number of the version in use, NULL when none was published
    is_removed INTEGER NOT NULL DEFAULT 0,  -- the row stays, so that no number is ever used again
    PRIMARY KEY (tenant, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE template_version (
    tenant TEXT NOT NULL,
    name TEXT NOT NULL,
    number INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    author TEXT NOT NULL,
    note TEXT NOT NULL,
    published_at INTEGER,  -- for the last time, NULL for a draft
    head TEXT NOT NULL,  -- JSON array of the variants, the default first, without their texts
    texts BLOB NOT NULL,  -- their texts, JSON, compressed by zlib
    PRIMARY KEY (tenant, name, number)
) STRICT;

ALTER TABLE message ADD COLUMN template TEXT;  -- JSON array: name, version, locale
