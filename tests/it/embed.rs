//! Embedding: which sites may hold the frame, who may watch in it, and what oEmbed tells whom.

use crate::support::clips::{PICTURES, clip, play};
use crate::support::http::{Client, header, ok, problem};
use crate::support::publishing::Publishing;
use crate::support::server::Server;
use reqwest::{Method, Response};
use serde_json::{Value, json};

const LMS: &str = "https://moodle.example.edu";
const OTHER: &str = "http://127.0.0.1:9";
const PERMITTED: (&str, &str) = ("THEATRUM_EMBEDDING__ORIGINS", "* http://127.0.0.1:9");
const NO_ID: &str = "0123456789abcdef0123456789abcdef";

/// A server that permits embedding, its administrator, and a ready video.
struct House {
    server: Server,
    admin: Client,
    video: String,
}

impl House {
    fn open() -> Self {
        let server = Server::start_with(&[PERMITTED]);
        let file = clip(server.scratch(), "heart & \"soul\".mp4");
        let video = Publishing::begin(&server, &file).plays(&server).to_string();
        Self { admin: server.client(&server.admin_token()), video, server }
    }

    fn path(&self, rest: &str) -> String {
        format!("/v1/videos/{}/{rest}", self.video)
    }

    async fn allow(&self, origins: &[&str], oembed: bool) -> Value {
        let body = json!({"origins": origins, "oembed": oembed});
        ok(self.admin.send(Method::PUT, &self.path("embedding"), &body).await).await
    }

    async fn link(&self, body: Value) -> Response {
        self.admin.send(Method::POST, &self.path("embeds"), &body).await
    }

    async fn exchange(&self, video: &str, token: &str) -> Response {
        let path = format!("/v1/videos/{video}/embeds/playback");
        self.server.anonymous().send(Method::POST, &path, &json!({"token": token})).await
    }

    async fn page(&self, path: &str) -> Response {
        self.server.anonymous().send(Method::GET, path, &Value::Null).await
    }
}

/// The sites that a page's policy names, and its X-Frame-Options.
fn framing(answer: &Response) -> (String, String) {
    let policy = header(answer, "content-security-policy");
    let ancestors = policy.split("frame-ancestors ").nth(1).expect("a directive").split(';').next().expect("sites").to_owned();
    (ancestors, header(answer, "x-frame-options").to_owned())
}

fn nobody() -> (String, String) {
    ("'none'".to_owned(), "DENY".to_owned())
}

/// Tier: `make test`. invariant 9: deny by default: no page may be in any frame, but the frame's own page on the sites that were allowed.
#[tokio::test]
async fn only_allowed_sites_may_hold_the_frame() {
    let house = House::open();
    let embed = format!("/embed/{}", house.video);
    let pages =
        ["/".to_owned(), format!("/watch/{}", house.video), "/v1/videos".to_owned(), format!("/embed/{NO_ID}"), "/embed.html".to_owned()];
    assert_eq!(framing(&house.page(&embed).await), nobody(), "nobody said where");
    house.allow(&[LMS, OTHER], false).await;
    let (ancestors, options) = framing(&house.page(&embed).await);
    assert_eq!((ancestors.as_str(), options.as_str()), (&*format!("{OTHER} {LMS}"), ""));
    let one = framing(&house.page(&format!("{embed}?origin={LMS}")).await);
    assert_eq!(one, (LMS.to_owned(), String::new()), "a link for one site is for no other");
    assert_eq!(framing(&house.page(&format!("{embed}?origin=https://evil.example")).await), nobody());
    problem(house.page(&format!("{embed}?origin=*")).await, 400, "bad-origin").await;
    for page in &pages {
        assert_eq!(framing(&house.page(page).await), nobody(), "{page}");
    }
    let answer = house.page(&embed).await;
    assert_eq!(header(&answer, "referrer-policy"), "no-referrer");
    assert!(!answer.text().await.expect("text").contains("heart"), "the page tells nothing of the video");
    house.allow(&[], false).await;
    assert_eq!(framing(&house.page(&embed).await), nobody());
    ok(house.admin.send(Method::DELETE, &format!("/v1/videos/{}", house.video), &Value::Null).await).await;
    assert_eq!(framing(&house.page(&embed).await), nobody());
}

/// Tier: `make test`. Owners choose among what the operator permits, and what the operator takes back is gone at once.
#[tokio::test]
async fn the_operator_has_the_last_word() {
    let mut house = House::open();
    let wrong = |origins: Value, code: &'static str| {
        let (admin, path) = (&house.admin, house.path("embedding"));
        async move { problem(admin.send(Method::PUT, &path, &json!({"origins": origins})).await, 400, code).await }
    };
    wrong(json!(["http://moodle.example.edu"]), "origin-not-permitted").await;
    for text in ["https://*.example.edu", "*", "https://a/b", "moodle", "https://a; script-src *"] {
        wrong(json!([text]), "bad-origin").await;
    }
    wrong(json!((0..21).map(|number| format!("https://{number}.example")).collect::<Vec<_>>()), "too-many-origins").await;
    let said = house.allow(&["https://MOODLE.example.edu:443/", LMS], true).await;
    assert_eq!((&said["origins"], &said["permitted"]), (&json!([LMS]), &json!(["*", OTHER])));
    assert_eq!(house.admin.get(&house.path("embedding")).await, said);
    let link = json!({"subject": "student 7", "origin": LMS});
    let embed_url = ok(house.link(link.clone()).await).await["embed_url"].as_str().expect("a url").to_owned();
    let (_, token) = embed_url.split_once('#').expect("a token in the fragment");
    house.server.restart(&[("THEATRUM_EMBEDDING__ORIGINS", "https://ilias.example.edu")]);
    house.admin = house.server.client(&house.server.admin_token());
    assert_eq!(framing(&house.page(&format!("/embed/{}", house.video)).await), nobody());
    problem(house.link(link).await, 409, "origin-not-listed").await;
    problem(house.exchange(&house.video, token).await, 403, "origin-not-allowed").await;
    let entries = house.server.catalog().await.audit_entries(Some(&house.video), 100).await.expect("entries");
    let denied = entries.iter().find(|entry| entry.decision == "deny").expect("it is written down");
    assert_eq!((denied.actor.as_str(), denied.action.as_str(), denied.reason.as_str()), ("student 7", "playback", "origin-not-allowed"));
}

