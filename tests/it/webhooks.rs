//! Events leave the house: signed, in order per video, each until it was taken; and nowhere else than they may.

mod log;
mod receiver;

use crate::support::http::{Client, ok, problem};
use crate::support::publishing::publish_clip;
use crate::support::server::Server;
use crate::support::waiting::wait_for;
use receiver::{Mode, Receiver, Taken};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use theatrum::domain::ids::VideoId;

/// To this machine, impatiently.
const HERE: &[(&str, &str)] = &[
    ("THEATRUM_WEBHOOKS__ALLOW_PRIVATE", "127.0.0.0/8"),
    ("THEATRUM_WEBHOOKS__ALLOW_HTTP", "true"),
    ("THEATRUM_WEBHOOKS__FIRST_PAUSE", "20ms"),
    ("THEATRUM_WEBHOOKS__LONGEST_PAUSE", "200ms"),
];
/// What no message may hold.
const TITLE: &str = "Mr Jones, his heart";

/// The row of a ready video, without anything behind it.
async fn video(server: &Server, owner: &str) -> String {
    let id = VideoId::new().to_string();
    let sql = "INSERT INTO videos (id, owner, title, state, stage, created_at, ready_at) VALUES ($1, $2, $3, 'ready', 'done', 1, 1)";
    let row = sqlx::query(sql).bind(&id).bind(owner).bind(TITLE);
    row.execute(&mut server.rows().await).await.expect("a row");
    id
}

/// Something happens to a video.
async fn edit(admin: &Client, video: &str, number: usize) {
    ok(admin.send(Method::PATCH, &format!("/v1/videos/{video}"), &json!({"title": format!("{TITLE} {number}")})).await).await;
}

struct Endpoint {
    id: String,
    secret: String,
}

impl Endpoint {
    async fn create(admin: &Client, receiver: &Receiver) -> Self {
        let made = admin.post("/v1/webhooks", &json!({"url": receiver.url()})).await;
        let text = |name: &str| made[name].as_str().expect(name).to_owned();
        Self { id: text("webhook"), secret: text("secret") }
    }

    async fn show(&self, admin: &Client) -> Value {
        admin.get(&format!("/v1/webhooks/{}", self.id)).await
    }

    /// Waits until the endpoint has had everything, which is `count` events.
    async fn has_all(&self, server: &Server, admin: &Client, count: usize) {
        let is_done = async || (self.deliveries(admin).await.len() == count && self.show(admin).await["pending"] == 0).then_some(());
        wait_for(server, "the endpoint has had everything", is_done).await;
    }

    /// Its deliveries, oldest first.
    async fn deliveries(&self, admin: &Client) -> Vec<Value> {
        let list = admin.get(&format!("/v1/webhooks/{}/deliveries?limit=100", self.id)).await;
        let mut deliveries = list["deliveries"].as_array().expect("a list").clone();
        deliveries.reverse();
        deliveries
    }
}

/// The ids of each video's messages, in order.
fn by_video(ids: impl Iterator<Item = (String, String)>) -> BTreeMap<String, Vec<String>> {
    let mut order: BTreeMap<String, Vec<String>> = BTreeMap::new();
    ids.for_each(|(video, id)| order.entry(video).or_default().push(id));
    order
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// What the npm package of the specification reads of messages that it finds genuine.
fn verified_by_npm(secret: &str, taken: &[Taken]) -> Vec<Value> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tools = root.join(".cache/tools");
    let mut node = Command::new(if tools.join("bin/node").exists() { tools.join("bin/node") } else { "node".into() });
    node.arg(root.join("tests/it/webhooks/verifier.mjs")).env("VERIFIER_HOME", tools.join("standardwebhooks"));
    let header = |message: &Taken, name: &str| message.headers[name].to_str().expect("ascii").to_owned();
    let headers = |message: &Taken| {
        ["webhook-id", "webhook-timestamp", "webhook-signature"]
            .map(|name| (name, header(message, name)))
            .into_iter()
            .collect::<BTreeMap<_, _>>()
    };
    let messages: Vec<Value> =
        taken.iter().map(|message| json!({"headers": headers(message), "body": String::from_utf8_lossy(&message.body)})).collect();
    let mut child = node.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("node is installed");
    let asked = json!({"secret": secret, "messages": messages}).to_string();
    child.stdin.take().expect("piped").write_all(asked.as_bytes()).expect("it listens");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "`scripts/setup test` installs the verifier: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("json")
}

