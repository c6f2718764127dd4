//! A backup and a restore are killed at named points; the next run ends what they began.

use super::drill::{Drill, assert_digests, files, lose_everything};
use crate::support::clips::{PICTURES, play};
use crate::support::publishing::publish_clip;
use crate::support::server::Server;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

fn killed(drill: &Drill, server: &Server, what: &str, point: &str) {
    let output = drill.command(server, what, &[]).env("THEATRUM_FAILPOINT", point).output().expect("runs");
    assert_eq!(output.status.signal(), Some(libc::SIGKILL), "{point}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Tier: `make test`. `kill -9` while blobs are copied and before the manifest leaves no snapshot; while blobs or rows are restored, a folder
/// that no server opens. What was done need not be done again.
#[tokio::test]
async fn a_killed_backup_and_a_killed_restore_are_ended_by_the_next() {
    let mut server = Server::start();
    let drill = Drill::folder(&server);
    let video = publish_clip(&server, "clip.mp4");
    let blobs = files(&server.data().join("blobs")).len();
    killed(&drill, &server, "backup", "backup-blob:3");
    assert_eq!(drill.snapshots(&server), [""; 0]);
    assert!(drill.refused(&server, "restore", &["--verify-only"]).contains("has no snapshot"));
    killed(&drill, &server, "backup", "backup-manifest");
    assert_eq!(drill.snapshots(&server), [""; 0]);
    let taken = drill.done(&server, "backup", &[]);
    assert_eq!((&taken["blobs"], &taken["copied_blobs"]), (&blobs.into(), &0.into()), "the killed ones had copied them all: {taken}");
    assert_eq!(taken["pruned"]["snapshots"], 1, "what they left is gone: {taken}");
    assert!(!files(drill.path()).iter().any(|path| path.contains('#')), "no unfinished file is left");

    lose_everything(&mut server);
    for point in ["restore-blob:2", "restore-rows"] {
        killed(&drill, &server, "restore", point);
        server.spawn(&[]);
        assert_eq!(server.wait_end(Duration::from_secs(30)), Some(1));
        assert!(server.log().contains("restore-unfinished"), "{}", server.log());
    }
    drill.done(&server, "restore", &[]);
    server.restart(&[]);
    assert!(assert_digests(&server.catalog().await, &server.data(), &video).await > 2);
    assert_eq!(play(&server.playback_url(&video).await), PICTURES);
}
