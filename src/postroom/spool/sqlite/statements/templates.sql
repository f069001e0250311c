-- template: The numbers of a tenant's template, a removed one too.
SELECT last, current, is_removed FROM template WHERE tenant = ? AND name = ?;

-- count_templates: How many templates a tenant has.
SELECT count(*) FROM template WHERE tenant = ? AND NOT is_removed;

-- put_template: Note the newest version, and the one in use.
INSERT OR REPLACE INTO template (tenant, name, last, current) VALUES (?, ?, ?, ?);

-- insert_version: Store a version.
INSERT INTO template_version (tenant, name, number, created_at, author, note, published_at, head, texts)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?);

-- prune_versions: Forget the oldest versions that are more than are kept, never the one in use.
DELETE FROM template_version WHERE tenant = ?1 AND name = ?2 AND number IN (
    SELECT number FROM template_version WHERE tenant = ?1 AND name = ?2 AND number IS NOT ?3
    ORDER BY number
    LIMIT max(0, (SELECT count(*) FROM template_version WHERE tenant = ?1 AND name = ?2) - ?4)
);

-- publish_version: Note that a version was published.
UPDATE template_version SET published_at = ? WHERE tenant = ? AND name = ? AND number = ?;

-- delete_versions: Forget every version of a template.
DELETE FROM template_version WHERE tenant = ? AND name = ?;

-- remove_template: Keep nothing of a template but its newest number.
UPDATE template SET current = NULL, is_removed = 1 WHERE tenant = ? AND name = ? AND NOT is_removed;

-- templates: The version in use of every template of a tenant, else its newest.
SELECT name, number, created_at, author, note, published_at, head FROM template
JOIN template_version USING (tenant, name) WHERE tenant = ? AND number = coalesce(current, last) ORDER BY name;

-- versions: Every version of a template, newest first.
SELECT name, number, created_at, author, note, published_at, head FROM template_version
WHERE tenant = ? AND name = ? ORDER BY number DESC;

-- version: One version with its texts; without a number the one in use.
SELECT name, number, created_at, author, note, published_at, head, texts FROM template
JOIN template_version USING (tenant, name) WHERE tenant = ?1 AND name = ?2 AND number = coalesce(?3, current);