/// Tier: `make test`. invariant 8: every access attempt is in the audit log: a link lets one person watch one video, under the name that the
/// site gave; it opens nothing else, and is in no log.
#[tokio::test]
async fn a_link_lets_one_person_watch_one_video() {
    let house = House::open();
    let link = |lifetime: Value| json!({"subject": "student 7", "origin": LMS, "expires_in_s": lifetime});
    problem(house.link(link(json!(60))).await, 409, "origin-not-listed").await;
    house.allow(&[LMS], false).await;
    for lifetime in [0, 9, 3_601] {
        problem(house.link(link(json!(lifetime))).await, 400, "bad-lifetime").await;
    }
    problem(house.link(json!({"subject": " ", "origin": LMS})).await, 400, "bad-subject").await;
    let answer = house.link(link(json!(60))).await;
    assert_eq!((answer.status().as_u16(), header(&answer, "cache-control")), (201, "no-store"));
    let embed_url = ok(answer).await["embed_url"].as_str().expect("a url").to_owned();
    let (page, token) = embed_url.split_once('#').expect("a token in the fragment");
    assert_eq!(page, format!("{}/embed/{}?origin={LMS}", house.server.url(), house.video));
    problem(house.exchange(NO_ID, token).await, 403, "token-other-video").await;
    problem(house.exchange(&house.video, "").await, 401, "token-missing").await;
    problem(house.server.client(token).send(Method::GET, "/v1/videos", &Value::Null).await, 401, "token-signature").await;
    problem(house.exchange(&house.video, &house.server.admin_token()).await, 401, "token-signature").await;
    let answer = house.exchange(&house.video, token).await;
    assert_eq!(header(&answer, "cache-control"), "no-store");
    let playback = ok(answer).await;
    assert_eq!(play(playback["playback_url"].as_str().expect("a url")), PICTURES);
    let entries = house.server.catalog().await.audit_entries(Some(&house.video), 1_000).await.expect("entries");
    let session = entries.iter().rfind(|entry| entry.action == "playback" && entry.actor == "student 7").expect("it is written down");
    assert_eq!(session.object.as_deref(), Some("embedded on https://moodle.example.edu by admin"));
    assert!(entries.iter().any(|entry| entry.action == "key" && entry.actor == "student 7"));
    assert!(entries.iter().any(|entry| entry.action == "embed-link" && entry.actor == "admin"));
    assert!(!house.server.log().contains(token), "no log holds a token");
}

/// Tier: `make test`. oEmbed 1.0: titles are told to anybody only where their owners say so; nobody else learns that a video is there.
#[tokio::test]
async fn oembed_tells_of_videos_whose_owners_let_it() {
    let house = House::open();
    let of = |id: &str| format!("/oembed?url={}/watch/{id}", house.server.url());
    let (ours, none) = (of(&house.video), of(NO_ID));
    for path in [&ours, &none] {
        problem(house.page(path).await, 401, "token-missing").await;
        problem(house.admin.send(Method::GET, path, &Value::Null).await, 404, "not-found").await;
    }
    house.allow(&[LMS], false).await;
    problem(house.page(&ours).await, 401, "token-missing").await;
    let viewer = house.server.client(&house.server.token("viewer", "vera"));
    let told = viewer.get(&ours).await;
    assert_eq!((&told["type"], &told["version"], &told["title"]), (&json!("video"), &json!("1.0"), &json!("heart & \"soul\"")));
    assert_eq!(told.get("thumbnail_url"), None);
    house.allow(&[LMS], true).await;
    let told = ok(house.page(&format!("{ours}&format=json&maxwidth=320&maxheight=9000")).await).await;
    assert_eq!((&told["width"], &told["height"]), (&json!(320), &json!(180)));
    let html = told["html"].as_str().expect("html");
    let src = format!("<iframe src=\"{}/embed/{}\"", house.server.url(), house.video);
    assert!(html.starts_with(&src) && html.contains("title=\"heart &amp; &quot;soul&quot;\""), "{html}");
    problem(house.page(&none).await, 401, "token-missing").await;
    problem(house.page(&format!("{ours}&format=xml")).await, 501, "format-not-implemented").await;
    problem(house.page("/oembed?url=https://elsewhere.example/watch/1").await, 404, "not-found").await;
    problem(house.page("/oembed").await, 400, "malformed-query").await;
    problem(house.page(&format!("{ours}&maxwidth=-1")).await, 400, "malformed-query").await;
    problem(house.server.client("nonsense").send(Method::GET, &ours, &Value::Null).await, 401, "token-malformed").await;
    let watch = house.page(&format!("/watch/{}", house.video)).await.text().await.expect("text");
    let address = format!("{}/oembed?url={}/watch/{}&amp;format=json", house.server.url(), house.server.url(), house.video);
    assert!(watch.contains(&format!("<link rel=\"alternate\" type=\"application/json+oembed\" href=\"{address}\" /></head>")), "{watch}");
}
