-- Where events are sent (webhooks), and each event on its way to each of them (deliveries). `kinds`: names with blanks between them, empty for all.
-- `seen_seq`: up to which event there are deliveries. `former_wrapped`: the secret before, with which messages are signed too until `former_until`.
CREATE TABLE webhooks (
    id TEXT PRIMARY KEY,
    url TEXT NOT NULL,
    kinds TEXT NOT NULL,
    secret_wrapped TEXT NOT NULL,
    former_wrapped TEXT,
    former_until BIGINT,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    disabled_at BIGINT,
    disabled_why TEXT,
    failing_since BIGINT,
    seen_seq BIGINT NOT NULL
);

CREATE TABLE deliveries (
    id TEXT PRIMARY KEY,
    webhook_id TEXT NOT NULL REFERENCES webhooks (id),
    seq BIGINT NOT NULL,
    video_id TEXT NOT NULL,
    state TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    next_at BIGINT NOT NULL,
    epoch BIGINT NOT NULL DEFAULT 0,
    lease_owner TEXT,
    lease_until BIGINT NOT NULL DEFAULT 0,
    attempts BIGINT NOT NULL DEFAULT 0,
    begun_at BIGINT,
    attempted_at BIGINT,
    delivered_at BIGINT,
    status BIGINT,
    error TEXT,
    answer TEXT,
    UNIQUE (webhook_id, seq)
);
CREATE INDEX deliveries_due ON deliveries (next_at) WHERE state = 'pending';
CREATE INDEX deliveries_order ON deliveries (webhook_id, video_id, seq) WHERE state = 'pending';
CREATE INDEX deliveries_events ON deliveries (seq);
CREATE INDEX events_video ON events (video_id, seq);
