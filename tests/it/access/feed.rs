//! The list and its live feed: each tells of what its reader may see, and of no more.

use super::{House, admin};
use crate::support::http::{Client, header, ok, problem};
use crate::support::server::Server;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

/// No test waits longer for one feed, whatever heartbeats it sends meanwhile.
const LONGEST: Duration = Duration::from_secs(30);

/// An open event stream.
struct Feed {
    response: Response,
    text: String,
    opened: Instant,
}

impl Feed {
    async fn open(client: &Client) -> Self {
        let response = client.send(Method::GET, "/v1/changes", &Value::Null).await;
        assert_eq!((response.status().as_u16(), header(&response, "content-type")), (200, "text/event-stream"));
        Self { response, text: String::new(), opened: Instant::now() }
    }

    /// Whether more came before the end.
    async fn more(&mut self) -> bool {
        let chunk = tokio::time::timeout_at(self.opened + LONGEST, self.response.chunk()).await.expect("an event or the end, in time");
        let chunk = chunk.expect("a stream that ends well");
        self.text.push_str(&String::from_utf8_lossy(chunk.as_deref().unwrap_or_default()));
        chunk.is_some()
    }

    /// The videos said to be removed, each once, up to `last`.
    async fn removed_until(&mut self, last: &str) -> Vec<String> {
        loop {
            let complete = self.text.rfind("\n\n").map_or("", |end| &self.text[..end]);
            let events = complete.split("\n\n").filter_map(|event| event.strip_prefix("event: removed\ndata: "));
            let ids = events.map(|data| serde_json::from_str::<Value>(data).expect("json")["video"].as_str().expect("an id").to_owned());
            let mut ids: Vec<String> = ids.collect();
            ids.dedup();
            if ids.iter().any(|id| id == last) {
                return ids;
            }
            assert!(self.more().await, "{}", self.text);
        }
    }
}

async fn give(server: &Server, video: &str, owner: &str) {
    let gift = sqlx::query("UPDATE videos SET owner = $1 WHERE id = $2").bind(owner).bind(video);
    gift.execute(&mut server.rows().await).await.expect("given");
}

/// Tier: `make test`. invariant 9: a stream that a token opened ends with it.
#[tokio::test]
async fn a_feed_ends_with_its_token() {
    let server = Server::start();
    let wanted = json!({"role": "viewer", "subject": "vera", "expires_in_s": 3});
    let issued = admin(&server).post("/v1/tokens", &wanted).await;
    let client = server.client(issued["token"].as_str().expect("a token"));
    let mut feed = Feed::open(&client).await;
    while feed.more().await {}
    problem(client.send(Method::GET, "/v1/changes", &Value::Null).await, 401, "token-expired").await;
}

/// Tier: `make test`. invariant 9: who could not see a video does not hear of its end.
#[tokio::test]
async fn a_removal_is_told_to_those_who_could_see_the_video() {
    let house = House::open().await;
    let (server, ready, refused) = (&house.server, &house.ready, &house.refused);
    give(server, refused, "otto").await;
    let [viewer, author, stranger] = [("viewer", "vera"), ("author", "otto"), ("author", "ida")].map(|(role, who)| server.token(role, who));
    let mut viewers = Feed::open(&server.client(&viewer)).await;
    let mut owners = Feed::open(&server.client(&author)).await;
    let mut strangers = Feed::open(&server.client(&stranger)).await;
    for video in [refused, ready] {
        ok(admin(server).send(Method::DELETE, &format!("/v1/videos/{video}"), &Value::Null).await).await;
    }
    assert_eq!(viewers.removed_until(ready).await, [ready.as_str()]);
    assert_eq!(strangers.removed_until(ready).await, [ready.as_str()]);
    assert_eq!(owners.removed_until(ready).await, [refused.as_str(), ready.as_str()]);
}

/// Tier: `make test`. invariant 9: a list holds what its reader may see, page by page, and nothing else; each may watch all that is ready,
/// and delete only what is theirs.
#[tokio::test]
async fn a_list_holds_what_its_reader_may_see() {
    let house = House::open().await;
    let (server, ready, refused) = (&house.server, house.ready.as_str(), house.refused.as_str());
    give(server, refused, "otto").await;
    for (role, subject, expected) in [
        ("admin", "root", vec![refused, ready]),
        ("author", "otto", vec![refused, ready]),
        ("author", "ida", vec![ready]),
        ("viewer", "otto", vec![ready]),
    ] {
        let client = server.client(&server.token(role, subject));
        let (mut listed, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = client.get(&format!("/v1/videos?limit=1{cursor}")).await;
            listed
                .extend(page["videos"].as_array().expect("videos").iter().map(|video| video["video"].as_str().expect("an id").to_owned()));
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(listed, expected, "{role} {subject}");
        for video in [ready, refused] {
            let shown = client.send(Method::GET, &format!("/v1/videos/{video}"), &Value::Null).await.status() == 200;
            assert_eq!(shown, expected.contains(&video), "{role} {subject}: what is listed is shown");
        }
        client.post(&format!("/v1/videos/{ready}/playback"), &Value::Null).await;
        if role != "admin" {
            problem(client.send(Method::DELETE, &format!("/v1/videos/{ready}"), &Value::Null).await, 403, "not-allowed").await;
        }
    }
    let owner = server.client(&server.token("author", "otto"));
    ok(owner.send(Method::DELETE, &format!("/v1/videos/{refused}"), &Value::Null).await).await;
}
