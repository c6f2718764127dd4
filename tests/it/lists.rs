//! Reading and changing as programs do it: page by page, by filter, by tag.

use crate::support::http::{Client, header, ok, problem};
use crate::support::server::Server;
use reqwest::Method;
use serde_json::{Value, json};
use theatrum::domain::ids::VideoId;

async fn insert(server: &Server, owner: &str, title: &str) -> String {
    let id = VideoId::new().to_string();
    let sql = "INSERT INTO videos (id, owner, title, title_folded, state, stage, created_at) VALUES ($1, $2, $3, $4, 'ready', 'done', 5)";
    let row = sqlx::query(sql).bind(&id).bind(owner).bind(title).bind(title.to_lowercase());
    row.execute(&mut server.rows().await).await.expect("a row");
    id
}

fn ids(list: &Value) -> Vec<String> {
    list["videos"].as_array().expect("a list").iter().map(|video| video["video"].as_str().expect("an id").to_owned()).collect()
}

/// Tier: `make test`. Pages follow one another by cursor and by link, whatever is added meanwhile, and end.
#[tokio::test]
async fn pages_lead_to_the_end_and_nothing_comes_twice() {
    let server = Server::start();
    let admin = server.client(&server.admin_token());
    let mut all = Vec::new();
    for number in 0..7 {
        all.insert(0, insert(&server, "ada", &format!("Lecture {number}")).await);
    }
    let (mut path, mut seen) = ("/v1/videos?limit=3&q=lecture".to_owned(), Vec::new());
    loop {
        let answer = admin.send(Method::GET, &path, &Value::Null).await;
        let link = header(&answer, "link").to_owned();
        let page = ok(answer).await;
        seen.extend(ids(&page));
        insert(&server, "ada", "Lecture, added while someone reads").await;
        let Some(cursor) = page["next_cursor"].as_str() else {
            assert_eq!(link, "", "the last page leads nowhere");
            break;
        };
        path = link.strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\"")).expect("a link").to_owned();
        assert_eq!(path, format!("/v1/videos?limit=3&q=lecture&cursor={cursor}"));
    }
    assert_eq!(seen, all);
    for (query, code) in [("limit=0", "bad-limit"), ("limit=101", "bad-limit"), ("cursor=x", "bad-cursor"), ("state=lost", "unknown-word")]
    {
        problem(admin.send(Method::GET, &format!("/v1/videos?{query}"), &Value::Null).await, 400, code).await;
    }
    let unknown = problem(admin.send(Method::GET, "/v1/videos?sate=ready", &Value::Null).await, 400, "malformed-query").await;
    assert!(unknown["detail"].as_str().is_some_and(|text| text.contains("`sate`")), "{unknown}");
}

/// Everything of a list, page by page, each of one.
async fn page_by_page(client: &Client, path: &str, member: &str) -> Vec<Value> {
    let (mut seen, mut wanted) = (Vec::new(), format!("{path}?limit=1"));
    loop {
        let page = client.get(&wanted).await;
        seen.extend(page[member].as_array().expect("a list").clone());
        let Some(cursor) = page["next_cursor"].as_str() else { return seen };
        assert!(seen.len() < 50, "{path} does not end");
        wanted = format!("{path}?limit=1&cursor={cursor}");
    }
}

/// Tier: `make test`. Lists that are not of videos come in pages too, and the command line puts them together.
#[tokio::test]
async fn lists_of_names_and_keys_come_in_pages() {
    let server = Server::start();
    let admin = server.client(&server.admin_token());
    let names = ["Übung", "b", "Anatomy", "a-b", "B"];
    for name in names {
        let video = format!("/v1/videos/{}", insert(&server, name, name).await);
        ok(admin.send(Method::PATCH, &video, &json!({"collection": name})).await).await;
        admin.post("/v1/s3-credentials", &json!({"prefix": name, "subject": name})).await;
        ok(admin.send(Method::PUT, &format!("/v1/quotas/users/{name}"), &json!({"limit_bytes": 9})).await).await;
    }
    for (path, member, key, command, all) in [
        ("/v1/collections", "collections", "collection", &["collections", "list"][..], 5),
        ("/v1/quotas", "quotas", "name", &["quotas", "list"][..], 10),
        ("/v1/s3-credentials", "credentials", "subject", &["s3", "credentials", "list"][..], 5),
    ] {
        let whole = admin.get(&format!("{path}?limit=100")).await;
        let found = page_by_page(&admin, path, member).await;
        assert_eq!((found.len(), json!(found)), (all, whole[member].clone()), "{path}");
        assert!(names.iter().all(|name| found.iter().any(|item| item[key] == *name)), "{found:?}");
        let printed = server.cli(&[command, &["--json"][..]].concat());
        assert_eq!(serde_json::from_slice::<Value>(&printed.stdout).expect("json")[member], whole[member], "{path}");
        for (query, code) in [("limit=101", "bad-limit"), ("cursor=x", "bad-cursor"), ("page=2", "malformed-query")] {
            problem(admin.send(Method::GET, &format!("{path}?{query}"), &Value::Null).await, 400, code).await;
        }
    }
    let sorted: Vec<Value> =
        page_by_page(&admin, "/v1/collections", "collections").await.iter().map(|item| item["collection"].clone()).collect();
    assert_eq!(sorted, ["Anatomy", "B", "a-b", "b", "Übung"], "by their bytes, whatever the database");
    let printed = server.cli(&["videos", "list", "--limit", "3", "--json"]).stdout;
    assert_eq!(serde_json::from_slice::<Value>(&printed).expect("json")["videos"].as_array().map(Vec::len), Some(3));
    let table = String::from_utf8(server.cli(&["collections", "list"]).stdout).expect("text");
    assert!(table.starts_with("COLLECTION  VIDEOS  SINCE") && table.contains("Übung       1       20"), "{table}");
}

