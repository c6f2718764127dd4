//! `theatrum videos`: list, show, edit, trim, delete.

mod trim;

use super::client::Client;
use super::client::answers::{Replacement, Trim, Video, VideoChanges};
use super::connection::Connection;
use super::failure::Failure;
use super::text::{self, Table, Visible};
use super::{Exit, output};
use crate::domain::collection::Name;
use crate::domain::ids::VideoId;
use crate::domain::replacement;
use crate::domain::video::State;
use clap::{ArgGroup, Subcommand};
use serde_json::json;
use std::fmt::Write;

#[derive(Debug, Subcommand)]
pub(super) enum VideosCommand {
    /// List videos, newest first.
    List {
        /// At most this many [default: all].
        #[arg(long, value_name = "N")]
        limit: Option<u32>,
        /// Only those in this collection.
        #[arg(long, value_name = "NAME", value_parser = Name::parse)]
        collection: Option<Name>,
        /// Print {"videos":[…]} as the API gives them.
        #[arg(long)]
        json: bool,
    },
    /// Show one video.
    Show {
        /// The video's id.
        #[arg(value_name = "ID", value_parser = VideoId::parse)]
        video: VideoId,
        /// Print the video as the API gives it.
        #[arg(long)]
        json: bool,
    },
    /// Show only a part of a video's source; what plays now plays until the new version is ready.
    ///
    /// Times count from the beginning of the source, whatever was trimmed before, so that every trim can be undone: --whole.
    Trim {
        /// The video's id.
        #[arg(value_name = "ID", value_parser = VideoId::parse)]
        video: VideoId,
        /// Where to begin, such as 00:01:30 or 90.5 [default: at the beginning].
        #[arg(long, value_name = "TIME", value_parser = text::point)]
        from: Option<u64>,
        /// Where to end, such as 1:02:00 [default: at the end].
        #[arg(long, value_name = "TIME", value_parser = text::point)]
        to: Option<u64>,
        /// Show all of the source again.
        #[arg(long, conflicts_with_all = ["from", "to"], required_unless_present_any = ["from", "to"])]
        whole: bool,
        /// Print the video as the API gives it.
        #[arg(long)]
        json: bool,
    },
    /// Give a video another title or collection.
    #[command(group(ArgGroup::new("change").args(["title", "collection", "no_collection"]).required(true).multiple(true)))]
    Edit {
        /// The video's id.
        #[arg(value_name = "ID", value_parser = VideoId::parse)]
        video: VideoId,
        /// The new title.
        #[arg(long, value_name = "TITLE")]
        title: Option<String>,
        /// The collection it shall be in.
        #[arg(long, value_name = "NAME", value_parser = Name::parse)]
        collection: Option<Name>,
        /// Take it out of its collection.
        #[arg(long, conflicts_with = "collection")]
        no_collection: bool,
        /// Print the video as the API gives it.
        #[arg(long)]
        json: bool,
    },
    /// Call off what is being made to replace a video; what plays stays.
    CancelReplacement {
        /// The video's id.
        #[arg(value_name = "ID", value_parser = VideoId::parse)]
        video: VideoId,
        /// Print {"video":ID,"replacement":"cancelled"}.
        #[arg(long)]
        json: bool,
    },
    /// Delete one video for good: its keys first, then its files.
    Delete {
        /// The video's id.
        #[arg(value_name = "ID", value_parser = VideoId::parse)]
        video: VideoId,
        /// Print {"video":ID,"state":"deleted"}.
        #[arg(long)]
        json: bool,
    },
}

/// Runs a `videos` command against the server.
pub(super) async fn run(connection: Connection, command: VideosCommand) -> Result<Exit, Failure> {
    let client = Client::new(connection);
    match command {
        VideosCommand::List { limit, collection, json } => {
            let list = client.videos(limit, collection.as_ref()).await?;
            if json { output::json(&list)? } else { output::line(&table(&list.videos))? }
        }
        VideosCommand::Show { video, json } => {
            let video = client.video(&video).await?;
            if json { output::json(&video)? } else { output::line(&details(&video))? }
        }
        VideosCommand::Trim { video, from, to, whole: _, json } => {
            let video = trim::run(&client, &video, from.unwrap_or(0), to).await?;
            if json { output::json(&video)? } else { output::line(&details(&video))? }
        }
        VideosCommand::CancelReplacement { video, json } => {
            client.cancel_replacement(&video).await?;
            let said = json!({ "video": video, "replacement": "cancelled" });
            if json { output::json(&said)? } else { output::note(&format!("called off what was to replace {video}")) }
        }
        VideosCommand::Edit { video, title, collection, no_collection, json } => {
            let collection = if no_collection { Some(None) } else { collection.as_ref().map(Some) };
            let video = client.edit_video(&video, &VideoChanges { title: title.as_deref(), collection }).await?;
            if json { output::json(&video)? } else { output::line(&details(&video))? }
        }
        VideosCommand::Delete { video, json } => {
            client.delete_video(&video).await?;
            if json { output::json(&json!({ "video": video, "state": "deleted" }))? } else { output::note(&format!("deleted {video}")) }
        }
    }
    Ok(Exit::Done)
}

