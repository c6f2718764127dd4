-- Key pairs that sign CloudFront's URLs and cookies. A row without a wrapped private key is a public key that someone else signs for.
CREATE TABLE signing_keys (
    id TEXT PRIMARY KEY,
    cloudfront_id TEXT UNIQUE,
    algorithm TEXT NOT NULL,
    public_key TEXT NOT NULL,
    wrapped TEXT,
    active BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX signing_keys_active ON signing_keys (active) WHERE active = 1;

-- Links to downloads: who was given one, for what. The link's signature says until when; the row, for whom it is decided anew.
CREATE TABLE download_links (
    id TEXT PRIMARY KEY,
    video_id TEXT NOT NULL,
    object TEXT NOT NULL,
    subject TEXT NOT NULL,
    role TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX download_links_end ON download_links (expires_at);
