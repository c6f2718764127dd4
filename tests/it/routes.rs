//! Every operation of the OpenAPI document, asked by everyone: nobody, someone with a token that is none, a viewer, an author of other videos,
//! their owner, an administrator (invariant 9). A route that is not in the table below fails the test.

use crate::support::clips::clip;
use crate::support::http::{Client, problem};
use crate::support::publishing::Publishing;
use crate::support::server::Server;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use theatrum::domain::ids::VideoId;

const NO_ID: &str = "0123456789abcdef0123456789abcdef";

/// One operation, on what, and the status that each of the six callers gets, in the order of [`CALLERS`].
struct Case {
    /// Method and path, as the document has them.
    operation: &'static str,
    /// What the path's names stand for, in their order.
    on: &'static [On],
    body: Value,
    expected: [u16; 6],
}

/// What an operation is asked about. Each caller gets one of their own where the operation might use it up.
#[derive(Clone, Copy)]
enum On {
    /// A video that is ready, with everything a video has.
    Published,
    /// A ready video.
    Ready,
    /// A video in processing.
    Processing,
    /// An open upload.
    Upload,
    /// A playback session with a ready video.
    Session,
    /// A key of the inbox.
    AccessKey,
    /// A word as it is.
    Word(&'static str),
}

const CALLERS: [&str; 6] = ["nobody", "no token", "viewer", "another author", "the owner", "an administrator"];
/// Open to everyone who brings a token in the body.
const OWN_TOKEN: [&str; 2] = ["POST /v1/session", "POST /v1/videos/{id}/embeds/playback"];
/// Open to everyone.
const OPEN: [u16; 6] = [200; 6];
/// Open to everyone who is signed in.
const ALL: [u16; 6] = [401, 401, 200, 200, 200, 200];

fn case(operation: &'static str, on: &'static [On], expected: [u16; 6]) -> Case {
    Case { operation, on, body: Value::Null, expected }
}

/// Only for administrators, who get `status`.
fn admins(status: u16) -> [u16; 6] {
    [401, 401, 403, 403, 403, status]
}

/// Hidden from all but its owner and administrators, who get `status`.
fn hidden(status: u16) -> [u16; 6] {
    [401, 401, 404, 404, status, status]
}

/// Seen by everyone; for its owner and administrators, who get `status`.
fn owners(status: u16) -> [u16; 6] {
    [401, 401, 403, 403, status, status]
}

fn with(body: Value, case: Case) -> Case {
    Case { body, ..case }
}

/// invariant 9: the whole table. What is open to everyone is in its first lines, and nowhere else.
fn table() -> Vec<Case> {
    use On::{AccessKey, Processing, Published, Ready, Upload, Word};
    let parts = json!([{"number": 1, "size_bytes": 9, "sha256": "00".repeat(32)}]);
    let key = &[Word("x"), Word(NO_ID), Word(NO_ID), Word("720p"), Word("0")];
    let link = json!({"url": "https://h.example/x", "expires_at": 1_900_000_000_000_i64});
    let edit = json!({"title": "Another"});
    vec![
        case("GET /healthz", &[], OPEN),
        case("GET /readyz", &[], OPEN),
        case("GET /v1/openapi.json", &[], OPEN),
        with(json!({"token": "nonsense"}), case("POST /v1/session", &[], [401; 6])),
        case("GET /t/{token}/v/{video}/{version}/{rendition}/keys/{index}", key, [403; 6]),
        case("GET /v/{video}/{version}/{rendition}/keys/{index}", &[Word(NO_ID), Word(NO_ID), Word("720p"), Word("0")], [403; 6]),
        case("GET /d/{video}/{version}/{file}", &[Word(NO_ID), Word(NO_ID), Word("720p.mp4")], [403; 6]),
        case("GET /d/{video}/source", &[Word(NO_ID)], [403; 6]),
        case("GET /embed/{video}", &[Word(NO_ID)], OPEN),
        // Without `url`: what it tells whom is in tests/it/embed.rs.
        case("GET /oembed", &[], [400; 6]),
        with(json!({"token": "nonsense"}), case("POST /v1/videos/{id}/embeds/playback", &[Published], [401; 6])),
        case("GET /v1/session", &[], ALL),
        case("DELETE /v1/session", &[], [401, 401, 204, 204, 204, 204]),
        with(json!({"role": "admin", "subject": "eve"}), case("POST /v1/tokens", &[], admins(201))),
        with(json!({"filename": "a.mp4", "size_bytes": 9}), case("POST /v1/uploads", &[], [401, 401, 403, 201, 201, 201])),
        case("GET /v1/uploads/{id}", &[Upload], hidden(200)),
        case("DELETE /v1/uploads/{id}", &[Upload], hidden(204)),
        with(parts, case("POST /v1/uploads/{id}/parts", &[Upload], hidden(200))),
        case("POST /v1/uploads/{id}/finish", &[Upload], hidden(409)),
        case("GET /v1/collections", &[], ALL),
        case("GET /v1/videos", &[], ALL),
        case("GET /v1/videos/{id}", &[Ready], ALL),
        case("GET /v1/videos/{id}", &[Processing], hidden(200)),
        with(edit.clone(), case("PATCH /v1/videos/{id}", &[Ready], [401, 401, 403, 403, 200, 200])),
        with(edit, case("PATCH /v1/videos/{id}", &[Processing], hidden(200))),
        case("DELETE /v1/videos/{id}", &[Ready], [401, 401, 403, 403, 204, 204]),
        case("DELETE /v1/videos/{id}", &[Processing], hidden(204)),
        case("GET /v1/videos/{id}/poster", &[Published], ALL),
        case("GET /v1/videos/{id}/poster", &[Processing], hidden(404)),
        case("POST /v1/videos/{id}/playback", &[Published], ALL),
        case("POST /v1/videos/{id}/playback", &[Processing], hidden(409)),
        with(json!({"rendition": "audio"}), case("POST /v1/videos/{id}/downloads", &[Published], [401, 401, 403, 403, 201, 201])),
        case("GET /v1/signing-keys", &[], admins(200)),
        with(json!({}), case("POST /v1/signing-keys", &[], admins(201))),
        case("POST /v1/signing-keys/{key_pair_id}/activate", &[Word("K1")], admins(404)),
        case("DELETE /v1/signing-keys/{key_pair_id}", &[Word("K1")], admins(404)),
        with(link, case("POST /v1/signed-links", &[], admins(201))),
        case("GET /v1/changes", &[], ALL),
        case("GET /v1/events", &[], ALL),
        case("GET /v1/events/stream", &[], ALL),
        case("GET /v1/jobs", &[], [401, 401, 403, 200, 200, 200]),
        case("GET /v1/dead", &[], admins(200)),
        case("GET /v1/dead/{id}", &[Word(NO_ID)], admins(404)),
        case("POST /v1/dead/{id}/redrive", &[Word(NO_ID)], admins(404)),
        case("GET /v1/quotas", &[], ALL),
        case("GET /v1/s3-credentials", &[], [401, 401, 403, 200, 200, 200]),
        with(json!({"prefix": ""}), case("POST /v1/s3-credentials", &[], [401, 401, 403, 201, 201, 201])),
        case("DELETE /v1/s3-credentials/{access_key_id}", &[AccessKey], [401, 401, 403, 404, 204, 204]),
        case("GET /v1/quotas/{kind}/{name}", &[Word("users"), Word("vera")], [401, 401, 200, 403, 403, 200]),
        with(json!({"limit_bytes": null}), case("PUT /v1/quotas/{kind}/{name}", &[Word("users"), Word("vera")], admins(200))),
    ]
}

/// The disk, and what lies on it.
fn table_of_storage() -> Vec<Case> {
    vec![
        case("GET /v1/storage", &[], admins(200)),
        with(json!({"apply": false}), case("POST /v1/reconcile", &[], admins(202))),
        with(json!({"repair": false}), case("POST /v1/verifications", &[], admins(202))),
        case("GET /v1/verifications", &[], [401, 401, 403, 200, 200, 200]),
        case("GET /v1/verifications/{id}", &[On::Word(NO_ID)], [401, 401, 404, 404, 404, 404]),
    ]
}

/// What changes a video's version, or says where it may be embedded.
fn table_of_versions() -> Vec<Case> {
    use On::{Processing, Ready};
    let (trim, nowhere) = (json!({"in_ms": 1000}), json!({"origins": []}));
    let embed = json!({"subject": "eve", "origin": "https://lms.example"});
    vec![
        with(trim.clone(), case("POST /v1/videos/{id}/trim", &[Ready], owners(409))),
        with(trim, case("POST /v1/videos/{id}/trim", &[Processing], hidden(409))),
        case("DELETE /v1/videos/{id}/replacement", &[Ready], owners(404)),
        case("DELETE /v1/videos/{id}/replacement", &[Processing], hidden(404)),
        case("GET /v1/videos/{id}/embedding", &[Ready], owners(200)),
        case("GET /v1/videos/{id}/embedding", &[Processing], hidden(200)),
        with(nowhere.clone(), case("PUT /v1/videos/{id}/embedding", &[Ready], owners(200))),
        with(nowhere, case("PUT /v1/videos/{id}/embedding", &[Processing], hidden(200))),
        with(embed.clone(), case("POST /v1/videos/{id}/embeds", &[Ready], owners(409))),
        with(embed, case("POST /v1/videos/{id}/embeds", &[Processing], hidden(409))),
    ]
}

/// Where events are sent.
fn table_of_webhooks() -> Vec<Case> {
    use On::Word;
    let hook = &[Word(NO_ID)];
    vec![
        case("GET /v1/webhooks", &[], admins(200)),
        with(json!({"url": "https://h.example/x"}), case("POST /v1/webhooks", &[], admins(201))),
        case("GET /v1/webhooks/{id}", hook, admins(404)),
        with(json!({"disabled": true}), case("PATCH /v1/webhooks/{id}", hook, admins(404))),
        case("DELETE /v1/webhooks/{id}", hook, admins(404)),
        case("GET /v1/webhooks/{id}/deliveries", hook, admins(404)),
        case("POST /v1/webhooks/{id}/deliveries/{delivery}/redeliver", &[Word(NO_ID), Word(NO_ID)], admins(404)),
        case("POST /v1/webhooks/{id}/test", hook, admins(404)),
    ]
}

/// Who watches, and who may end it.
fn table_of_sessions() -> Vec<Case> {
    use On::{Processing, Ready, Session, Word};
    vec![
        case("GET /v1/videos/{id}/playback-sessions", &[Ready], owners(200)),
        case("GET /v1/videos/{id}/playback-sessions", &[Processing], hidden(200)),
        case("DELETE /v1/playback-sessions/{id}", &[Session], owners(204)),
        case("DELETE /v1/playback-sessions/{id}", &[Word(NO_ID)], [401, 401, 404, 404, 404, 404]),
    ]
}

struct House {
    server: Server,
    published: String,
}

impl House {
    async fn open() -> Self {
        let server = Server::start();
        let published = Publishing::begin(&server, &clip(server.scratch(), "clip.mp4")).plays(&server).to_string();
        let mut rows = server.rows().await;
        sqlx::query("UPDATE videos SET owner = 'olga' WHERE id = $1").bind(&published).execute(&mut rows).await.expect("given");
        Self { server, published }
    }

