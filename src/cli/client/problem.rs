//! Refusals into failures: problem documents (RFC 9457) from the API, XML from the S3 endpoint, anything from what lies between.

use crate::cli::failure::Failure;
use reqwest::{Response, StatusCode, header::LOCATION};
use serde::Deserialize;

/// What a repeated request hears whose first try has not ended yet.
const STILL_RUNS: &str = "idempotency-in-progress";

#[derive(Deserialize)]
struct Problem {
    code: String,
    #[serde(default)]
    detail: Option<String>,
    #[serde(default)]
    title: Option<String>,
}

/// The failure that an API answer without success stands for.
pub(super) async fn of_api(response: Response) -> Failure {
    let status = response.status();
    if status.is_redirection() {
        return redirected(&response);
    }
    match super::integrity::whole(response).await {
        Ok(body) => api_failure(status, &body),
        Err(failure) => failure,
    }
}

/// The failure that an answer of the S3 endpoint without success stands for.
pub(super) async fn of_storage(response: Response) -> Failure {
    let status = response.status();
    let body = response.bytes().await.unwrap_or_default();
    storage_failure(status, &String::from_utf8_lossy(&body))
}

fn api_failure(status: StatusCode, body: &[u8]) -> Failure {
    let failure = match serde_json::from_slice::<Problem>(body) {
        Ok(problem) => {
            let message = problem.detail.or(problem.title).unwrap_or_else(|| reason(status));
            Failure::new(problem.code, message)
        }
        Err(_) => Failure::new(format!("http-{}", status.as_u16()), format!("the server answered {}", reason(status))),
    };
    let is_retryable = is_retryable(status) || failure.code() == STILL_RUNS;
    failure.with_status(status.as_u16()).with_retryable(is_retryable)
}

fn storage_failure(status: StatusCode, body: &str) -> Failure {
    let code = element(body, "Code").unwrap_or_else(|| format!("http-{}", status.as_u16()));
    let message = element(body, "Message").unwrap_or_else(|| reason(status));
    Failure::new(code, format!("the storage refused a part: {message}")).with_status(status.as_u16()).with_retryable(is_retryable(status))
}

/// Redirects are never followed: they would carry a token or an upload to a host that nobody named.
fn redirected(response: &Response) -> Failure {
    let target = response.headers().get(LOCATION).and_then(|target| target.to_str().ok()).unwrap_or("another address");
    Failure::new("redirected", format!("the server sends requests on to {target}: set THEATRUM_URL to the address it really has"))
        .with_status(response.status().as_u16())
}

/// 507 is not among them: the server has no room for something new until people make some.
fn is_retryable(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 425 | 429 | 500 | 502..=504)
}

fn reason(status: StatusCode) -> String {
    status.to_string()
}

fn element(xml: &str, name: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    Some(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problem_documents_become_message_and_code() {
        let body = br#"{"type":"about:blank","title":"Conflict","status":409,"code":"parts-missing","detail":"2 parts are missing","missing":[1,2]}"#;
        let failure = api_failure(StatusCode::CONFLICT, body);
        assert_eq!(failure.to_string(), "2 parts are missing (parts-missing)");
        assert_eq!((failure.status(), failure.is_retryable()), (Some(409), false));
    }

    #[test]
    fn a_proxy_that_speaks_html_is_tried_again() {
        let failure = api_failure(StatusCode::BAD_GATEWAY, b"<html>oops</html>");
        assert_eq!(failure.to_string(), "the server answered 502 Bad Gateway (http-502)");
        assert!(failure.is_retryable());
    }

    #[test]
    fn a_server_without_room_is_not_pestered() {
        let body = br#"{"status":507,"code":"insufficient-storage","detail":"there is no room: delete videos"}"#;
        let failure = api_failure(StatusCode::INSUFFICIENT_STORAGE, body);
        assert_eq!(failure.to_string(), "there is no room: delete videos (insufficient-storage)");
        assert!(!failure.is_retryable());
    }

    #[test]
    fn a_request_whose_first_try_still_runs_is_repeated() {
        let body = br#"{"status":409,"code":"idempotency-in-progress","detail":"ask again"}"#;
        assert!(api_failure(StatusCode::CONFLICT, body).is_retryable());
    }

    #[test]
    fn s3_errors_are_read_from_xml() {
        let xml = "<?xml version=\"1.0\"?><Error><Code>BadDigest</Code><Message>no match</Message></Error>";
        let failure = storage_failure(StatusCode::BAD_REQUEST, xml);
        assert_eq!(failure.to_string(), "the storage refused a part: no match (BadDigest)");
        assert_eq!(storage_failure(StatusCode::FORBIDDEN, "").code(), "http-403");
    }
}
