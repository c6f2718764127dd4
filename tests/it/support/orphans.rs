//! What may lie in a data folder once all is done, and that nothing else does.

use super::server::Server;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use theatrum::catalog::Catalog;
use theatrum::domain::ids::VideoId;

/// The files of a data folder beside its blobs; a killed server leaves `server.json` and the log of its catalog behind.
const HOUSEHOLD: [&str; 8] =
    ["admin.token", "catalog.db", "catalog.db-shm", "catalog.db-wal", "keyring.json", "lock", "node.id", "server.json"];

/// All files of the blob store, by their paths in it.
pub fn files(server: &Server) -> BTreeSet<String> {
    let root = server.data().join("blobs");
    let (mut folders, mut files) = (vec![root.clone()], BTreeSet::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry")) {
            if entry.file_type().expect("a type").is_dir() {
                folders.push(entry.path());
            } else {
                files.insert(entry.path().strip_prefix(&root).expect("inside").to_string_lossy().into_owned());
            }
        }
    }
    files
}

/// The blobs that rows point at, and the playlists of these published `videos`.
async fn adopted(catalog: &Catalog, videos: &[VideoId]) -> BTreeSet<String> {
    let mut adopted = BTreeSet::new();
    for id in videos {
        let video = catalog.video(id).await.expect("a video");
        let version = catalog.version(&video.version.expect("a version")).await.expect("a version");
        let folder = format!("videos/{id}/{}", version.id);
        adopted.insert(format!("{folder}/master.m3u8"));
        adopted.extend(video.poster_epoch.map(|epoch| format!("sidecars/{id}/{}/poster-{epoch}", version.id)));
        for (rendition, init) in catalog.inits(&version.id).await.expect("inits") {
            adopted.insert(format!("{folder}/{rendition}/init-{}.mp4", init.epoch));
            adopted.insert(format!("{folder}/{rendition}/playlist.m3u8"));
        }
        let segments = catalog.segments(&version.id).await.expect("segments");
        adopted.extend(segments.iter().map(|it| format!("{folder}/{}/{:06}-{}.m4s", it.rendition, it.number, it.epoch)));
        let source = catalog.source(&version.source).await.expect("a source");
        let parts = catalog.upload_parts(&source.upload).await.expect("parts");
        adopted.extend(parts.into_iter().map(|part| part.blob.expect("received")));
    }
    adopted
}

/// invariant 2: every blob is one that a row points at, or a playlist; what attempts that were fenced off wrote is gone, and so is what
/// they had not finished writing.
pub async fn assert_no_orphans(server: &Server, catalog: &Catalog, videos: &[VideoId]) {
    assert_eq!(files(server), adopted(catalog, videos).await);
}

/// Has a server whose `storage.orphan_age` is 0 reconcile by the command line: nothing is missing, all that was nobody's goes, and whoever
/// looks again finds nothing.
pub fn assert_reconciles(server: &Server) {
    let report = |args: &[&str]| -> Value {
        let output = server.cli(args);
        assert_eq!(output.status.code(), Some(0), "{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("JSON")
    };
    report(&["doctor", "--reconcile", "--apply", "--json"]);
    let left = report(&["doctor", "--reconcile", "--json"]);
    for kind in ["orphans", "unfinished", "foreign", "missing"] {
        assert_eq!(left[kind]["count"], 0, "{left:#}");
    }
}

/// Every blob that a row points at, and every playlist, is there; a power cut may have brought back some that were deleted.
pub async fn assert_nothing_missing(server: &Server, catalog: &Catalog, videos: &[VideoId]) {
    let files = files(server);
    let missing: Vec<String> = adopted(catalog, videos).await.into_iter().filter(|blob| !files.contains(blob)).collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

/// No temporary file of any life of the server is left, in its data folder or in `scratch`, its TMPDIR.
pub fn assert_no_scratch(server: &Server, scratch: &std::path::Path) {
    let names = |folder: &std::path::Path| -> BTreeSet<String> {
        let entries = fs::read_dir(folder).expect("a folder");
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    };
    let household: BTreeSet<String> = HOUSEHOLD.map(str::to_owned).into();
    let unexpected: Vec<String> = names(&server.data()).into_iter().filter(|name| name != "blobs" && !household.contains(name)).collect();
    assert!(unexpected.is_empty(), "in the data folder: {unexpected:?}");
    assert_eq!(names(scratch), BTreeSet::new(), "in TMPDIR");
}
