//! `theatrum jobs`: the work behind the videos.

use super::client::{Client, answers::Job};
use super::connection::Connection;
use super::failure::Failure;
use super::text::{self, Table};
use super::{Exit, output};
use crate::domain::ids::VideoId;
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(super) enum JobsCommand {
    /// List jobs.
    List {
        /// Only jobs in this state.
        #[arg(long, value_name = "STATE", value_parser = ["queued", "running", "done", "dead", "cancelled"])]
        state: Option<String>,
        /// Only jobs of this video.
        #[arg(long, value_name = "ID", value_parser = VideoId::parse)]
        video: Option<VideoId>,
        /// Print {"jobs":[…]} as the API gives them.
        #[arg(long)]
        json: bool,
    },
}

/// Runs a `jobs` command against the server.
pub(super) async fn run(connection: Connection, command: JobsCommand) -> Result<Exit, Failure> {
    let JobsCommand::List { state, video, json } = command;
    let client = Client::new(connection);
    let list = client.jobs(state.as_deref(), video.as_ref()).await?;
    if json {
        output::json(&list)?
    } else {
        output::line(&table(&list.jobs))?
    }
    Ok(Exit::Done)
}

fn table(jobs: &[Job]) -> String {
    let mut table = Table::new(["JOB", "KIND", "VIDEO", "STATE", "DONE", "TRIES", "CREATED", "LAST ERROR"]);
    for job in jobs {
        table.row([
            job.job.to_string(),
            text::clipped(&job.kind, 12),
            job.video.to_string(),
            text::clipped(&job.state, 12),
            format!("{:>3} %", job.progress_percent),
            job.attempts.to_string(),
            text::utc(job.created_at),
            text::clipped(job.last_error.as_deref().unwrap_or_default(), 60),
        ]);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_read_from_the_api_and_aligned() {
        let id = "0123456789abcdef0123456789abcdef";
        let answer = format!(
            r#"[{{"job":"{id}","kind":"encode","video":"{id}","version":"{id}","state":"running","attempts":2,"epoch":3,"progress_percent":7,"run_at":0,"lease_until":1,"created_at":0,"last_error":"worker\nlost"}}]"#
        );
        let jobs: Vec<Job> = serde_json::from_str(&answer).expect("jobs");
        insta::assert_snapshot!(table(&jobs), @r"
        JOB                               KIND    VIDEO                             STATE    DONE   TRIES  CREATED                  LAST ERROR
        0123456789abcdef0123456789abcdef  encode  0123456789abcdef0123456789abcdef  running    7 %  2      1970-01-01 00:00:00 UTC  worker\nlost
        ");
    }
}
