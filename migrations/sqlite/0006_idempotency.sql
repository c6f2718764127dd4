-- What a POST with an Idempotency-Key did, for a day. Scope: a digest of who called what with which key. Answers are sealed.
CREATE TABLE idempotency (
    scope TEXT PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    epoch BIGINT NOT NULL DEFAULT 1,
    lease_until BIGINT NOT NULL,
    carried_out BIGINT NOT NULL DEFAULT 0,
    answer TEXT,
    created_at BIGINT NOT NULL
);
CREATE INDEX idempotency_age ON idempotency (created_at);

-- The title in lower case, for searching it.
ALTER TABLE videos ADD COLUMN title_folded TEXT NOT NULL DEFAULT '';
UPDATE videos SET title_folded = LOWER(title);
