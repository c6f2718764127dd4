//! Collections, as people meet them: named by an upload, listed, and a filter of the library.

use crate::support::clips::clip;
use crate::support::http::problem;
use crate::support::server::Server;
use reqwest::Method;
use serde_json::{Value, json};

/// Tier: `make test`. A collection comes to be with the video that names it, and is seen by those who see that video.
#[tokio::test]
async fn a_video_is_published_into_a_collection() {
    let server = Server::start();
    let file = clip(server.scratch(), "clip.mp4");
    let published = server.command(&["publish", "--json", "--collection", " Cardiology / 2026"]).arg(&file).output().expect("it runs");
    assert!(published.status.success(), "{}", String::from_utf8_lossy(&published.stderr));
    let video: Value = serde_json::from_slice(&published.stdout).expect("json");
    let shown = String::from_utf8(server.cli(&["videos", "show", video["video"].as_str().expect("an id")]).stdout).expect("text");
    assert!(shown.contains("in        Cardiology/2026\n"), "{shown}");

    let viewer = server.client(&server.token("viewer", "vera"));
    let listed = viewer.get("/v1/collections").await;
    assert_eq!(listed["collections"].as_array().map(Vec::len), Some(1), "{listed}");
    assert_eq!((&listed["collections"][0]["collection"], &listed["collections"][0]["videos"]), (&json!("Cardiology/2026"), &json!(1)));
    let inside = viewer.get("/v1/videos?collection=Cardiology%2F2026").await;
    assert_eq!(inside["videos"][0]["video"], video["video"]);
    assert_eq!(inside["videos"][0]["collection"], "Cardiology/2026");
    assert_eq!(viewer.get("/v1/videos?collection=Cardiology").await["videos"], json!([]));
    let listed = server.cli(&["videos", "list", "--collection", "Cardiology/2026", "--json"]).stdout;
    assert_eq!(serde_json::from_slice::<Value>(&listed).expect("json")["videos"].as_array().map(Vec::len), Some(1));

    let wrong = json!({"filename": "a.mp4", "size_bytes": 1, "collection": "a//b"});
    let admin = server.client(&server.admin_token());
    problem(admin.send(Method::POST, "/v1/uploads", &wrong).await, 400, "bad-collection").await;
    problem(admin.send(Method::GET, "/v1/videos?collection=%20", &Value::Null).await, 400, "bad-collection").await;
    assert_eq!(server.cli(&["publish", "--collection", "/", "x.mp4"]).status.code(), Some(2));
}
