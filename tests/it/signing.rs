//! CloudFront's scheme and the signers that people have: botocore, aws-cli, AWS's npm package, and our own command line.

mod keys;

use crate::support::clips::clip;
use crate::support::http::{header, ok, problem};
use crate::support::publishing::Publishing;
use crate::support::server::Server;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use reqwest::Method;
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};
use theatrum::links::cloudfront::{Algorithm, Network, Policy, PrivateKey, Signer};

const SYSTEM_PYTHON: &str = "/usr/bin/python3";

pub fn now_s() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs().cast_signed()
}

/// A server with a video, and a key pair of an operator who signs elsewhere.
struct House {
    server: Server,
    /// The path of the version, and of its segments' init.
    base: String,
    object: String,
}

/// An operator's own key pair: its private half in a file, as their tools want it.
struct Operator {
    id: &'static str,
    key: PrivateKey,
    file: PathBuf,
}

impl Operator {
    /// Makes a key pair whose public half the server trusts as `id`.
    async fn enrol(server: &Server, algorithm: Algorithm, id: &'static str) -> Self {
        let key = PrivateKey::generate(algorithm).expect("a key");
        let pem = key.public_key().expect("a public key").to_pem();
        server.client(&server.admin_token()).post("/v1/signing-keys", &json!({"public_key": pem, "key_pair_id": id})).await;
        let file = server.scratch().join(format!("{id}.pem"));
        std::fs::write(&file, pem_of(algorithm, &key.to_pkcs8().expect("pkcs8"))).expect("written");
        Self { id, key, file }
    }

    /// Our own signer with the same key.
    fn signer(&self, algorithm: Algorithm) -> Signer {
        Signer::new(PrivateKey::from_pkcs8(algorithm, &self.key.to_pkcs8().expect("pkcs8")).expect("reads back"), self.id)
    }

    fn ask(&self, links: &Value) -> Value {
        json!({"private_key": self.file, "key_pair_id": self.id, "algorithm": "SHA256", "links": links})
    }
}

