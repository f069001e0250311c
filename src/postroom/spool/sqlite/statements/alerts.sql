-- insert_alert_event: Store a report.
INSERT INTO alert_event (number, arrived_at, tenant, is_urgent, key, body) VALUES (?, ?, ?, ?, ?, ?);

-- waiting_alert_events: Reports of one lane that were not looked at, oldest first, as one JSON array.
SELECT '[' || coalesce(group_concat('{"number":' || number || ',' || substr(body, 2), ','), '') || ']'
FROM (
    SELECT number, body FROM alert_event INDEXED BY alert_event_lane
    WHERE is_urgent = ? AND number > ? ORDER BY number LIMIT ?
);

-- count_alert_events: How many reports of one lane were not looked at.
SELECT count(*) FROM alert_event INDEXED BY alert_event_lane WHERE is_urgent = ? AND number > ?;

-- alert_event: One report, with its number.
SELECT '{"number":' || number || ',' || substr(body, 2) FROM alert_event WHERE number = ? AND tenant = ?;

-- alert_events: One page of a tenant's reports, newest first, each with its number.
SELECT '{"number":' || number || ',' || substr(body, 2) FROM alert_event
WHERE tenant = :tenant {conditions} ORDER BY number DESC LIMIT :limit;

-- events_of_alert: Numbers of the reports that led to a decision on an alert, newest first.
SELECT DISTINCT event FROM alert_decision WHERE alert = ? AND event < ? ORDER BY event DESC;

-- insert_alert_decision: Store a decision.
INSERT INTO alert_decision (number, at, tenant, alert, clause, event, letter, grp, data)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?);

-- alert_decisions: One page of a tenant's decisions.
SELECT number, at, tenant, alert, clause, event, letter, grp, data FROM alert_decision
WHERE tenant = :tenant {conditions} ORDER BY number {order} LIMIT :limit;

-- insert_alert_letter: Store a letter that waits to be handed in.
INSERT INTO alert_letter (number, at, tenant, incident, is_urgent, body) VALUES (?, ?, ?, ?, ?, ?);

-- open_alert_letters: Letters that wait to be handed in, urgent ones first.
SELECT body, message_id, sent_by FROM alert_letter INDEXED BY alert_letter_open
WHERE sent_by = '' ORDER BY is_urgent DESC, number LIMIT ?;

-- count_open_alert_letters: How many letters wait to be handed in, and since when the oldest does.
SELECT count(*), min(at) FROM alert_letter INDEXED BY alert_letter_open WHERE sent_by = '';

-- alert_letter: One letter.
SELECT body, message_id, sent_by FROM alert_letter WHERE number = ? AND tenant = ?;

-- first_alert_letter: The first letter of an incident that became a message.
SELECT body, message_id, sent_by FROM alert_letter INDEXED BY alert_letter_incident
WHERE incident = ? AND message_id IS NOT NULL ORDER BY number LIMIT 1;

-- send_alert_letter: Note what became of a letter.
UPDATE alert_letter SET message_id = ?, sent_by = ? WHERE number = ?;

-- put_alert_row: Remember an entry of the book.
INSERT INTO alert_book (kind, id, data) VALUES (?, ?, ?) ON CONFLICT (kind, id) DO UPDATE SET data = excluded.data;

-- delete_alert_row: Forget an entry of the book.
DELETE FROM alert_book WHERE kind = ? AND id = ?;

-- alert_rows: Entries of the book behind one, in the order of their numbers.
SELECT number, kind, id, data FROM alert_book WHERE number > ? ORDER BY number LIMIT ?;

-- put_alert_rule: Store a rule; one of the same name keeps its place.
INSERT INTO alert_rule (tenant, kind, name, data) VALUES (?, ?, ?, ?)
ON CONFLICT (tenant, kind, name) DO UPDATE SET data = excluded.data;

-- delete_alert_rule: Remove a rule.
DELETE FROM alert_rule WHERE tenant = ? AND kind = ? AND name = ?;

-- alert_rules: A tenant's rules in the order of storing.
SELECT kind, name, data FROM alert_rule WHERE tenant = ? ORDER BY number;

-- delete_alert_events_past: Reports past their retention that were looked at, oldest first.
DELETE FROM alert_event WHERE number IN (
    SELECT number FROM (SELECT number, arrived_at, is_urgent FROM alert_event ORDER BY number LIMIT ?2)
    WHERE arrived_at < ?1 AND number <= iif(is_urgent, ?3, ?4)
);

-- delete_alert_decisions_past: Decisions past their retention, oldest first.
DELETE FROM alert_decision
WHERE number IN (SELECT number FROM (SELECT number, at FROM alert_decision ORDER BY number LIMIT ?2) WHERE at < ?1);

-- delete_alert_letters_past: Letters past their retention that do not wait, oldest first.
DELETE FROM alert_letter WHERE number IN (
    SELECT number FROM alert_letter INDEXED BY alert_letter_done
    WHERE sent_by <> '' AND at < ?1 ORDER BY at, number LIMIT ?2
);
