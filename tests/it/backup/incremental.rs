//! What a second backup copies, what a deletion and a limit take away, and who may write where.

use super::drill::{Drill, assert_digests, files, lose_everything, write_secret};
use crate::support::clips::{PICTURES, play};
use crate::support::postgres::fresh_database;
use crate::support::publishing::publish_clip;
use crate::support::server::Server;
use std::fs;
use theatrum::catalog::Catalog;
use theatrum::domain::ids::VideoId;

fn blobs_of(server: &Server, video: &VideoId) -> usize {
    files(&server.data().join("blobs")).iter().filter(|path| path.contains(video.as_str())).count()
}

/// Tier: `make test`. A second backup copies only what is new, and asks for no passphrase; blobs of deleted videos and of snapshots that are not
/// kept leave the depot; what is left restores, also into PostgreSQL. invariant 6: deleting a video deletes its key from old snapshots too.
#[tokio::test]
async fn a_depot_grows_by_what_is_new_and_shrinks_by_what_is_deleted() {
    let mut server = Server::start();
    let drill = Drill::folder(&server);
    let (first, gone) = (publish_clip(&server, "first.mp4"), publish_clip(&server, "gone.mp4"));
    let whole = drill.done(&server, "backup", &[]);
    let expected = blobs_of(&server, &first) + blobs_of(&server, &gone);
    assert_eq!((&whole["blobs"], &whole["copied_blobs"]), (&expected.into(), &expected.into()), "{whole}");
    let nothing = drill.done(&server, "backup", &[]);
    assert_eq!((&nothing["blobs"], &nothing["copied_blobs"], &nothing["copied_bytes"]), (&expected.into(), &0.into(), &0.into()));

    let second = publish_clip(&server, "second.mp4");
    let plain = server.command(&["backup", &drill.path().to_string_lossy(), "--json"]).output().expect("runs");
    let more = super::drill::answer(plain);
    assert_eq!(more["copied_blobs"], blobs_of(&server, &second), "only what is new, and no passphrase was needed");
    assert_eq!(drill.snapshots(&server).len(), 3);

    assert!(server.cli(&["videos", "delete", gone.as_str()]).status.success());
    let kept = drill.done(&server, "backup", &["--keep", "2"]);
    assert_eq!((&kept["pruned"]["videos"], &kept["pruned"]["snapshots"]), (&1.into(), &2.into()), "{kept}");
    let left = files(drill.path());
    assert!(left.contains(&format!("deleted/{gone}")));
    assert_eq!(left.iter().filter(|path| path.contains(gone.as_str())).count(), 1, "nothing but the tombstone: {left:?}");
    let snapshots = drill.snapshots(&server);
    assert_eq!(snapshots.len(), 2);

    lose_everything(&mut server);
    let url = fresh_database().await;
    let older = drill.done(&server, "restore", &["--catalog", &url, "--snapshot", &snapshots[0]]);
    assert_eq!((&older["videos"], &older["deleted_since"]), (&2.into(), &1.into()), "{older}");
    server.restart(&[("THEATRUM_CATALOG__URL", &url)]);
    let catalog = Catalog::open_postgres(&url).await.expect("a catalog");
    for video in [&first, &second] {
        assert!(assert_digests(&catalog, &server.data(), video).await > 2);
        assert_eq!(play(&server.playback_url(video).await), PICTURES);
    }
    assert!(catalog.video(&gone).await.is_err(), "deleted stays deleted, whichever snapshot is restored");
    assert!(catalog.wrapped_root_key(&gone).await.is_err());
}

/// Tier: `make test`. A depot belongs to one house, a house to its keyring, and nothing is overwritten.
#[tokio::test]
async fn nothing_is_written_where_something_else_is() {
    let (server, other) = (Server::start(), Server::start());
    let drill = Drill::folder(&server);
    drill.done(&server, "backup", &[]);
    let doctor = String::from_utf8(server.cli(&["doctor"]).stdout).expect("text");
    assert!(doctor.contains("the last was") && doctor.contains(&*drill.path().to_string_lossy()), "{doctor}");
    assert!(drill.refused(&other, "backup", &[]).contains("depot-foreign"));
    assert!(drill.refused(&server, "restore", &[]).contains("data-not-empty"), "a house that is there stays");
    assert_eq!(server.get("/v1/videos").await["videos"], serde_json::json!([]), "and goes on");
    // A seal that rots is noticed by the next backup, not by the restore.
    let seal = drill.path().join("keyring.sealed");
    let mut rotten: serde_json::Value = serde_json::from_slice(&fs::read(&seal).expect("there")).expect("json");
    rotten["nonce"] = "AAAAAAAAAAAAAAAA".into();
    fs::write(&seal, rotten.to_string()).expect("written");
    drill.refused(&server, "restore", &["--verify-only"]);
    drill.done(&server, "backup", &[]);
    drill.done(&server, "restore", &["--verify-only"]);
    let inside = server.data().join("backups");
    let usage = server.cli(&["backup", &inside.to_string_lossy()]);
    assert_eq!(usage.status.code(), Some(2), "a backup in the data folder is none");
    let nowhere = server.cli(&["backup", "/dev/null/backups"]);
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&nowhere.stderr).contains("/dev/null/backups"), "{nowhere:?}");

    let (wrong, apart) = (server.scratch().join("wrong"), server.scratch().join("keyring.apart"));
    write_secret(&wrong, "another passphrase");
    let wrong = wrong.to_string_lossy().into_owned();
    let place = drill.path().to_string_lossy().into_owned();
    let refused = server.cli(&["restore", &place, "--verify-only", "--passphrase-file", &wrong]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("passphrase-wrong"), "{refused:?}");
    // The keyring apart from the backup: neither opens without the other.
    let apart = apart.to_string_lossy().into_owned();
    drill.done(&server, "backup", &["--keyring-file", &apart]);
    fs::remove_file(drill.path().join("keyring.sealed")).expect("removed");
    assert!(drill.refused(&server, "restore", &["--verify-only"]).contains("keyring-missing"));
    drill.done(&server, "restore", &["--verify-only", "--keyring-file", &apart]);
    let foreign = Drill::at(&other, &other.scratch().join("depot").to_string_lossy(), &[]);
    foreign.done(&other, "backup", &[]);
    let before = foreign.snapshots(&other);
    let said = foreign.refused(&server, "backup", &["--keep", "1", "--keyring-file", &apart]);
    assert!(said.contains("depot-foreign"), "{said}");
    assert_eq!(foreign.snapshots(&other), before, "whatever the keyring says that lies elsewhere");
    assert!(foreign.refused(&server, "restore", &["--verify-only", "--keyring-file", &apart]).contains("keyring-foreign"));
}