/// Tier: `make test`. The command line lists everything, however many pages that is.
#[tokio::test]
async fn the_command_line_follows_every_page() {
    let server = Server::start();
    let video = insert(&server, "ada", "Lecture").await;
    let mut rows = server.rows().await;
    for number in 0..230 {
        let sql = "INSERT INTO jobs (id, kind, payload_version, payload, video_id, state, priority, weight, run_at, created_at, finished_at, last_error)
            VALUES ($1, 'stills', 1, '{}', $2, 'dead', 0, 1, 0, 0, 0, 'no')";
        sqlx::query(sql).bind(format!("{number:032x}")).bind(&video).execute(&mut rows).await.expect("a row");
    }
    for (command, list) in [("dead", "dead"), ("jobs", "jobs")] {
        let output = server.cli(&[command, "list", "--json"]);
        let listed: Value = serde_json::from_slice(&output.stdout).expect("json");
        assert_eq!(listed[list].as_array().expect("a list").len(), 230, "{command}");
    }
}

/// Tier: `make test`. Whoever has an answer is sent none, and whoever changes what they did not see is refused.
#[tokio::test]
async fn a_tag_saves_the_way_and_guards_against_lost_changes() {
    let server = Server::start();
    let video = insert(&server, "ada", "Before").await;
    let (ada, path) = (server.client(&server.token("author", "ada")), format!("/v1/videos/{video}"));
    let first = ada.send(Method::GET, &path, &Value::Null).await;
    let tag = header(&first, "etag").to_owned();
    assert!(tag.starts_with('"'), "{tag}");
    let conditional = |method: Method, name: &'static str, tag: &str, body: Value| {
        let request = ada.request(method, &path, &body).header(name, tag);
        async move { request.send().await.expect("an answer") }
    };
    let same = conditional(Method::GET, "if-none-match", &tag, Value::Null).await;
    assert_eq!((same.status().as_u16(), header(&same, "etag")), (304, tag.as_str()));
    assert!(same.bytes().await.expect("no body").is_empty());
    let edited = ok(conditional(Method::PATCH, "if-match", &tag, json!({"title": "After", "collection": "Cardiology"})).await).await;
    assert_eq!((&edited["title"], &edited["collection"]), (&json!("After"), &json!("Cardiology")));
    for (method, body) in [(Method::PATCH, json!({"title": "Lost"})), (Method::DELETE, Value::Null)] {
        problem(conditional(method, "if-match", &tag, body).await, 412, "precondition-failed").await;
    }
    let changed = ada.send(Method::GET, &path, &Value::Null).await;
    assert_ne!(header(&changed, "etag"), tag);
    assert_eq!(ok(changed).await["title"], "After");
    let taken_out = ok(ada.send(Method::PATCH, &path, &json!({"collection": null})).await).await;
    assert_eq!((&taken_out["title"], &taken_out["collection"]), (&json!("After"), &Value::Null));
    problem(ada.send(Method::PATCH, &path, &json!({"title": " "})).await, 400, "bad-title").await;
    let stranger = server.client(&server.token("author", "otto"));
    let answer = stranger.request(Method::DELETE, &path, &Value::Null).header("if-match", &tag).send().await.expect("an answer");
    problem(answer, 412, "precondition-failed").await;
    assert_eq!(ok(conditional(Method::DELETE, "if-match", "*", Value::Null).await).await, Value::Null);
}