fn assert_done(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).expect("text")
}

/// Tier: `make test`. invariant 1: the row is the truth: an endpoint that cannot be reached for a while, during which the server is killed, gets
/// every event once it can, each once, in order per video, exactly as the public library of the specification verifies it; no title among them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_was_down_gets_every_event_in_order() {
    let mut server = Server::start_with(HERE);
    let mut receiver = Receiver::bind().await;
    let admin = server.client(&server.admin_token());
    let endpoint = Endpoint::create(&admin, &receiver).await;
    let published = publish_clip(&server, "clip.mp4");
    let mut videos = vec![published.to_string()];
    for _ in 0..3 {
        videos.push(video(&server, "ada").await);
    }
    for number in 0..4 {
        for video in &videos {
            edit(&admin, video, number).await;
        }
    }
    ok(admin.send(Method::DELETE, &format!("/v1/videos/{}", videos[1]), &Value::Null).await).await;
    let is_failing = async || {
        let failing = endpoint.show(&admin).await["failing_since"].is_i64();
        (failing && endpoint.deliveries(&admin).await.iter().any(|delivery| delivery["attempts"].as_i64() > Some(2))).then_some(())
    };
    wait_for(&server, "attempts have failed", is_failing).await;
    server.restart(&[]);
    let admin = server.client(&server.admin_token());
    edit(&admin, &videos[2], 5).await;
    receiver.open().await;
    endpoint.has_all(&server, &admin, 3 + 16 + 1 + 1).await;

    let (deliveries, taken) = (endpoint.deliveries(&admin).await, receiver.taken());
    assert_eq!(taken.len(), deliveries.len(), "each once");
    let due = by_video(deliveries.iter().map(|delivery| (text(&delivery["video"]), text(&delivery["delivery"]))));
    let had = by_video(taken.iter().map(|message| (text(&message.body()["data"]["video"]), message.id())));
    assert_eq!(had, due);
    let verifier = standardwebhooks::Webhook::new(&endpoint.secret).expect("a secret of the specification");
    for message in &taken {
        verifier.verify(&message.body, &message.headers).expect("signed");
        assert!(!String::from_utf8_lossy(&message.body).contains("Jones"), "{message:?}");
    }
    let told: Vec<Value> = taken.iter().map(Taken::body).collect();
    assert_eq!(verified_by_npm(&endpoint.secret, &taken), told);
    let of = |kind: &str| told.iter().find(|body| body["type"] == kind).unwrap_or_else(|| panic!("no {kind}: {told:?}"));
    let ready = of("video.ready");
    assert_eq!((&ready["data"]["video"], &ready["data"]["state"]), (&json!(published), &json!("ready")));
    assert!(ready["data"]["version"].is_string() && ready["timestamp"].is_string());
    assert_eq!(of("upload.finished")["data"]["state"], "processing");
    assert_eq!(of("video.deleted")["data"]["state"], "deleted");
}

