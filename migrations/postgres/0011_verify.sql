-- Verifications: blobs read again and compared with what their rows say. `report` is JSON; a worker that holds the lease goes on after `cursor`.
CREATE TABLE verifications (
    id TEXT PRIMARY KEY,
    actor TEXT NOT NULL,
    video_id TEXT,
    repairs BIGINT NOT NULL,
    state TEXT NOT NULL,
    percent BIGINT NOT NULL DEFAULT 0,
    cursor TEXT,
    report TEXT NOT NULL,
    epoch BIGINT NOT NULL DEFAULT 0,
    lease_owner TEXT,
    lease_until BIGINT,
    created_at BIGINT NOT NULL,
    ended_at BIGINT
);
CREATE INDEX verifications_open ON verifications (id) WHERE state <> 'done';

-- A blob that was found damaged, and that a job may be making again: only then may another take its place.
ALTER TABLE segments ADD COLUMN damaged BIGINT NOT NULL DEFAULT 0;
ALTER TABLE renditions ADD COLUMN init_damaged BIGINT NOT NULL DEFAULT 0;
