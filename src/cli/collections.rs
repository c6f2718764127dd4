//! `theatrum collections`: the courses, departments and series that videos are in.

use super::client::Client;
use super::client::lists::Collection;
use super::connection::Connection;
use super::failure::Failure;
use super::text::{self, Table};
use super::{Exit, output};
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(super) enum CollectionsCommand {
    /// List the collections in which you may see a video, by name.
    List {
        /// Print {"collections":[…]} as the API gives them.
        #[arg(long)]
        json: bool,
    },
}

/// Runs a `collections` command against the server.
pub(super) async fn run(connection: Connection, command: CollectionsCommand) -> Result<Exit, Failure> {
    let CollectionsCommand::List { json } = command;
    let list = Client::new(connection).collections().await?;
    if json {
        output::json(&list)?
    } else {
        output::line(&table(&list.collections))?
    }
    Ok(Exit::Done)
}

fn table(collections: &[Collection]) -> String {
    let mut table = Table::new(["COLLECTION", "VIDEOS", "SINCE"]);
    for Collection { collection, videos, created_at } in collections {
        table.row([text::clipped(collection, 60), videos.to_string(), text::utc(*created_at)]);
    }
    table.to_string()
}
