//! Event streams, typed: the changes of a video, and the log of events.

use super::answers::Video;
use super::sse::{Message, Parser};
use super::webhooks::LoggedEvent;
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

/// The changes of a video.
#[derive(Debug)]
pub struct Events(Messages);

/// The log of events, as it grows.
#[derive(Debug)]
pub struct Log(Messages);

/// An open event stream.
#[derive(Debug)]
struct Messages {
    response: Response,
    parser: Parser,
    waiting: VecDeque<Message>,
}

impl Events {
    /// The events of an answer to `GET /v1/changes`.
    pub(super) fn new(response: Response) -> Self {
        Self(Messages::new(response))
    }

    /// The next event. Every end of the stream is a retryable failure: connect again and the current state comes first.
    pub async fn next(&mut self) -> Result<Event, Failure> {
        loop {
            if let Some(event) = understand(&self.0.next().await?)? {
                return Ok(event);
            }
        }
    }
}

impl Log {
    /// The events of an answer to `GET /v1/events/stream`.
    pub(super) fn new(response: Response) -> Self {
        Self(Messages::new(response))
    }

    /// The next event. Every end of the stream is a retryable failure: connect again, after the last event's cursor.
    pub async fn next(&mut self) -> Result<LoggedEvent, Failure> {
        loop {
            let message = self.0.next().await?;
            if message.event != "alive" {
                return serde_json::from_str(&message.data).map_err(|error| misunderstood(&error));
            }
        }
    }
}

impl Messages {
    fn new(response: Response) -> Self {
        Self { response, parser: Parser::default(), waiting: VecDeque::new() }
    }

    async fn next(&mut self) -> Result<Message, Failure> {
        loop {
            if let Some(message) = self.waiting.pop_front() {
                return Ok(message);
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
            Err(error) => Err(misunderstood(&error)),
        },
        "removed" => Ok(Some(Event::Removed)),
        _ => Ok(None),
    }
}

fn misunderstood(error: &serde_json::Error) -> Failure {
    super::protocol(&format!("an event could not be understood ({error})"))
}

fn broken() -> Failure {
    Failure::new("unreachable", "the connection to the server broke off").with_retryable(true)
}
