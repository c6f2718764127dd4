//! `theatrum events`: what happened to videos.

use super::client::{Client, webhooks::LoggedEvent};
use super::connection::Connection;
use super::failure::Failure;
use super::text::Visible;
use super::{Exit, output};
use crate::domain::event::Kind;
use clap::Args;
use std::time::Duration;

/// Until a stream that broke off is asked for again.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(super) struct EventsArgs {
    /// Only what came after this event: the `cursor` of --json.
    #[arg(long, value_name = "CURSOR")]
    after: Option<String>,
    /// Only these kinds, such as video.ready,video.refused.
    #[arg(long, value_name = "KINDS", value_delimiter = ',', value_parser = kind)]
    types: Vec<String>,
    /// Wait for what happens, from now on or from --after; ends when interrupted.
    #[arg(long)]
    follow: bool,
    /// Print each event as the API gives it, a line each.
    #[arg(long)]
    json: bool,
}

/// The name of a kind of event.
pub(super) fn kind(text: &str) -> Result<String, crate::domain::Error> {
    Kind::parse(text.trim()).map(|kind| kind.as_str().to_owned())
}

/// Runs `events` against the server.
pub(super) async fn run(connection: Connection, args: EventsArgs) -> Result<Exit, Failure> {
    let client = Client::new(connection);
    let types = (!args.types.is_empty()).then(|| args.types.join(","));
    if args.follow {
        return follow(&client, args.after, types.as_deref(), args.json).await;
    }
    let mut after = args.after;
    loop {
        let page = client.log_page(after.as_deref(), types.as_deref()).await?;
        for event in &page.events {
            print(event, args.json)?;
        }
        match page.next_cursor {
            Some(next) if Some(&next) != after.as_ref() => after = Some(next),
            _ => return Ok(Exit::Done),
        }
    }
}

/// A stream that ends is asked for again after the last event; only a refusal is the end.
async fn follow(client: &Client, mut after: Option<String>, types: Option<&str>, json: bool) -> Result<Exit, Failure> {
    let mut log = client.follow_log(after.as_deref(), types).await?;
    loop {
        match log.next().await {
            Ok(event) => {
                print(&event, json)?;
                after = Some(event.cursor);
            }
            Err(failure) if failure.is_retryable() => log = again(client, after.as_deref(), types).await?,
            Err(failure) => return Err(failure),
        }
    }
}

async fn again(client: &Client, after: Option<&str>, types: Option<&str>) -> Result<super::client::events::Log, Failure> {
    let mut told = false;
    loop {
        match client.follow_log(after, types).await {
            Err(failure) if failure.is_retryable() => {
                if !std::mem::replace(&mut told, true) {
                    output::note(&format!("theatrum: {failure}; trying again"));
                }
                tokio::time::sleep(PAUSE).await;
            }
            opened => return opened,
        }
    }
}

fn print(event: &LoggedEvent, json: bool) -> Result<(), Failure> {
    if json { output::json(event) } else { output::line(&for_people(event)) }
}

fn for_people(event: &LoggedEvent) -> String {
    let members = event.data.as_object().into_iter().flatten().filter(|(name, value)| *name != "video" && !value.is_null());
    let members: Vec<String> =
        members.map(|(name, value)| format!("{name}={}", value.as_str().map_or_else(|| value.to_string(), str::to_owned))).collect();
    let video = event.data["video"].as_str().unwrap_or_default();
    let line = format!("{}  {:<22} {video}  {}", event.timestamp, event.kind, members.join(" "));
    Visible(&line).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_event_is_a_line() {
        let data = json!({"video": "0123456789abcdef0123456789abcdef", "state": "refused", "version": null, "code": "no\nvideo"});
        let event = LoggedEvent { cursor: "c".into(), kind: "video.refused".into(), timestamp: "2026-11-22T05:00:00.000Z".into(), data };
        insta::assert_snapshot!(for_people(&event), @r"2026-11-22T05:00:00.000Z  video.refused          0123456789abcdef0123456789abcdef  code=no\nvideo state=refused");
    }
}