/// Tier: `make test`. Nothing is lost with a server that is killed while an endpoint has not answered yet, and only what was under way comes twice,
/// by the same name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_repeats_at_most_what_was_under_way() {
    let mut server = Server::start_with(HERE);
    let mut receiver = Receiver::bind().await;
    receiver.open().await;
    let admin = server.client(&server.admin_token());
    let endpoint = Endpoint::create(&admin, &receiver).await;
    let video = video(&server, "ada").await;
    edit(&admin, &video, 0).await;
    endpoint.has_all(&server, &admin, 1).await;
    receiver.answer(Mode::Silent);
    for number in 1..6 {
        edit(&admin, &video, number).await;
    }
    wait_for(&server, "one is under way", async || (receiver.heard().len() == 2).then_some(())).await;
    server.kill();
    receiver.answer(Mode::Take);
    server.restart(&[]);
    let admin = server.client(&server.admin_token());
    endpoint.has_all(&server, &admin, 6).await;
    let heard: Vec<String> = receiver.heard().iter().map(Taken::id).collect();
    let due: Vec<String> = endpoint.deliveries(&admin).await.iter().map(|delivery| text(&delivery["delivery"])).collect();
    assert_eq!(due.len(), 6);
    let (first, others) = due.split_at(2);
    assert_eq!(heard, [first, &first[1..], others].concat(), "the second was under way");
}

/// Tier: `make test`. An endpoint that does not take an event for too long is disabled, and whoever runs the house learns of it; enabled again, it gets
/// all that waited, in order. What it has had can be sent once more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_is_disabled_in_the_end_and_loses_nothing() {
    let server = Server::start_with(&[HERE, &[("THEATRUM_WEBHOOKS__GIVE_UP_AFTER", "1s")]].concat());
    let mut receiver = Receiver::bind().await;
    receiver.open().await;
    receiver.answer(Mode::Refuse(500));
    let admin = server.client(&server.admin_token());
    let endpoint = Endpoint::create(&admin, &receiver).await;
    let video = video(&server, "ada").await;
    edit(&admin, &video, 0).await;
    let disabled = async || endpoint.show(&admin).await["disabled_at"].is_i64().then_some(());
    wait_for(&server, "it is disabled", disabled).await;
    edit(&admin, &video, 1).await;
    let shown = endpoint.show(&admin).await;
    assert_eq!(shown["disabled_why"], "unanswered");
    let entries = server.catalog().await.audit_entries(None, 1_000).await.expect("entries");
    let alerts: Vec<_> = entries.iter().filter(|entry| entry.action == "webhook-disable").collect();
    assert!(alerts.len() == 1 && alerts[0].object.as_deref() == Some(&*endpoint.id) && alerts[0].reason == "unanswered", "{alerts:?}");
    assert!(server.log().contains("a webhook was disabled"), "{}", server.log());
    let doctor = String::from_utf8(server.cli(&["doctor"]).stdout).expect("text");
    assert!(doctor.contains(&format!("disabled, and not told what happens: {}", endpoint.id)), "{doctor}");
    let waits = async || (endpoint.show(&admin).await["pending"] == 2).then_some(());
    wait_for(&server, "the second waits", waits).await;
    let waiting = endpoint.deliveries(&admin).await;
    assert_eq!(
        (&waiting[0]["status"], &waiting[0]["error"], &waiting[1]["attempts"]),
        (&json!(500), &json!("refused-by-endpoint"), &json!(0))
    );
    let again = format!("/v1/webhooks/{}/deliveries/{}/redeliver", endpoint.id, text(&waiting[0]["delivery"]));
    problem(admin.send(Method::POST, &again, &Value::Null).await, 409, "webhook-disabled").await;

    receiver.answer(Mode::Take);
    let before = receiver.heard().len();
    assert_done(&server.cli(&["webhooks", "set", &endpoint.id, "--enable"]));
    endpoint.has_all(&server, &admin, 2).await;
    let ids: Vec<String> = waiting.iter().map(|delivery| text(&delivery["delivery"])).collect();
    let heard = || receiver.heard()[before..].iter().map(Taken::id).collect::<Vec<_>>();
    assert_eq!(heard(), ids);
    assert_done(&server.cli(&["webhooks", "redeliver", &endpoint.id, &ids[0]]));
    wait_for(&server, "it comes once more", async || (heard().len() == 3).then_some(())).await;
    assert_eq!(heard()[2], ids[0]);
    receiver.answer(Mode::Refuse(410));
    edit(&admin, &video, 2).await;
    wait_for(&server, "it is gone", async || (endpoint.show(&admin).await["disabled_why"] == "gone").then_some(())).await;
}

