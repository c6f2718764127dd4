-- Collections: courses, departments, series. One comes to be with the first upload that names it.
CREATE TABLE collections (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created_at BIGINT NOT NULL
);

ALTER TABLE videos ADD COLUMN collection_id TEXT REFERENCES collections (id);
CREATE INDEX videos_collection ON videos (collection_id, id);

-- By its name: the collection itself is made when the upload becomes a video.
ALTER TABLE uploads ADD COLUMN collection TEXT;