/// The PEM that botocore's usual helper and aws-cli read: PKCS#1 for RSA, which lies at the end of PKCS#8 (RFC 5958 §2, RFC 8017 §A.1.2).
fn pem_of(algorithm: Algorithm, pkcs8: &[u8]) -> String {
    let (label, der) = match algorithm {
        // SEQUENCE, version, algorithm identifier (15 bytes), OCTET STRING with a length of two bytes.
        Algorithm::Rsa => ("RSA PRIVATE KEY", &pkcs8[26..]),
        Algorithm::Ecdsa => ("PRIVATE KEY", pkcs8),
    };
    let text = BASE64_STANDARD.encode(der);
    let lines: Vec<&str> = (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

impl House {
    async fn open(server: Server) -> Self {
        let file = clip(server.scratch(), "clip.mp4");
        let video = Publishing::begin(&server, &file).plays(&server);
        let admin = server.client(&server.admin_token());
        let playback = admin.post(&format!("/v1/videos/{video}/playback"), &Value::Null).await;
        let url = playback["playback_url"].as_str().expect("a url");
        let (_, path) = url.split_once("/v/").expect("a path");
        let base = format!("/v/{}", path.strip_suffix("/master.m3u8").expect("a master"));
        let master = admin.http.get(url).send().await.expect("an answer").text().await.expect("text");
        let rendition =
            master.lines().find(|line| line.ends_with("/playlist.m3u8")).and_then(|line| line.split('/').next()).expect("a rendition");
        Self { object: format!("{rendition}/000000-1.m4s"), base, server }
    }

    fn url(&self, object: &str) -> String {
        format!("{}{}/{object}", self.server.url(), self.base)
    }

    async fn status(&self, url: &str) -> (u16, String) {
        let answer = self.server.anonymous().http.get(url).send().await.expect("an answer");
        let status = answer.status().as_u16();
        let text = if status == 200 {
            String::new()
        } else {
            answer.json::<Value>().await.expect("json")["code"].as_str().unwrap_or("").to_owned()
        };
        (status, text)
    }
}

/// Runs a signer of others on `asked`; gives what it signed.
fn run(mut command: Command, asked: &Value) -> Value {
    command.env_remove("PYTHONHOME").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("`scripts/setup test` installs the signers");
    child.stdin.take().expect("piped").write_all(asked.to_string().as_bytes()).expect("it listens");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("json")
}

fn tools() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/tools")
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/signing").join(name)
}

fn botocore() -> Command {
    let mut command = Command::new(SYSTEM_PYTHON);
    command.arg(script("signers.py")).env("PYTHONPATH", tools().join("s3-clients"));
    command
}

fn npm_signer() -> Command {
    let mut command = Command::new(if tools().join("bin/node").exists() { tools().join("bin/node") } else { "node".into() });
    command.arg(script("signer.mjs")).env("SIGNER_HOME", tools().join("cloudfront-signer"));
    command
}

fn aws_cli(operator: &Operator, url: &str, more: &[&str]) -> String {
    let mut command = Command::new(SYSTEM_PYTHON);
    command.args(["-m", "awscli", "cloudfront", "sign", "--url", url, "--key-pair-id", operator.id, "--private-key"]);
    command.arg(format!("file://{}", operator.file.display())).args(["--date-less-than", &(now_s() + 600).to_string()]).args(more);
    let output = command.env("PYTHONPATH", tools().join("s3-clients")).env_remove("PYTHONHOME").output().expect("aws-cli is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

/// Tier: `make test`. What botocore signs is accepted for what it allows, and is byte for byte what we sign with the same key.
#[tokio::test]
async fn botocore_and_we_sign_the_same() {
    let house = House::open(Server::start()).await;
    let operator = Operator::enrol(&house.server, Algorithm::Rsa, "KBOTO").await;
    let ours = operator.signer(Algorithm::Rsa);
    let (segment, master, expires) = (house.url(&house.object), house.url("master.m3u8"), now_s() + 600);
    let everything = house.url("*");
    let signed = run(
        botocore(),
        &operator.ask(&json!([
            {"url": segment, "expires": expires},
            {"url": format!("{segment}?a=b"), "expires": expires},
            {"url": master, "expires": expires, "resource": everything},
            {"url": master, "expires": expires, "resource": everything, "ip": "127.0.0.1", "not_before": expires - 1200},
            {"url": master, "expires": expires, "resource": everything, "ip": "192.0.2.0/24"},
            {"url": master, "expires": expires},
            {"url": segment, "expires": expires - 1200},
        ])),
    );
    let policy = Policy::new(everything, expires);
    let local = Policy { network: Some(Network::parse("127.0.0.1").expect("one")), not_before_s: Some(expires - 1200), ..policy.clone() };
    let expected = [
        ours.url(&segment, expires),
        ours.url(&format!("{segment}?a=b"), expires),
        ours.url_with_policy(&master, &policy.text()),
        ours.url_with_policy(&master, &local.text()),
    ];
    let links = signed.as_array().expect("a list");
    assert_eq!(links.len(), 7, "{links:?}");
    for (signed, ours) in links.iter().zip(expected) {
        assert_eq!(signed, &ours.expect("signed"));
    }
    let verdicts =
        [(200, ""), (200, ""), (200, ""), (200, ""), (403, "policy-address"), (403, "canned-policy-playlist"), (403, "policy-expired")];
    for (url, (status, code)) in signed.as_array().expect("a list").iter().zip(verdicts) {
        let url = url.as_str().expect("a url");
        assert_eq!(house.status(url).await, (status, code.to_owned()), "{url}");
    }
}

/// Tier: `make test`. AWS's npm package signs over SHA-256 by RSA and by ECDSA, URLs and cookies.
#[tokio::test]
async fn the_npm_signer_is_understood() {
    let house = House::open(Server::start()).await;
    for (algorithm, id) in [(Algorithm::Rsa, "KNPMRSA"), (Algorithm::Ecdsa, "KNPMEC")] {
        let operator = Operator::enrol(&house.server, algorithm, id).await;
        let (segment, master, expires) = (house.url(&house.object), house.url("master.m3u8"), now_s() + 600);
        let links = json!([
            {"url": segment, "expires": expires},
            {"url": master, "expires": expires, "resource": house.url("*")},
            {"url": segment, "expires": expires, "cookies": true},
            {"url": master, "expires": expires, "resource": house.url("*"), "cookies": true},
        ]);
        let signed = run(npm_signer(), &operator.ask(&links));
        for url in &signed.as_array().expect("a list")[..2] {
            assert_eq!(house.status(url.as_str().expect("a url")).await, (200, String::new()), "{url}");
        }
        for (cookies, url) in [(&signed[2], &segment), (&signed[3], &master)] {
            let pairs: Vec<String> = cookies
                .as_object()
                .expect("cookies")
                .iter()
                .map(|(name, value)| format!("{name}={}", value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
                .collect();
            let answer = house.server.anonymous().http.get(url).header("cookie", pairs.join("; ")).send().await.expect("an answer");
            assert_eq!(answer.status().as_u16(), 200, "{pairs:?}");
        }
    }
}

/// Tier: `make test`. aws-cli signs RSA over SHA-1: refused with a code that says what to append, unless the operator allows it.
#[tokio::test]
async fn aws_cli_is_understood_where_sha1_is_allowed() {
    let mut house = House::open(Server::start()).await;
    let operator = Operator::enrol(&house.server, Algorithm::Rsa, "KCLI").await;
    let signed = aws_cli(&operator, &house.url(&house.object), &[]);
    assert_eq!(house.status(&signed).await, (403, "signature-weak-hash".to_owned()), "{signed}");
    house.server.restart(&[("THEATRUM_SIGNING__ACCEPT_SHA1", "true")]);
    let segment = house.url(&house.object);
    assert_eq!(house.status(&aws_cli(&operator, &segment, &[])).await, (200, String::new()));
    let past = (now_s() - 60).to_string();
    let custom = aws_cli(&operator, &segment, &["--date-greater-than", &past, "--ip-address", "127.0.0.0/8"]);
    assert_eq!(house.status(&custom).await, (200, String::new()), "{custom}");
    let elsewhere = aws_cli(&operator, &segment, &["--ip-address", "192.0.2.7"]);
    assert_eq!(house.status(&elsewhere).await, (403, "policy-address".to_owned()));
}

/// Tier: `make test`. Cookies of a playback open the whole stream, and its keys by the session alone, which can be revoked.
#[tokio::test]
async fn a_playback_by_cookies_plays_and_can_be_revoked() {
    let house = House::open(Server::start()).await;
    let server = &house.server;
    let viewer = server.client(&server.token("viewer", "vera"));
    let video = house.base.split('/').nth(2).expect("an id");
    let answer = viewer.send(Method::POST, &format!("/v1/videos/{video}/playback"), &json!({"delivery": "cookies"})).await;
    let lines: Vec<String> = answer.headers().get_all("set-cookie").iter().map(|line| line.to_str().expect("ascii").to_owned()).collect();
    assert_eq!(header(&answer, "cache-control"), "no-store");
    let session = ok(answer).await;
    assert_eq!(session["playback_url"], house.url("master.m3u8"), "no secret in it");
    for line in &lines {
        for flag in [format!("Path={}/", house.base), "Secure".to_owned(), "HttpOnly".to_owned(), "SameSite=Strict".to_owned()] {
            assert!(line.split("; ").any(|part| part == flag), "{flag} is not in {line}");
        }
    }
    let pairs: Vec<&str> = lines.iter().filter_map(|line| line.split("; ").next()).collect();
    let (cookies, signed) = (pairs.join("; "), pairs.iter().filter(|pair| pair.starts_with("CloudFront-")).copied().collect::<Vec<_>>());
    assert_eq!((pairs.len(), signed.len()), (5, 4), "{pairs:?}");
    assert_eq!(pictures(&house.url("master.m3u8"), &cookies), crate::support::clips::PICTURES);

    let key = |cookies: String| viewer.http.get(house.url("audio/keys/0")).header("cookie", cookies).send();
    problem(key(signed.join("; ")).await.expect("an answer"), 403, "token-missing").await;
    assert_eq!(key(cookies.clone()).await.expect("an answer").bytes().await.expect("a key").len(), 16);
    let revoked = server.cli(&["sessions", "revoke", session["session"].as_str().expect("an id")]);
    assert!(revoked.status.success(), "{revoked:?}");
    problem(key(cookies).await.expect("an answer"), 403, "session-ended").await;
    let entries = server.catalog().await.audit_entries(Some(video), 100).await.expect("entries");
    let last = entries.iter().find(|entry| entry.action == "key").expect("a key's entry");
    assert_eq!((last.actor.as_str(), last.reason.as_str()), ("vera", "session-revoked"));
    problem(viewer.send(Method::POST, &format!("/v1/videos/{video}/playback"), &json!({"delivery": "post"})).await, 400, "bad-delivery")
        .await;
}

/// Plays a stream with cookies; gives how many pictures came.
fn pictures(url: &str, cookies: &str) -> usize {
    let mut command = Command::new("ffmpeg");
    command.args([
        "-v",
        "error",
        "-xerror",
        "-headers",
        &format!("Cookie: {cookies}\r\n"),
        "-i",
        url,
        "-map",
        "0:v:0",
        "-f",
        "framemd5",
        "-",
    ]);
    let output = command.output().expect("ffmpeg is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").lines().filter(|line| line.starts_with("0,")).count()
}
