//! `theatrum dead`: jobs that failed for good, why, and back into the queue with them.

use super::client::{Client, answers::DeadLetter};
use super::connection::Connection;
use super::failure::Failure;
use super::text::{self, Table, Visible};
use super::{Exit, output};
use crate::domain::ids::JobId;
use clap::Subcommand;
use std::fmt::Write;

#[derive(Debug, Subcommand)]
pub(super) enum DeadCommand {
    /// List dead letters.
    List {
        /// Print {"dead":[…]} as the API gives them.
        #[arg(long)]
        json: bool,
    },
    /// Show one dead letter with its cause and the last words of its ffmpeg.
    Show {
        /// The job's id.
        #[arg(value_name = "JOB", value_parser = JobId::parse)]
        job: JobId,
        /// Print the letter as the API gives it.
        #[arg(long)]
        json: bool,
    },
    /// Put a dead job back into the queue.
    Redrive {
        /// The job's id.
        #[arg(value_name = "JOB", value_parser = JobId::parse)]
        job: JobId,
        /// Print {"job":ID,"state":…}.
        #[arg(long)]
        json: bool,
    },
}

/// Runs a `dead` command against the server.
pub(super) async fn run(connection: Connection, command: DeadCommand) -> Result<Exit, Failure> {
    let client = Client::new(connection);
    match command {
        DeadCommand::List { json } => {
            let list = client.dead_letters().await?;
            if json { output::json(&list)? } else { output::line(&table(&list.dead))? }
        }
        DeadCommand::Show { job, json } => {
            let letter = client.dead_letter(&job).await?;
            if json { output::json(&letter)? } else { output::line(&details(&letter))? }
        }
        DeadCommand::Redrive { job, json } => {
            let redriven = client.redrive(&job).await?;
            let told = format!("{} is {}", redriven.job, Visible(&redriven.state));
            if json { output::json(&redriven)? } else { output::note(&told) }
        }
    }
    Ok(Exit::Done)
}

fn table(letters: &[DeadLetter]) -> String {
    let mut table = Table::new(["JOB", "KIND", "VIDEO", "DIED", "TRIES", "REASON"]);
    for letter in letters {
        table.row([
            letter.job.to_string(),
            text::clipped(&letter.kind, 12),
            letter.video.to_string(),
            text::utc(letter.died_at),
            letter.attempts.to_string(),
            text::clipped(&letter.reason, 60),
        ]);
    }
    table.to_string()
}

fn details(letter: &DeadLetter) -> String {
    let mut shown = format!(
        "job       {}\nkind      {}\nvideo     {}\ndied      {} after {} tries\nreason    {}",
        letter.job,
        Visible(&letter.kind),
        letter.video,
        text::utc(letter.died_at),
        letter.attempts,
        Visible(&letter.reason),
    );
    if let Some(cause) = &letter.cause {
        let _written = write!(shown, "\ncause     {}", Visible(cause));
    }
    if let Some(payload) = &letter.payload {
        let _written = write!(shown, "\npayload   {}", Visible(&payload.to_string()));
    }
    for line in letter.stderr_tail.as_deref().unwrap_or_default().lines() {
        let _written = write!(shown, "\nffmpeg    {}", Visible(line));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_shows_its_cause_and_what_ffmpeg_said() {
        let id = "0123456789abcdef0123456789abcdef";
        let answer = format!(
            r#"{{"job":"{id}","kind":"encode","video":"{id}","died_at":0,"attempts":5,"reason":"ffmpeg ended","cause":"exit code 1","stderr_tail":"a\n\u001b[31mb\n","payload":{{"chunk":3}}}}"#
        );
        let letter: DeadLetter = serde_json::from_str(&answer).expect("a letter");
        insta::assert_snapshot!(details(&letter), @r#"
        job       0123456789abcdef0123456789abcdef
        kind      encode
        video     0123456789abcdef0123456789abcdef
        died      1970-01-01 00:00:00 UTC after 5 tries
        reason    ffmpeg ended
        cause     exit code 1
        payload   {"chunk":3}
        ffmpeg    a
        ffmpeg    \u{1b}[31mb
        "#);
    }
}
