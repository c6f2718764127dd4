//! Bits that flip: in the depot, and in the house before it is backed up.

use super::drill::{Drill, answer, files, lose_everything};
use crate::support::clips::clip;
use crate::support::server::Server;
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
    assert_eq!(partly["damaged"].as_array().map(Vec::len), Some(1), "{partly}");
    server.restart(&[]);
    assert_eq!(server.get(&format!("/v1/videos/{video}")).await["state"], "ready", "the rest is there");
}

/// Tier: `make test`. What is not whole in the house is said when it is backed up; everything else is safe.
#[tokio::test]
async fn a_rotten_house_is_told_so() {
    let server = Server::start();
    let drill = Drill::folder(&server);
    server.publish(&clip(server.scratch(), "rotten.mp4"));
    let blobs = server.data().join("blobs");
    let stored = files(&blobs);
    let segments: Vec<_> = stored.iter().filter(|path| path.ends_with(".m4s")).collect();
    flip(&blobs.join(segments[0]), |length| length / 2);
    fs::remove_file(blobs.join(segments[1])).expect("removed");
    let output = drill.run(&server, "backup", &[]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(segments[0]) && said.contains(segments[1]) && said.contains("rotten"), "{said}");
    let verified = drill.done(&server, "restore", &["--verify-only"]);
    assert_eq!(verified["blobs"], stored.len() - 2, "{verified}");
}
