//! The whole house on PostgreSQL, by configuration only.

use crate::support::clips::clip;
use crate::support::postgres::fresh_database;
use crate::support::publishing::{Publishing, assert_published_once};
use crate::support::server::Server;
use std::time::Duration;
use theatrum::catalog::Catalog;

/// Tier: `make test`. A file is published on PostgreSQL, and plays.
#[tokio::test]
async fn a_file_is_published_on_postgres() {
    let url = fresh_database().await;
    let server = Server::start_with(&[("THEATRUM_CATALOG__URL", &url)]);
    assert!(!server.data().join("catalog.db").exists(), "all rows are in PostgreSQL");
    let file = clip(server.scratch(), "clip.mp4");
    let video = Publishing::begin(&server, &file).plays(&server);
    assert_published_once(&Catalog::open_postgres(&url).await.expect("a catalog"), &video).await;
}

/// Tier: `make test`. invariant 3: published once, although the server was killed in the middle of an encode and before it could tell.
#[tokio::test]
async fn a_killed_server_goes_on_with_its_rows_on_postgres() {
    let url = fresh_database().await;
    let mut server = Server::prepare(&[("THEATRUM_CATALOG__URL", &url)]);
    let file = clip(server.scratch(), "clip.mp4");
    server.restart(&[("THEATRUM_FAILPOINT", "segment-write")]);
    let publishing = Publishing::begin(&server, &file);
    server.wait_killed(Duration::from_secs(60));
    server.spawn(&[("THEATRUM_FAILPOINT", "publish")]);
    server.wait_killed(Duration::from_secs(60));
    server.restart(&[]);
    let video = publishing.plays(&server);
    assert_published_once(&Catalog::open_postgres(&url).await.expect("a catalog"), &video).await;
}
