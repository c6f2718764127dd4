-- S3 access keys of people, and the objects that come into the inbox by them. An object's bytes and parts are those of its upload.
CREATE TABLE s3_access_keys (
    id TEXT PRIMARY KEY,
    secret_wrapped TEXT NOT NULL,
    subject TEXT NOT NULL,
    role TEXT NOT NULL,
    prefix TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    revoked_at BIGINT
);
CREATE INDEX s3_access_keys_subject ON s3_access_keys (subject, created_at);

CREATE TABLE inbox_objects (
    upload_id TEXT PRIMARY KEY REFERENCES uploads (id),
    owner TEXT NOT NULL,
    object_key TEXT NOT NULL,
    access_key_id TEXT NOT NULL,
    multipart BIGINT NOT NULL,
    algorithm TEXT NOT NULL,
    scope TEXT NOT NULL,
    invocation TEXT,
    etag TEXT,
    received_at BIGINT,
    receipt_until BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX inbox_objects_receipts ON inbox_objects (owner, object_key, receipt_until);
CREATE INDEX inbox_objects_invocations ON inbox_objects (access_key_id, invocation) WHERE invocation IS NOT NULL;

ALTER TABLE upload_parts ADD COLUMN checksum TEXT;
