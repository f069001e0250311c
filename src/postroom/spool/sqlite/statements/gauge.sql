-- oldest_uncertain: When the oldest message with an uncertain recipient was accepted.
SELECT created_at FROM message WHERE seq = (
    SELECT min(seq) FROM recipient INDEXED BY recipient_unusual
    WHERE state = 'uncertain' AND state <> 'queued' AND state <> 'accepted' AND state <> 'captured'
);