/// Tier: `make test`. The server is not made to call what only it can reach, by no name and on no way around.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn private_addresses_are_refused() {
    let server = Server::start_with(&[("THEATRUM_WEBHOOKS__ALLOW_HTTP", "true")]);
    let mut receiver = Receiver::bind().await;
    receiver.open().await;
    let admin = server.client(&server.admin_token());
    for host in ["127.0.0.1", "[::1]", "169.254.169.254", "10.0.0.1", "[::ffff:127.0.0.1]"] {
        let refused = admin.send(Method::POST, "/v1/webhooks", &json!({"url": format!("http://{host}/x")})).await;
        problem(refused, 400, "private-address").await;
    }
    for url in ["https://user:word@h.example/", "ftp://h.example/", "h.example"] {
        problem(admin.send(Method::POST, "/v1/webhooks", &json!({"url": url})).await, 400, "bad-webhook-url").await;
    }
    for host in ["localhost", "2130706433"] {
        let made = admin.post("/v1/webhooks", &json!({"url": format!("http://{host}:{}/x", receiver.port())})).await;
        let id = text(&made["webhook"]);
        let tested = server.cli(&["webhooks", "test", &id]);
        assert_eq!(tested.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&tested.stderr).contains("private-address"), "{tested:?}");
    }
    edit(&admin, &video(&server, "ada").await, 0).await;
    let refused = async || {
        let hooks = admin.get("/v1/webhooks").await;
        hooks["webhooks"].as_array().expect("a list").iter().all(|hook| hook["failing_since"].is_i64()).then_some(())
    };
    wait_for(&server, "an event was refused to both", refused).await;
    assert!(receiver.heard().is_empty());
}

/// Tier: `make test`. A secret is exchanged without a message that nobody can verify; a test message is signed too; and no secret is shown twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_rotated_while_both_are_good() {
    let server = Server::start_with(HERE);
    let mut receiver = Receiver::bind().await;
    receiver.open().await;
    let admin = server.client(&server.admin_token());
    let made = assert_done(&server.cli(&["webhooks", "create", &receiver.url(), "--events", "video.deleted", "--json"]));
    let made: Value = serde_json::from_str(&made).expect("json");
    let id = text(&made["webhook"]);
    let rotated = assert_done(&server.cli(&["webhooks", "set", &id, "--rotate-secret"]));
    let (old, new) = (text(&made["secret"]), rotated.trim().to_owned());
    assert_ne!(old, new);
    let shown = admin.get(&format!("/v1/webhooks/{id}")).await;
    assert!(shown["secret"].is_null() && shown["former_secret_until"].is_i64(), "{shown}");
    let video = video(&server, "ada").await;
    edit(&admin, &video, 0).await;
    ok(admin.send(Method::DELETE, &format!("/v1/videos/{video}"), &Value::Null).await).await;
    wait_for(&server, "the deletion is told", async || (!receiver.taken().is_empty()).then_some(())).await;
    assert_done(&server.cli(&["webhooks", "test", &id]));
    let taken = receiver.taken();
    let kinds: Vec<String> = taken.iter().map(|message| text(&message.body()["type"])).collect();
    assert_eq!(kinds, ["video.deleted", "webhook.test"], "what was not asked for is not sent");
    for message in &taken {
        for secret in [&old, &new] {
            let verifier = standardwebhooks::Webhook::new(secret).expect("a secret");
            verifier.verify(&message.body, &message.headers).expect("signed with both");
        }
        let stranger = standardwebhooks::Webhook::from_bytes(vec![7; 32]).expect("a key");
        stranger.verify(&message.body, &message.headers).expect_err("signed with no other");
    }
    assert_done(&server.cli(&["webhooks", "delete", &id]));
    problem(admin.send(Method::GET, &format!("/v1/webhooks/{id}"), &Value::Null).await, 404, "not-found").await;
    assert!(!server.log().contains("whsec_"));
}
