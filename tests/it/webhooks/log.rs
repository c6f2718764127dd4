//! The log of events: in pages, as a stream that goes on where it broke off, and on the command line.

use super::{assert_done, edit, text, video};
use crate::support::http::{Client, header, problem};
use crate::support::server::Server;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use std::time::Duration;

const LONGEST: Duration = Duration::from_secs(30);

/// A stream of the log.
struct Stream {
    response: Response,
    text: String,
}

impl Stream {
    async fn open(client: &Client, query: &str, last: Option<&str>) -> Self {
        let mut request = client.request(Method::GET, &format!("/v1/events/stream{query}"), &Value::Null);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = request.send().await.expect("an answer");
        assert_eq!((response.status().as_u16(), header(&response, "content-type")), (200, "text/event-stream"));
        Self { response, text: String::new() }
    }

    /// The id, kind and data of the next event.
    async fn next(&mut self) -> (String, String, Value) {
        let end = loop {
            if let Some(end) = self.text.find("\n\n") {
                break end;
            }
            let chunk = tokio::time::timeout(LONGEST, self.response.chunk()).await.expect("an event in time");
            self.text.push_str(std::str::from_utf8(&chunk.expect("a stream").expect("that goes on")).expect("text"));
        };
        let event: String = self.text.drain(..end + 2).collect();
        let field =
            |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name}: {event}")).to_owned();
        (field("id: "), field("event: "), serde_json::from_str(&field("data: ")).expect("json"))
    }
}

/// Tier: `make test`. A stream that breaks off goes on after its last event: nothing is missed, and nothing comes twice.
#[tokio::test]
async fn a_stream_goes_on_where_it_broke_off() {
    let mut server = Server::start();
    let admin = server.client(&server.admin_token());
    let (one, two) = (video(&server, "ada").await, video(&server, "ada").await);
    edit(&admin, &one, 0).await;
    let mut stream = Stream::open(&admin, "", None).await;
    edit(&admin, &one, 1).await;
    let (id, kind, event) = stream.next().await;
    assert_eq!((&*kind, &event["type"], &event["cursor"]), ("video.edited", &json!("video.edited"), &json!(id)));
    assert_eq!(event["data"], json!({"video": one, "state": "ready", "version": null}));
    drop(stream);
    edit(&admin, &two, 0).await;
    server.restart(&[]);
    let admin = server.client(&server.admin_token());
    edit(&admin, &one, 2).await;
    let mut stream = Stream::open(&admin, "", Some(&id)).await;
    let (missed, _, event) = stream.next().await;
    assert_eq!(event["data"]["video"], json!(two));
    assert_eq!(stream.next().await.2["data"]["video"], json!(one));
    let mut filtered = Stream::open(&admin, &format!("?types=video.deleted&after={missed}"), None).await;
    admin.send(Method::DELETE, &format!("/v1/videos/{two}"), &Value::Null).await;
    assert_eq!(filtered.next().await.1, "video.deleted");
    assert_eq!(stream.next().await.1, "video.deleted");
    problem(admin.send(Method::GET, "/v1/events/stream?after=x", &Value::Null).await, 400, "bad-cursor").await;
}

/// Tier: `make test`. invariant 9: everyone reads of the videos that they may see, page by page, and the command line reads the same.
#[tokio::test]
async fn the_log_is_read_in_pages_by_whom_it_concerns() {
    let server = Server::start();
    let admin = server.client(&server.admin_token());
    let (seen, hidden) = (video(&server, "ada").await, video(&server, "eve").await);
    for number in 0..3 {
        edit(&admin, &seen, number).await;
    }
    sqlx::query("UPDATE videos SET state = 'processing' WHERE id = $1")
        .bind(&hidden)
        .execute(&mut server.rows().await)
        .await
        .expect("hidden");
    edit(&admin, &hidden, 0).await;
    let (mut path, mut cursors) = ("/v1/events?limit=1".to_owned(), Vec::new());
    loop {
        let page = admin.get(&path).await;
        cursors.extend(page["events"].as_array().expect("events").iter().map(|event| text(&event["cursor"])));
        let Some(next) = page["next_cursor"].as_str() else { break };
        assert_eq!(Some(&next.to_owned()), cursors.last());
        path = format!("/v1/events?limit=1&after={next}");
    }
    assert_eq!(cursors.len(), 4);
    let count = async |role: &str, name: &str, query: &str| {
        let client = server.client(&server.token(role, name));
        client.get(&format!("/v1/events{query}")).await["events"].as_array().expect("events").len()
    };
    assert_eq!(count("viewer", "vera", "").await, 3);
    assert_eq!(count("author", "eve", "").await, 4, "hers, and what everyone sees");
    assert_eq!(count("author", "ada", &format!("?after={}", cursors[1])).await, 1);
    assert_eq!(count("author", "ada", "?types=video.ready,job.dead").await, 0);
    problem(admin.send(Method::GET, "/v1/events?types=video.watched", &Value::Null).await, 400, "unknown-word").await;
    let lines = assert_done(&server.cli(&["events", "--json", "--after", &cursors[0]]));
    let read: Vec<String> = lines.lines().map(|line| text(&serde_json::from_str::<Value>(line).expect("json")["cursor"])).collect();
    assert_eq!(read, cursors[1..]);
    assert!(assert_done(&server.cli(&["events", "--types", "video.edited"])).contains(&hidden));
}
