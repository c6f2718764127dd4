//! The event stream of a video, typed.

use super::answers::Video;
use super::sse::{Message, Parser};
use crate::cli::failure::Failure;
use reqwest::Response;
use std::collections::VecDeque;
use std::time::Duration;

/// Three of the server's heartbeats: a connection silent for longer is dead, whatever TCP believes.
const SILENCE_LIMIT: Duration = Duration::from_secs(45);

/// What happened to a video.
#[derive(Debug)]
pub enum Event {
    /// It changed; this is its state now.
    Changed(Box<Video>),
    /// It is gone.
    Removed,
}

/// An open event stream.
#[derive(Debug)]
pub struct Events {
    response: Response,
    parser: Parser,
    waiting: VecDeque<Message>,
}

impl Events {
    /// The events of an answer to `GET /v1/events`.
    pub(super) fn new(response: Response) -> Self {
        Self { response, parser: Parser::default(), waiting: VecDeque::new() }
    }

    /// The next event. Every end of the stream is a retryable failure: connect again and the current state comes first.
    pub async fn next(&mut self) -> Result<Event, Failure> {
        loop {
            while let Some(message) = self.waiting.pop_front() {
                if let Some(event) = understand(&message)? {
                    return Ok(event);
                }
            }
            let chunk = tokio::time::timeout(SILENCE_LIMIT, self.response.chunk()).await;
            let bytes = chunk.map_err(|_| broken())?.map_err(|_| broken())?.ok_or_else(broken)?;
            self.waiting.extend(self.parser.push(&bytes).map_err(|_| super::protocol("the server's event stream has a line without end"))?);
        }
    }
}

fn understand(message: &Message) -> Result<Option<Event>, Failure> {
    match message.event.as_str() {
        "video" => match serde_json::from_str(&message.data) {
            Ok(video) => Ok(Some(Event::Changed(video))),
            Err(error) => Err(super::protocol(&format!("an event could not be understood ({error})"))),
        },
        "removed" => Ok(Some(Event::Removed)),
        _ => Ok(None),
    }
}

fn broken() -> Failure {
    Failure::new("unreachable", "the connection to the server broke off").with_retryable(true)
}
