//! Messages by the Standard Webhooks specification 1.0.0: the body, and the three headers that prove where it comes from.

use crate::catalog::outbox::Event;
use crate::domain::{Error, Result};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use chrono::{DateTime, SecondsFormat};
use serde_json::{Value, json};

/// One message, the same at every attempt.
#[derive(Clone, Debug)]
pub struct Message {
    /// `webhook-id`: names the message, so that whoever gets it twice can tell.
    pub id: String,
    /// JSON: `type`, `timestamp`, `data`.
    pub body: Bytes,
}

impl Message {
    /// Tells of `event`, under the name `id`.
    pub fn of(id: &impl ToString, event: &Event) -> Result<Self> {
        let data = serde_json::from_str(&event.payload).map_err(|error| Error::internal("an event's payload is no JSON", error))?;
        Ok(Self::new(id, &event.kind, event.created_at, data))
    }

    /// A message of this type about `data`; `at` is when it happened, epoch milliseconds.
    pub fn new(id: &impl ToString, kind: &str, at: i64, data: Value) -> Self {
        let body = json!({"type": kind, "timestamp": moment(at), "data": data});
        Self { id: id.to_string(), body: body.to_string().into() }
    }

    /// `webhook-signature` of an attempt at `timestamp_s` (epoch seconds): one signature for each key, separated by blanks (section "Signature
    /// scheme").
    pub(super) fn signatures<'a>(&self, timestamp_s: i64, keys: impl Iterator<Item = &'a [u8]>) -> String {
        let signed = [self.id.as_bytes(), b".", timestamp_s.to_string().as_bytes(), b".", &self.body].concat();
        let signature = |key| {
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), &signed);
            format!("v1,{}", STANDARD.encode(tag.as_ref()))
        };
        keys.map(signature).collect::<Vec<_>>().join(" ")
    }
}

/// A moment (epoch milliseconds) as RFC 3339 writes it.
pub fn moment(at: i64) -> String {
    DateTime::from_timestamp_millis(at).unwrap_or_default().to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's reference libraries.
    #[test]
    fn the_signature_is_that_of_the_specification() {
        let message = Message { id: "msg_p5jXN8AQM9LWM0D4loKWxJek".to_owned(), body: Bytes::from_static(br#"{"test": 2432232314}"#) };
        let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("base64");
        let signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(message.signatures(1_614_265_330, [&*key].into_iter()), signature);
        let both = message.signatures(1_614_265_330, [&*key, b"another"].into_iter());
        assert!(both.starts_with(&format!("{signature} v1,")) && both.matches("v1,").count() == 2);
    }

    #[test]
    fn a_body_says_what_when_and_about_what() {
        let event = Event {
            seq: 7,
            kind: "video.ready".to_owned(),
            video: "v".to_owned(),
            payload: r#"{"video":"v","state":"ready"}"#.to_owned(),
            created_at: 1_790_000_000_123,
        };
        let body = Message::of(&"m", &event).expect("a message").body;
        let expected = r#"{"data":{"state":"ready","video":"v"},"timestamp":"2026-09-21T14:13:20.123Z","type":"video.ready"}"#;
        assert_eq!(body, expected);
    }
}
