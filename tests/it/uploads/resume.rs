//! An upload that is cut off goes on with what is missing, whichever side was killed.

use super::SMALL_PARTS;
use crate::support::clips::padded_clip;
use crate::support::publishing::{Publishing, assert_published_once};
use crate::support::server::Server;
use std::collections::HashMap;
use std::time::Duration;
use theatrum::catalog::Catalog;
use theatrum::domain::ids::UploadId;

const PADDING_BYTES: u32 = 60 << 20;

/// Each received part's blob. Its name is random: a part that was sent again has another.
async fn received(catalog: &Catalog) -> HashMap<u64, String> {
    let uploads = catalog.fetch_all("SELECT id FROM uploads", Vec::new()).await.expect("uploads");
    assert_eq!(uploads.len(), 1, "one file, one upload");
    let id = UploadId::parse(&uploads[0].text("id").expect("an id")).expect("an id");
    let parts = catalog.upload_parts(&id).await.expect("parts");
    parts.into_iter().filter_map(|part| Some((part.number, part.blob?))).collect()
}

/// Kills the server at the sixth part, and the client too if asked; gives the parts that had arrived, and those in the end.
async fn interrupted(kill_client: bool) {
    let mut server = Server::prepare(&[SMALL_PARTS]);
    let file = padded_clip(server.scratch(), "padded.mp4", PADDING_BYTES);
    server.restart(&[("THEATRUM_FAILPOINT", "part-write:6")]);
    let mut publishing = Publishing::begin(&server, &file);
    server.wait_killed(Duration::from_secs(60));
    if kill_client {
        publishing.kill();
    }
    let before = received(&server.catalog().await).await;
    assert!(!before.is_empty() && before.len() < 13, "{} of 13 parts had arrived", before.len());
    server.restart(&[]);
    if kill_client {
        publishing = Publishing::begin(&server, &file);
    }
    let video = publishing.plays(&server);
    server.kill();
    let catalog = server.catalog().await;
    let after = received(&catalog).await;
    assert_eq!(after.len(), 13);
    assert!(before.iter().all(|(number, blob)| after[number] == *blob), "a part was sent again: {before:?} {after:?}");
    assert_published_once(&catalog, &video).await;
}

/// Tier: `make test`. The client waits for the server and sends what is missing.
#[tokio::test]
async fn a_client_outlives_its_server() {
    interrupted(false).await;
}

/// Tier: `make test`. The same command again sends only what is missing.
#[tokio::test]
async fn a_second_run_sends_only_what_is_missing() {
    interrupted(true).await;
}