/// Tier: `make test`. Of many who edit what they saw, one succeeds each time.
#[tokio::test]
async fn of_many_edits_of_the_same_state_one_succeeds() {
    let server = Server::start();
    let video = insert(&server, "ada", "0").await;
    let (ada, path) = (server.client(&server.token("author", "ada")), format!("/v1/videos/{video}"));
    for round in 0..5 {
        let tag = header(&ada.send(Method::GET, &path, &Value::Null).await, "etag").to_owned();
        let edits = (0..8).map(|number| edit(&ada, &path, &tag, format!("{round}-{number}")));
        let statuses = futures_util::future::join_all(edits).await;
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
        assert_eq!(statuses.iter().filter(|status| **status == 412).count(), 7, "{statuses:?}");
    }
}

/// Tier: `make test`. Of many who say where a video may be embedded, knowing what was said before, one succeeds each time.
#[tokio::test]
async fn of_many_who_set_the_same_embedding_one_succeeds() {
    let server = Server::start();
    let video = insert(&server, "ada", "A").await;
    let (ada, path) = (server.client(&server.token("author", "ada")), format!("/v1/videos/{video}/embedding"));
    for round in 0..5 {
        let tag = header(&ada.send(Method::GET, &path, &Value::Null).await, "etag").to_owned();
        let wanted = json!({"origins": [], "oembed": round % 2 == 0});
        let sent = (0..8).map(|_| ada.request(Method::PUT, &path, &wanted).header("if-match", &tag).send());
        let statuses = futures_util::future::join_all(sent).await.into_iter().map(|answer| answer.expect("an answer").status().as_u16());
        let statuses: Vec<u16> = statuses.collect();
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
        assert_eq!(statuses.iter().filter(|status| **status == 412).count(), 7, "{statuses:?}");
    }
}

/// Tier: `make test`. Of many who set a quota that they saw, one succeeds each time.
#[tokio::test]
async fn of_many_who_set_the_same_quota_one_succeeds() {
    let server = Server::start();
    let (admin, path) = (server.client(&server.admin_token()), "/v1/quotas/users/ada");
    for round in 0..5_u64 {
        let tag = header(&admin.send(Method::GET, path, &Value::Null).await, "etag").to_owned();
        let limits = (0..8).map(|number| json!({ "limit_bytes": 1_000 + 10 * round + number }));
        let sent = limits.map(|wanted| admin.request(Method::PUT, path, &wanted).header("if-match", &tag).send());
        let statuses = futures_util::future::join_all(sent).await.into_iter().map(|answer| answer.expect("an answer").status().as_u16());
        let statuses: Vec<u16> = statuses.collect();
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
        assert_eq!(statuses.iter().filter(|status| **status == 412).count(), 7, "{statuses:?}");
    }
}

/// Tier: `make test`. Whoever deletes what they saw does not delete what somebody else has just made of it.
#[tokio::test]
async fn a_video_that_was_edited_meanwhile_is_not_deleted() {
    let server = Server::start();
    let ada = server.client(&server.token("author", "ada"));
    for round in 0..40 {
        let path = format!("/v1/videos/{}", insert(&server, "ada", "Before").await);
        let tag = header(&ada.send(Method::GET, &path, &Value::Null).await, "etag").to_owned();
        let delete = ada.request(Method::DELETE, &path, &Value::Null).header("if-match", &tag).send();
        let (edited, deleted) = futures_util::future::join(edit(&ada, &path, &tag, "After".to_owned()), delete).await;
        let deleted = deleted.expect("an answer").status().as_u16();
        assert!([(200, 412), (412, 204), (404, 204)].contains(&(edited, deleted)), "{round}: {edited} {deleted}");
    }
}

async fn edit(client: &Client, path: &str, tag: &str, title: String) -> u16 {
    let request = client.request(Method::PATCH, path, &json!({ "title": title })).header("if-match", tag);
    request.send().await.expect("an answer").status().as_u16()
}

/// Tier: `make test`. `theatrum videos edit` says what the video is then.
#[tokio::test]
async fn the_command_line_edits_a_video() {
    let server = Server::start();
    let video = insert(&server, "admin", "Before").await;
    let output = server.cli(&["videos", "edit", &video, "--title", "After", "--collection", "Cardiology", "--json"]);
    let edited: Value = serde_json::from_slice(&output.stdout).expect("json");
    assert_eq!((&edited["title"], &edited["collection"]), (&json!("After"), &json!("Cardiology")));
    let output = server.cli(&["videos", "edit", &video, "--no-collection", "--json"]);
    let edited: Value = serde_json::from_slice(&output.stdout).expect("json");
    assert_eq!((&edited["title"], edited.get("collection").unwrap_or(&Value::Null)), (&json!("After"), &Value::Null));
    assert_eq!(server.cli(&["videos", "edit", &video, "--title", "\u{7}"]).status.code(), Some(1));
}
