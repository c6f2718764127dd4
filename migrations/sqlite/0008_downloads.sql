-- Downloads that go on: each keeps its version alive as long as bytes flow.
CREATE TABLE downloads (
    id TEXT PRIMARY KEY,
    version_id TEXT NOT NULL REFERENCES versions (id),
    lease_until BIGINT NOT NULL
);
CREATE INDEX downloads_version ON downloads (version_id, lease_until);
CREATE INDEX downloads_end ON downloads (lease_until);