    /// The six callers.
    fn callers(&self) -> [Client; 6] {
        let server = &self.server;
        let author = |name| server.client(&server.token("author", name));
        [
            server.anonymous(),
            server.client("nonsense"),
            server.client(&server.token("viewer", "vera")),
            author("otto"),
            author("olga"),
            server.client(&server.admin_token()),
        ]
    }

    /// A thing of Olga's to ask about.
    async fn thing(&self, on: On, olga: &Client) -> String {
        match on {
            On::Word(word) => word.to_owned(),
            On::Published => self.published.clone(),
            On::Ready => self.video("ready").await,
            On::Processing => self.video("processing").await,
            On::AccessKey => {
                let made = olga.post("/v1/s3-credentials", &json!({"prefix": ""})).await;
                made["access_key_id"].as_str().expect("an id").to_owned()
            }
            On::Session => {
                let begun = olga.post(&format!("/v1/videos/{}/playback", self.published), &Value::Null).await;
                begun["session"].as_str().expect("an id").to_owned()
            }
            On::Upload => {
                let begun = olga.post("/v1/uploads", &json!({"filename": "a.mp4", "size_bytes": 9})).await;
                begun["upload"].as_str().expect("an id").to_owned()
            }
        }
    }

    /// The row of a video, without anything behind it.
    async fn video(&self, state: &str) -> String {
        let id = VideoId::new().to_string();
        let sql = "INSERT INTO videos (id, owner, title, state, stage, created_at) VALUES ($1, 'olga', 'A', $2, 'done', 1)";
        sqlx::query(sql).bind(&id).bind(state).execute(&mut self.server.rows().await).await.expect("a row");
        id
    }
}

/// The address of an operation whose names stand for `things`.
fn address(operation: &str, things: &[String]) -> (Method, String) {
    let (method, path) = operation.split_once(' ').expect("a method and a path");
    let mut things = things.iter();
    let pieces =
        path.split('/').map(|piece| if piece.starts_with('{') { things.next().expect("a thing for each name").as_str() } else { piece });
    (method.parse().expect("a method"), pieces.collect::<Vec<_>>().join("/"))
}

/// Method and path of everything in the document, and of what it leaves open to everyone.
async fn documented(server: &Server) -> (BTreeSet<String>, BTreeSet<String>) {
    let document = server.anonymous().get("/v1/openapi.json").await;
    let (mut all, mut open) = (BTreeSet::new(), BTreeSet::new());
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let name = format!("{} {path}", method.to_uppercase());
            if operation["security"].is_array() {
                open.insert(name.clone());
            }
            all.insert(name);
        }
    }
    (all, open)
}

