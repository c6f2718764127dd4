//! `theatrum token`: access tokens for people and programs.

use super::client::{Client, answers::NewToken};
use super::connection::Connection;
use super::failure::Failure;
use super::text::{self, Visible};
use super::{Exit, output};
use clap::{Subcommand, ValueEnum};

#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Issue an access token; the token alone goes to standard output.
    Issue {
        /// What its bearer may do.
        #[arg(long)]
        role: Role,
        /// Whom it stands for, as the audit log will name them.
        #[arg(long, value_name = "NAME")]
        subject: String,
        /// How long it lasts: 90s, 30m, 12h or 7d [default: the server's].
        #[arg(long, value_name = "TIME", value_parser = text::seconds)]
        expires_in: Option<u64>,
        /// Print {"token":…,"role":…,"subject":…,"expires_at":…}.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Role {
    /// Everything.
    Admin,
    /// Upload; see, watch and delete their own videos; list and watch finished ones.
    Author,
    /// List and watch finished videos.
    Viewer,
}

impl Role {
    fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Author => "author",
            Self::Viewer => "viewer",
        }
    }
}

/// Runs a `token` command against the server.
pub(super) async fn run(connection: Connection, command: TokenCommand) -> Result<Exit, Failure> {
    let TokenCommand::Issue { role, subject, expires_in, json } = command;
    let wanted = NewToken { role: role.as_str(), subject: &subject, expires_in_s: expires_in };
    let issued = Client::new(connection).issue_token(&wanted).await?;
    if json {
        output::json(&issued)?;
    } else {
        output::line(&issued.token)?;
        let until = text::utc(issued.expires_at);
        output::note(&format!("{} for {}, until {until}; keep it like a password", Visible(&issued.role), Visible(&issued.subject)));
    }
    Ok(Exit::Done)
}
