//! Bits that flip: in the depot, and in the house before it is backed up.

use super::drill::{Drill, answer, files, lose_everything};
use crate::support::clips::{PICTURES, clip, play};
use crate::support::publishing::publish_clip;
use crate::support::server::Server;
use serde_json::Value;
use std::fs;
use std::path::Path;

fn flip(path: &Path, at: impl FnOnce(usize) -> usize) {
    let mut bytes = fs::read(path).expect("there");
    let at = at(bytes.len());
    bytes[at] ^= 1;
    fs::write(path, bytes).expect("written");
}

/// Runs `check` on the depot with one bit of a file flipped.
fn with_flip(path: &Path, check: impl FnOnce()) {
    flip(path, |length| length / 2);
    check();
    flip(path, |length| length / 2);
}

/// Tier: `make test`. Whatever is altered in the depot is named, and nothing of it is restored unless that is asked for.
#[tokio::test]
async fn every_flipped_bit_is_named() {
    let mut server = Server::start();
    let drill = Drill::folder(&server);
    let published = server.publish(&clip(server.scratch(), "Heart valve.mp4"));
    let video = published["video"].as_str().expect("an id");
    let snapshot = drill.done(&server, "backup", &[])["snapshot"].as_str().expect("an id").to_owned();
    let stored = files(drill.path());
    let find = |part: &str| stored.iter().find(|path| path.contains(part)).unwrap_or_else(|| panic!("no {part}: {stored:?}")).clone();
    for (object, code) in [
        (format!("snapshots/{snapshot}/rows"), "backup-damaged"),
        (format!("snapshots/{snapshot}/blobs"), "backup-damaged"),
        // Whether it still looks like one is up to the bit.
        ("keyring.sealed".to_owned(), "sealed keyring"),
    ] {
        with_flip(&drill.path().join(&object), || {
            let said = drill.refused(&server, "restore", &["--verify-only"]);
            assert!(said.contains(code), "{object}: {said}");
            assert!(code != "backup-damaged" || said.contains(&object), "{said}");
        });
    }
    let manifest = drill.path().join(format!("snapshots/{snapshot}/manifest.json"));
    let text = fs::read_to_string(&manifest).expect("there");
    fs::write(&manifest, text.replace("\"videos\": 1", "\"videos\": 2")).expect("written");
    assert!(drill.refused(&server, "restore", &["--verify-only"]).contains("manifest.json was altered"));
    fs::write(&manifest, text).expect("written");

    for part in ["master.m3u8", "playlist.m3u8", "init-", ".m4s", "sources/", "poster-", "keys/"] {
        let object = find(part);
        with_flip(&drill.path().join(&object), || {
            let said = drill.refused(&server, "restore", &["--verify-only"]);
            assert!(said.contains(video) && said.contains("Heart valve"), "{object}: {said}");
        });
    }
    let segment = drill.path().join(find(".m4s"));
    flip(&segment, |length| length - 1);
    lose_everything(&mut server);
    let said = drill.refused(&server, "restore", &[]);
    assert!(said.contains(".m4s") && said.contains("--accept-damage"), "{said}");
    let partly = answer(drill.run(&server, "restore", &["--accept-damage"]));
    server.spoiled();
    assert_eq!(partly["damaged"].as_array().map(Vec::len), Some(1), "{partly}");
    server.restart(&[]);
    assert_eq!(server.get(&format!("/v1/videos/{video}")).await["state"], "ready", "the rest is there");
}

