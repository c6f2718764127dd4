//! `theatrum sessions`: who watches a video, and the end of one of its playback sessions.

use super::client::Client;
use super::client::sessions::PlaybackSession;
use super::connection::Connection;
use super::failure::Failure;
use super::text::{self, Table};
use super::{Exit, output};
use crate::domain::ids::{SessionId, VideoId};
use clap::Subcommand;
use serde_json::json;

#[derive(Debug, Subcommand)]
pub(super) enum SessionsCommand {
    /// List the playback sessions of a video that have not expired.
    List {
        /// The video's id.
        #[arg(value_name = "VIDEO", value_parser = VideoId::parse)]
        video: VideoId,
        /// Print {"sessions":[…]} as the API gives them.
        #[arg(long)]
        json: bool,
    },
    /// Revoke a playback session: it gets no key from then on.
    Revoke {
        /// The session's id, from the list or the audit log.
        #[arg(value_name = "SESSION", value_parser = SessionId::parse)]
        session: SessionId,
        /// Print {"session":ID,"state":"revoked"}.
        #[arg(long)]
        json: bool,
    },
}

/// Runs a `sessions` command against the server.
pub(super) async fn run(connection: Connection, command: SessionsCommand) -> Result<Exit, Failure> {
    let client = Client::new(connection);
    match command {
        SessionsCommand::List { video, json } => {
            let list = client.playback_sessions(&video).await?;
            if json { output::json(&list)? } else { output::line(&table(&list.sessions))? }
        }
        SessionsCommand::Revoke { session, json } => {
            client.revoke_playback_session(&session).await?;
            let told = json!({ "session": session, "state": "revoked" });
            if json { output::json(&told)? } else { output::note(&format!("revoked {session}: it gets no key any more")) }
        }
    }
    Ok(Exit::Done)
}

fn table(sessions: &[PlaybackSession]) -> String {
    let mut table = Table::new(["SESSION", "VIEWER", "ROLE", "BEGAN", "ENDS", "REVOKED"]);
    for session in sessions {
        table.row([
            session.session.to_string(),
            text::clipped(&session.subject, 20),
            text::clipped(&session.role, 8),
            text::utc(session.created_at),
            text::utc(session.expires_at),
            session.revoked_at.map_or_else(|| "-".to_owned(), text::utc),
        ]);
    }
    table.to_string()
}
