-- Replacements: a ready video has the version that plays and at most one in the making. A version keeps what its video takes over
-- from it, so that one compare-and-set switches all of it.
ALTER TABLE uploads ADD COLUMN replaces BIGINT NOT NULL DEFAULT 0;

ALTER TABLE versions ADD COLUMN duration_ms BIGINT;
ALTER TABLE versions ADD COLUMN width BIGINT;
ALTER TABLE versions ADD COLUMN height BIGINT;
ALTER TABLE versions ADD COLUMN truncated BIGINT NOT NULL DEFAULT 0;
ALTER TABLE versions ADD COLUMN poster_epoch BIGINT;
-- What of the source is shown; both null: all of it.
ALTER TABLE versions ADD COLUMN trim_in_ms BIGINT;
ALTER TABLE versions ADD COLUMN trim_out_ms BIGINT;
ALTER TABLE versions ADD COLUMN source_duration_ms BIGINT;
-- When the blobs of a version that plays no more may go.
ALTER TABLE versions ADD COLUMN purge_at BIGINT;
CREATE INDEX versions_purge ON versions (purge_at) WHERE purge_at IS NOT NULL;
UPDATE versions SET
    duration_ms = (SELECT duration_ms FROM videos WHERE videos.version_id = versions.id),
    width = (SELECT width FROM videos WHERE videos.version_id = versions.id),
    height = (SELECT height FROM videos WHERE videos.version_id = versions.id),
    truncated = COALESCE((SELECT truncated FROM videos WHERE videos.version_id = versions.id), 0),
    poster_epoch = (SELECT poster_epoch FROM videos WHERE videos.version_id = versions.id),
    source_duration_ms = (SELECT duration_ms FROM videos WHERE videos.version_id = versions.id);

-- When the parts of a source that no version needs may go, and when they went.
ALTER TABLE sources ADD COLUMN purge_at BIGINT;
ALTER TABLE sources ADD COLUMN purged_at BIGINT;
CREATE INDEX sources_purge ON sources (purge_at) WHERE purge_at IS NOT NULL;
CREATE INDEX versions_source ON versions (source_id);

-- The version in the making of a ready video, and how the last one ended that was not published.
CREATE TABLE replacements (
    video_id TEXT PRIMARY KEY REFERENCES videos (id),
    kind TEXT NOT NULL,
    source_id TEXT NOT NULL REFERENCES sources (id),
    version_id TEXT REFERENCES versions (id),
    state TEXT NOT NULL,
    stage TEXT NOT NULL,
    percent BIGINT NOT NULL DEFAULT 0,
    trim_in_ms BIGINT,
    trim_out_ms BIGINT,
    refusal_code TEXT,
    refusal_message TEXT,
    created_at BIGINT NOT NULL
);

-- Where a video may be embedded: a JSON list of origins, and whether anyone may learn its title by oEmbed.
CREATE TABLE embeddings (
    video_id TEXT PRIMARY KEY REFERENCES videos (id),
    origins TEXT NOT NULL,
    oembed BIGINT NOT NULL DEFAULT 0,
    updated_at BIGINT NOT NULL
);
