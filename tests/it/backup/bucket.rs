//! Backups in a bucket of a real S3.

use super::drill::{Drill, assert_digests, lose_everything};
use crate::support::clips::{PICTURES, play};
use crate::support::publishing::publish_clip;
use crate::support::seaweed::{Bucket, fresh_bucket};
use crate::support::server::Server;
use crate::support::waiting::wait_until;
use std::os::unix::process::ExitStatusExt;

/// Tier: `make test`. As in a folder: incremental, one writer at a time, a killed run forgotten, deleted videos gone, every digest checked. The
/// server notes a deletion there by itself.
#[tokio::test]
async fn a_house_comes_back_from_a_bucket() {
    let Bucket { name, endpoint } = fresh_bucket();
    let place = format!("s3://{name}/hospital/house");
    let credentials = Bucket::credentials();
    let settings = [("THEATRUM_BACKUP__DESTINATION", place.as_str()), ("THEATRUM_BACKUP__ENDPOINT", &endpoint)];
    let mut server = Server::start_with(&[&settings[..], &credentials[..]].concat());
    let drill = Drill::at(&server, &place, &credentials);
    let at = ["--endpoint", endpoint.as_str()];
    let (kept, gone) = (publish_clip(&server, "kept.mp4"), publish_clip(&server, "gone.mp4"));

    let killed = drill.command(&server, "backup", &at).env("THEATRUM_FAILPOINT", "backup-blob:3").output().expect("runs");
    assert_eq!(killed.status.signal(), Some(libc::SIGKILL), "{killed:?}");
    // The lock that the killed one left is no obstacle: its holder is dead.
    let first = drill.done(&server, "backup", &at);
    assert!(first["copied_blobs"].as_u64() < first["blobs"].as_u64(), "it went on with what was there: {first}");
    let second = drill.done(&server, "backup", &at);
    assert_eq!((&second["copied_blobs"], &second["blobs"]), (&0.into(), &first["blobs"]), "{second}");

    assert!(server.cli(&["videos", "delete", gone.as_str()]).status.success());
    // The server notes that on its own, soon.
    wait_until(&server, "the deletion is noted", || {
        drill.done(&server, "restore", &[&at[..], &["--verify-only"]].concat())["deleted_since"] == 1
    });
    let third = drill.done(&server, "backup", &[&at[..], &["--keep", "1"]].concat());
    assert_eq!((&third["pruned"]["videos"], &third["pruned"]["snapshots"]), (&1.into(), &2.into()), "{third}");
    let wrong = drill.command(&server, "backup", &at).env("AWS_SECRET_ACCESS_KEY", "wrong").output().expect("runs");
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("depot-refused"), "{wrong:?}");

    lose_everything(&mut server);
    drill.done(&server, "restore", &at);
    server.restart(&[]);
    let catalog = server.catalog().await;
    assert!(assert_digests(&catalog, &server.data(), &kept).await > 2);
    assert_eq!(play(&server.playback_url(&kept).await), PICTURES);
    assert!(catalog.video(&gone).await.is_err(), "deleted stays deleted");
}
