//! The whole house as one process: started, used by its command line, drained.

use crate::support::samples::sample;
use crate::support::server::Server;
use rustix::process::Signal;
use std::time::Duration;
use theatrum::catalog::jobs::Listing;
use theatrum::domain::job::State;

/// Tier: `make test`. A file goes in by the command line and comes out as a playlist that opens without a cookie.
#[tokio::test]
async fn a_published_file_plays_by_its_url_alone() {
    let server = Server::start();
    let url = server.publish_ready(&sample("good", "29"));
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let text = client.get(&url).send().await.expect("an answer").text().await.expect("text");
    assert!(text.starts_with("#EXTM3U"), "{text}");
}

/// Tier: `make test`. SIGTERM drains: a running encode is handed back, the process ends with 0 within 10 s, and goes on in its next life.
#[tokio::test]
async fn sigterm_hands_leases_back_and_ends_within_ten_seconds() {
    let mut server = Server::start();
    let mut publish =
        server.command(&["publish", "--json"]).arg(sample("good", "01")).stdout(std::process::Stdio::piped()).spawn().expect("starts");
    wait_for(|| server.log().contains("kind=\"encode\""), &server);
    server.signal(Signal::TERM);
    assert_eq!(server.wait_end(Duration::from_secs(10)), Some(0), "{}", server.log());
    let jobs = server.catalog().await.jobs(&Listing::default()).await.expect("jobs");
    let left = |state: State| jobs.iter().filter(|job| job.state == state).count();
    assert!(left(State::Running) == 0 && left(State::Queued) > 0, "each lease was handed back: {jobs:?}");
    server.restart(&[]);
    assert!(publish.wait().expect("ends").success(), "{}", server.log());
}

fn wait_for(mut happened: impl FnMut() -> bool, server: &Server) {
    let begun = std::time::Instant::now();
    while !happened() {
        assert!(begun.elapsed() < Duration::from_secs(60), "waited in vain:\n{}", server.log());
        std::thread::sleep(Duration::from_millis(20)); // tidy: polling
    }
}
