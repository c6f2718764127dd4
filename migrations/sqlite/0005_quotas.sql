-- What a user or a collection may keep, by name; whoever has no row here has the default of the settings. 0: no limit.
CREATE TABLE quotas (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    limit_bytes BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    PRIMARY KEY (kind, name)
);
CREATE INDEX uploads_open_owner ON uploads (owner) WHERE state = 'open';
CREATE INDEX uploads_open_collection ON uploads (collection) WHERE state = 'open';

-- What the renditions of a version are expected to take on the disk, kept free while it is in processing.
ALTER TABLE versions ADD COLUMN expected_bytes BIGINT NOT NULL DEFAULT 0;
CREATE INDEX versions_processing ON versions (id) WHERE state = 'processing';

-- The comparisons of blobs and rows that came to their end; `report` is JSON.
CREATE TABLE reconciliations (
    id TEXT PRIMARY KEY,
    applied BIGINT NOT NULL,
    began_at BIGINT NOT NULL,
    ended_at BIGINT NOT NULL,
    report TEXT NOT NULL
);