fn table(videos: &[Video]) -> String {
    let mut table = Table::new(["VIDEO", "STATE", "LENGTH", "CREATED", "OWNER", "TITLE"]);
    for video in videos {
        table.row([
            video.video.to_string(),
            state(video),
            video.duration_ms.map(text::clock).unwrap_or_default(),
            text::utc(video.created_at),
            text::clipped(&video.owner, 20),
            text::clipped(&video.title, 50),
        ]);
    }
    table.to_string()
}

fn state(video: &Video) -> String {
    match video.state {
        State::Processing if video.playable => format!("playable {} %", video.percent),
        State::Processing => format!("processing {} %", video.percent),
        settled => settled.as_str().to_owned(),
    }
}

fn replaced(replacement: &Replacement) -> String {
    match (replacement.state, &replacement.refusal) {
        (replacement::State::Processing, _) => format!("soon, {} %", replacement.percent),
        (replacement::State::Refused, Some(refusal)) => format!("no: {} ({})", Visible(&refusal.message), Visible(&refusal.code)),
        (state, _) => format!("no: {}", state.as_str()),
    }
}

fn details(video: &Video) -> String {
    let mut shown = format!("title     {}\nvideo     {}\nstate     {}", Visible(&video.title), video.video, state(video));
    let mut add = |name: &str, value: &str| {
        // Writing to a String cannot fail.
        let _written = write!(shown, "\n{name:<9} {value}");
    };
    if let Some(refusal) = &video.refusal {
        add("refused", &format!("{} ({})", Visible(&refusal.message), Visible(&refusal.code)));
    }
    if let Some(replacement) = &video.replacement {
        add("replaced", &replaced(replacement));
    }
    if let Some(Trim { in_ms, out_ms, source_duration_ms }) = video.trim.filter(|trim| trim.in_ms > 0 || trim.out_ms.is_some()) {
        let until = out_ms.unwrap_or(source_duration_ms);
        add("trimmed", &format!("{} to {} of {}", text::clock(in_ms), text::clock(until), text::clock(source_duration_ms)));
    }
    if video.truncated {
        add("note", "the source was cut short; the video goes as far as it does");
    }
    if let Some(collection) = &video.collection {
        add("in", &Visible(collection).to_string());
    }
    add("owner", &Visible(&video.owner).to_string());
    add("created", &text::utc(video.created_at));
    if let Some(ready_at) = video.ready_at {
        add("ready", &text::utc(ready_at));
    }
    if let Some(duration_ms) = video.duration_ms {
        add("length", &text::clock(duration_ms));
    }
    if let (Some(width), Some(height)) = (video.width, video.height) {
        add("picture", &format!("{width}×{height}"));
    }
    let renditions: Vec<_> = video.renditions.iter().map(|rendition| Visible(&rendition.name).to_string()).collect();
    if !renditions.is_empty() {
        add("qualities", &renditions.join(", "));
    }
    add("watch", &Visible(&video.watch_url).to_string());
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn video(title: &str, extra: serde_json::Value) -> Video {
        let mut value = json!({
            "video": "0123456789abcdef0123456789abcdef", "title": title, "owner": "admin", "state": "ready", "playable": true,
            "stage": "done", "percent": 100, "created_at": 0, "renditions": [], "watch_url": "http://h/watch/0123456789abcdef0123456789abcdef"
        });
        value.as_object_mut().expect("object").extend(extra.as_object().expect("object").clone());
        serde_json::from_value(value).expect("a video")
    }

    #[test]
    fn a_hostile_title_cannot_leave_its_cell() {
        let shown = table(&[video("x\u{1b}[31m\r\nfake row", json!({}))]);
        assert_eq!(shown.lines().count(), 2);
        assert!(shown.ends_with(r"x\u{1b}[31m\r\nfake row"), "{shown}");
    }

    #[test]
    fn a_refusal_is_shown_with_its_reason() {
        let refusal = json!({"state": "refused", "refusal": {"code": "no-picture", "message": "this file holds no picture"}});
        insta::assert_snapshot!(details(&video("Lecture", refusal)), @r"
        title     Lecture
        video     0123456789abcdef0123456789abcdef
        state     refused
        refused   this file holds no picture (no-picture)
        owner     admin
        created   1970-01-01 00:00:00 UTC
        watch     http://h/watch/0123456789abcdef0123456789abcdef
        ");
    }

    #[test]
    fn json_keeps_the_names_of_the_api() {
        let text = serde_json::to_string(&video("T", json!({"duration_ms": 5}))).expect("serializable");
        insta::assert_snapshot!(text, @r#"{"video":"0123456789abcdef0123456789abcdef","title":"T","owner":"admin","state":"ready","playable":true,"stage":"done","percent":100,"created_at":0,"duration_ms":5,"renditions":[],"truncated":false,"has_poster":false,"watch_url":"http://h/watch/0123456789abcdef0123456789abcdef"}"#);
    }
}