/// Tier: `make test`. What is not whole in the house is said when it is backed up, and again to whoever would restore it; everything else is safe. invariant 10: no
/// checksum, no blob, and what lies in encrypted frames is opened to see.
#[tokio::test]
async fn a_rotten_house_is_told_so() {
    let server = Server::start();
    let drill = Drill::folder(&server);
    server.publish(&clip(server.scratch(), "rotten.mp4"));
    let blobs = server.data().join("blobs");
    let stored = files(&blobs);
    let find = |part: &str| stored.iter().filter(|path| path.contains(part)).cloned().collect::<Vec<_>>();
    let rotten = [find(".m4s")[0].clone(), find("sources/")[0].clone(), find("poster-")[0].clone()];
    rotten.iter().for_each(|path| flip(&blobs.join(path), |length| length / 2));
    let missing = find(".m4s")[1].clone();
    fs::remove_file(blobs.join(&missing)).expect("removed");
    server.spoiled();
    let output = drill.run(&server, "backup", &[]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let verified = drill.run(&server, "restore", &["--verify-only"]);
    assert_eq!(verified.status.code(), Some(1), "{verified:?}");
    let found: Value = serde_json::from_slice(&verified.stdout).expect("json");
    assert_eq!((&found["blobs"], found["damaged"].as_array().map(Vec::len)), (&(stored.len() - 4).into(), Some(4)), "{found}");
    let verified = String::from_utf8_lossy(&verified.stderr);
    for path in rotten.iter().chain([&missing]) {
        assert!(said.contains(path) && said.contains("rotten"), "{path}: {said}");
        assert!(verified.contains(path) && verified.contains("rotten"), "{path}: {verified}");
    }
}

/// Tier: `make test`. invariant 6: a deletion is noted for ever, so only a deletion may be: a video whose key is lost is named, and what
/// older backups have of it stays.
#[tokio::test]
async fn a_lost_key_is_damage_and_no_deletion() {
    let mut server = Server::start();
    let drill = Drill::folder(&server);
    let video = publish_clip(&server, "Keyless.mp4");
    drill.done(&server, "backup", &[]);
    sqlx::query("DELETE FROM root_keys").execute(&mut server.rows().await).await.expect("deleted");
    let said = drill.refused(&server, "backup", &[]);
    assert!(said.contains(video.as_str()) && said.contains("Keyless") && said.contains("key"), "{said}");
    let said = drill.refused(&server, "restore", &["--verify-only"]);
    assert!(said.contains(video.as_str()) && said.contains("Keyless"), "{said}");
    assert!(!files(drill.path()).iter().any(|path| path.starts_with("deleted/")), "nothing was deleted");
    let older = drill.snapshots(&server)[0].clone();
    lose_everything(&mut server);
    drill.done(&server, "restore", &["--snapshot", &older]);
    server.restart(&[]);
    assert_eq!(play(&server.playback_url(&video).await), PICTURES);
}

/// Tier: `make test`. A manifest that cannot be read is in nobody's way who does not need it; where it is, nothing is removed.
#[tokio::test]
async fn one_unreadable_manifest_does_not_hide_the_others() {
    let server = Server::start();
    let drill = Drill::folder(&server);
    let ids = [(); 3].map(|()| drill.done(&server, "backup", &[])["snapshot"].as_str().expect("an id").to_owned());
    let manifest = |id: &str| drill.path().join(format!("snapshots/{id}/manifest.json"));
    let newer = fs::read_to_string(manifest(&ids[1])).expect("there").replace("\"format\": 1", "\"format\": 2");
    fs::write(manifest(&ids[1]), newer).expect("written");
    fs::write(manifest(&ids[0]), "half a mani").expect("written");
    let list = drill.done(&server, "restore", &["--list"]);
    assert_eq!(drill.snapshots(&server), ids);
    assert_eq!((&list[0]["unreadable"], &list[1]["unreadable"]), (&"backup-damaged".into(), &"snapshot-newer".into()), "{list}");
    assert_eq!(list[2]["videos"], 0, "{list}");
    let verified = drill.done(&server, "restore", &["--verify-only"]);
    assert_eq!(verified["snapshot"], *ids[2]);
    let said = drill.refused(&server, "backup", &["--keep", "1"]);
    assert!(said.contains("the new snapshot is safe") && said.contains(&ids[0]) && said.contains("--keep"), "{said}");
    assert_eq!(drill.snapshots(&server).len(), 4, "nothing was removed");
    fs::remove_dir_all(drill.path().join("snapshots").join(&ids[0])).expect("removed");
    fs::remove_dir_all(drill.path().join("snapshots").join(&ids[1])).expect("removed");
    assert_eq!(drill.done(&server, "backup", &["--keep", "1"])["pruned"]["snapshots"], 2);
    // The newest can be read, and is not what was written: whose depot it is, an older one tells, or the next.
    for _ in 0..2 {
        let newest = manifest(drill.snapshots(&server).last().expect("one"));
        let altered = fs::read_to_string(&newest).expect("there").replace("\"videos\": 0", "\"videos\": 7");
        fs::write(&newest, altered).expect("written");
        drill.done(&server, "backup", &[]);
    }
}