/// Tier: `make test`. invariant 9: deny by default: for every operation and every caller, exactly this happens; and the document and the table
/// agree on what there is and what is open.
#[tokio::test]
async fn every_operation_gives_everyone_exactly_this() {
    let house = House::open().await;
    let callers = house.callers();
    let tables = [table(), table_of_storage(), table_of_versions(), table_of_sessions(), table_of_webhooks()];
    let table: Vec<Case> = tables.into_iter().flatten().collect();
    let (documented, open) = documented(&house.server).await;
    let tabled: BTreeSet<String> = table.iter().map(|case| case.operation.to_owned()).collect();
    assert_eq!(tabled, documented, "tests/it/routes.rs has a line for every operation");
    let public = table.iter().filter(|case| case.expected[0] != 401 || OWN_TOKEN.contains(&case.operation));
    assert_eq!(public.map(|case| case.operation.to_owned()).collect::<BTreeSet<_>>(), open, "the document says so too");
    for case in &table {
        for ((client, who), expected) in callers.iter().zip(CALLERS).zip(case.expected) {
            let mut things = Vec::new();
            for on in case.on {
                things.push(house.thing(*on, &callers[4]).await);
            }
            let (method, path) = address(case.operation, &things);
            let answer = client.send(method, &path, &case.body).await;
            assert_eq!(answer.status().as_u16(), expected, "{}, asked by {who}", case.operation);
            match expected {
                401 if who == "nobody" && !OWN_TOKEN.contains(&case.operation) => drop(problem(answer, 401, "token-missing").await),
                401 => drop(problem(answer, 401, "token-malformed").await),
                403 if path.starts_with("/v1/") => drop(problem(answer, 403, "not-allowed").await),
                404 => drop(problem(answer, 404, "not-found").await),
                _ => {}
            }
        }
    }
}
