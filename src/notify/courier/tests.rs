//! Where messages go and where they do not, against real listeners.

use super::*;
use crate::kms::Keyring;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

const PATIENCE: Duration = Duration::from_secs(10);

/// An endpoint on a loopback address that answers everyone the same; gives its port, and what it was sent.
async fn endpoint(answer: &'static [u8]) -> (u16, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let (heard, hearing) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 65_536];
            let length = stream.read(&mut request).await.unwrap_or_default();
            let _ = heard.send(String::from_utf8_lossy(&request[..length]).into_owned());
            let _ = stream.write_all(answer).await;
        }
    });
    (port, hearing)
}

/// A courier that may call these networks, and what it posts with.
async fn post(allowed: &[&str], timeout: Duration, url: &str) -> Answer {
    let folder = tempfile::tempdir().expect("a folder");
    let kms = Kms::Local(Arc::new(Keyring::open_or_create(&folder.path().join("keyring.json")).expect("a keyring")));
    let webhook = WebhookId::new();
    let current = kms.wrap(&secret_context(&webhook), &[7; 32]).await.expect("wraps");
    let allow_private = allowed.iter().map(|network| network.parse().expect("a network")).collect();
    let rules = Arc::new(Rules { allow_private, allow_http: true });
    let message = Message::new(&"m", "webhook.test", 0, json!({}));
    let secrets = Secrets { current, former: None };
    Courier::new(kms, rules, timeout).post(&webhook, url, &secrets, &message).await.expect("no failure of ours")
}

const LOOPBACK: &[&str] = &["127.0.0.0/8", "::1/128"];
const TAKEN: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";

/// A private address is refused whether it is written down, written oddly, or found behind a name; nobody there hears a byte.
#[tokio::test]
async fn a_private_address_is_not_called_by_any_name() {
    let (port, mut heard) = endpoint(TAKEN).await;
    for host in ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "0.0.0.0"] {
        let answer = post(&[], PATIENCE, &format!("http://{host}:{port}/hook")).await;
        assert_eq!((answer.error, answer.status), (Some("private-address"), None), "{host}");
    }
    assert!(heard.try_recv().is_err(), "nobody was called");
    let answer = post(LOOPBACK, PATIENCE, &format!("http://localhost:{port}/hook")).await;
    assert_eq!((answer.error, answer.status), (None, Some(204)));
    let request = heard.recv().await.expect("a request").to_lowercase();
    for header in
        ["post /hook http/1.1", "content-type: application/json", "webhook-id: m", "webhook-timestamp: ", "webhook-signature: v1,"]
    {
        assert!(request.contains(header), "{header}: {request}");
    }
}

#[tokio::test]
async fn a_redirection_is_not_followed_and_an_answer_is_read_to_a_bound() {
    let (port, mut heard) = endpoint(b"HTTP/1.1 307 x\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n").await;
    let answer = post(LOOPBACK, PATIENCE, &format!("http://127.0.0.1:{port}/")).await;
    assert_eq!((answer.error, answer.status), (Some("redirected"), Some(307)));
    heard.recv().await.expect("the first request");
    assert!(heard.try_recv().is_err(), "and no second");
    // It announces more than anyone will wait for, and sends a little.
    let (port, _heard) = endpoint(b"HTTP/1.1 503 x\r\nRetry-After: 99999\r\nContent-Length: 99999999\r\n\r\nno\x00\x1b[31m room").await;
    let answer = post(LOOPBACK, PATIENCE, &format!("http://127.0.0.1:{port}/")).await;
    assert_eq!((answer.error, answer.status, answer.text.as_deref()), (Some("refused-by-endpoint"), Some(503), Some("no[31m room")));
    assert_eq!(answer.retry_after, Some(LONGEST_RETRY_AFTER));
}

#[tokio::test]
async fn silence_and_absence_have_codes_of_their_own() {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", silent.local_addr().expect("bound"));
    assert_eq!(post(LOOPBACK, Duration::from_millis(100), &url).await.error, Some("timeout"));
    drop(silent);
    assert_eq!(post(LOOPBACK, PATIENCE, &url).await.error, Some("unreachable"));
    let (port, _heard) = endpoint(b"this is no TLS").await;
    assert_eq!(post(LOOPBACK, PATIENCE, &format!("https://127.0.0.1:{port}/")).await.error, Some("tls-failed"));
}
