-- The first schema. Times are epoch milliseconds, digests hexadecimal, flags 0 or 1; see ARCHITECTURE.md for who writes what.
CREATE TABLE videos (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    title TEXT NOT NULL,
    state TEXT NOT NULL,
    stage TEXT NOT NULL,
    percent BIGINT NOT NULL DEFAULT 0,
    version_id TEXT,
    created_at BIGINT NOT NULL,
    playable_at BIGINT,
    ready_at BIGINT,
    duration_ms BIGINT,
    width BIGINT,
    height BIGINT,
    truncated BIGINT NOT NULL DEFAULT 0,
    poster_epoch BIGINT,
    refusal_code TEXT,
    refusal_message TEXT,
    purge_at BIGINT
);
CREATE INDEX videos_owner ON videos (owner, id);
CREATE INDEX videos_purge ON videos (purge_at) WHERE purge_at IS NOT NULL;

CREATE TABLE root_keys (
    video_id TEXT PRIMARY KEY,
    wrapped TEXT NOT NULL
);

CREATE TABLE uploads (
    id TEXT PRIMARY KEY,
    video_id TEXT NOT NULL,
    owner TEXT NOT NULL,
    filename TEXT NOT NULL,
    title TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    part_size_bytes BIGINT NOT NULL,
    state TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX uploads_open ON uploads (expires_at) WHERE state = 'open';
CREATE INDEX uploads_ended ON uploads (id) WHERE state IN ('aborted', 'expired');

CREATE TABLE upload_parts (
    upload_id TEXT NOT NULL REFERENCES uploads (id),
    number BIGINT NOT NULL,
    size_bytes BIGINT NOT NULL,
    sha256 TEXT NOT NULL,
    md5 TEXT,
    blob TEXT,
    received_at BIGINT,
    PRIMARY KEY (upload_id, number)
);

CREATE TABLE sources (
    id TEXT PRIMARY KEY,
    video_id TEXT NOT NULL REFERENCES videos (id),
    upload_id TEXT NOT NULL UNIQUE REFERENCES uploads (id),
    size_bytes BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX sources_video ON sources (video_id);

CREATE TABLE versions (
    id TEXT PRIMARY KEY,
    video_id TEXT NOT NULL REFERENCES videos (id),
    source_id TEXT NOT NULL REFERENCES sources (id),
    state TEXT NOT NULL,
    facts TEXT NOT NULL,
    plan TEXT NOT NULL,
    remaining BIGINT NOT NULL,
    pictures_expected BIGINT NOT NULL,
    pictures_decoded BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    published_at BIGINT
);
CREATE INDEX versions_video ON versions (video_id);

CREATE TABLE renditions (
    version_id TEXT NOT NULL REFERENCES versions (id),
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    width BIGINT,
    height BIGINT,
    codecs TEXT,
    init_epoch BIGINT,
    init_size_bytes BIGINT,
    init_md5 TEXT,
    init_sha256 TEXT,
    PRIMARY KEY (version_id, name)
);

CREATE TABLE segments (
    version_id TEXT NOT NULL REFERENCES versions (id),
    rendition TEXT NOT NULL,
    number BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    key_index BIGINT NOT NULL,
    duration_ticks BIGINT NOT NULL,
    size_bytes BIGINT NOT NULL,
    md5 TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    init_sha256 TEXT NOT NULL,
    PRIMARY KEY (version_id, rendition, number)
);

CREATE TABLE jobs (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    payload_version BIGINT NOT NULL,
    payload TEXT NOT NULL,
    video_id TEXT NOT NULL REFERENCES videos (id),
    version_id TEXT REFERENCES versions (id),
    state TEXT NOT NULL,
    priority BIGINT NOT NULL,
    weight BIGINT NOT NULL,
    progress_percent BIGINT NOT NULL DEFAULT 0,
    run_at BIGINT NOT NULL,
    lease_owner TEXT,
    lease_until BIGINT,
    epoch BIGINT NOT NULL DEFAULT 0,
    failures BIGINT NOT NULL DEFAULT 0,
    claims BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    finished_at BIGINT,
    last_error TEXT,
    stderr_tail TEXT
);
CREATE INDEX jobs_queue ON jobs (priority, run_at) WHERE state = 'queued';
CREATE INDEX jobs_leases ON jobs (lease_until) WHERE state = 'running';
CREATE INDEX jobs_video ON jobs (video_id);

CREATE TABLE playback_sessions (
    id TEXT PRIMARY KEY,
    video_id TEXT NOT NULL,
    version_id TEXT NOT NULL,
    subject TEXT NOT NULL,
    role TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT
);
CREATE INDEX playback_sessions_video ON playback_sessions (video_id);

CREATE TABLE events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    video_id TEXT NOT NULL,
    payload TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE audit (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    role TEXT NOT NULL,
    session_id TEXT,
    address TEXT,
    action TEXT NOT NULL,
    video_id TEXT,
    version_id TEXT,
    object TEXT,
    decision TEXT NOT NULL,
    reason TEXT NOT NULL,
    request_id TEXT
);
CREATE INDEX audit_video ON audit (video_id, at);

CREATE TABLE audit_counts (
    minute BIGINT NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    object TEXT NOT NULL,
    accesses BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    PRIMARY KEY (minute, kind, subject, object)
);
