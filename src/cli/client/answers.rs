//! What the API takes and answers, as this client reads it. `--json` prints these again, so the field order is for people.

use crate::domain::collection::Name;
use crate::domain::ids::{JobId, UploadId, VersionId, VideoId};
use crate::domain::replacement;
use crate::domain::video::{Refusal, Stage, State};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The request that begins an upload.
#[derive(Debug, Serialize)]
pub struct NewUpload<'a> {
    /// The file's own name, without its folder.
    pub filename: &'a str,
    /// The file's size.
    pub size_bytes: u64,
    /// The video whose source it is to replace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaces: Option<&'a VideoId>,
    /// A title; the server makes one from the file name when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<&'a str>,
    /// The collection the video belongs into.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collection: Option<&'a Name>,
}

/// A begun upload.
#[derive(Debug, Deserialize)]
pub struct BegunUpload {
    /// Its id.
    pub upload: UploadId,
    /// The video it will become.
    pub video: VideoId,
    /// The size of every part but the last.
    pub part_size_bytes: u64,
}

/// Where an upload stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UploadState {
    /// It takes parts.
    Open,
    /// It has become a source.
    Finished,
    /// Its owner gave it up.
    Aborted,
    /// It was abandoned for too long.
    Expired,
}

/// An upload as the server sees it.
#[derive(Debug, Deserialize)]
pub struct Upload {
    /// Its id.
    pub upload: UploadId,
    /// The video it becomes.
    pub video: VideoId,
    /// The title it was begun with.
    #[serde(default)]
    pub title: Option<String>,
    /// Whether it replaces the source of a video that is there.
    #[serde(default)]
    pub replaces: bool,
    /// The size it was begun with.
    pub size_bytes: u64,
    /// The size of every part but the last.
    pub part_size_bytes: u64,
    /// Where it stands.
    pub state: UploadState,
    /// The parts that are there.
    #[serde(default)]
    pub received: Vec<PartDeclaration>,
}

/// A part: its number from 1, size and SHA-256 in lowercase hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartDeclaration {
    /// Its number, from 1.
    pub number: u32,
    /// Its size.
    pub size_bytes: u64,
    /// Its digest.
    pub sha256: String,
}

/// A presigned request for one part. Its URL is a secret while it lasts.
#[derive(Deserialize)]
pub struct PartTicket {
    /// The part's number.
    pub number: u32,
    /// The HTTP method.
    pub method: String,
    /// Where to send it.
    pub url: String,
    /// The headers that the signature covers.
    pub headers: BTreeMap<String, String>,
}

/// The answer to `finish`.
#[derive(Debug, Deserialize)]
pub struct FinishedUpload {
    /// The video that is now being made.
    pub video: VideoId,
}

/// A video.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Video {
    /// Its id.
    pub video: VideoId,
    /// Its title, which may hold any character.
    pub title: String,
    /// Who uploaded it.
    pub owner: String,
    /// The collection it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collection: Option<String>,
    /// Where it stands.
    pub state: State,
    /// Whether it can be watched already.
    pub playable: bool,
    /// What its processing is busy with.
    pub stage: Stage,
    /// How much of the processing is done.
    pub percent: u8,
    /// When its upload began.
    pub created_at: i64,
    /// When it could first be watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub playable_at: Option<i64>,
    /// When it was complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_at: Option<i64>,
    /// Its length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// Its width in square pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Its height in pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// Its qualities.
    #[serde(default)]
    pub renditions: Vec<Rendition>,
    /// Whether its source was cut short and published as far as it goes.
    #[serde(default)]
    pub truncated: bool,
    /// Whether it has a poster.
    #[serde(default)]
    pub has_poster: bool,
    /// Why it will not be published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refusal>,
    /// What is being made to replace what plays, or how the last attempt ended; for those who may replace it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replacement: Option<Replacement>,
    /// What of its source it shows; for those who may trim it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trim: Option<Trim>,
    /// The page where people watch it.
    pub watch_url: String,
}

/// A version in the making of a video that plays.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Replacement {
    /// What it is made from.
    pub kind: replacement::Kind,
    /// Where it stands.
    pub state: replacement::State,
    /// What its processing is busy with.
    pub stage: Stage,
    /// How much of the processing is done.
    pub percent: u8,
    /// Why it will not be published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refusal>,
}

/// The part of its source that a video shows.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Trim {
    /// Where it begins in the source.
    pub in_ms: u64,
    /// Where it ends in the source; absent: at its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out_ms: Option<u64>,
    /// The length of the whole source.
    pub source_duration_ms: u64,
}

impl Video {
    /// The video as those who replace it follow it: in processing while its replacement is, then as that ended.
    #[must_use]
    pub fn as_replaced(mut self) -> Self {
        let Some(replacement) = &self.replacement else { return self };
        self.state = match replacement.state {
            replacement::State::Processing => State::Processing,
            replacement::State::Refused => State::Refused,
            replacement::State::Failed | replacement::State::Cancelled => State::Failed,
        };
        (self.stage, self.percent, self.playable) = (replacement.stage, replacement.percent, false);
        self.refusal.clone_from(&replacement.refusal);
        self
    }

    /// Whether somebody called its replacement off.
    pub fn is_called_off(&self) -> bool {
        self.replacement.as_ref().is_some_and(|replacement| replacement.state == replacement::State::Cancelled)
    }
}

/// One quality of a video, or its audio.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Rendition {
    /// Its name.
    pub name: String,
    /// `video` or `audio`.
    pub kind: String,
    /// Its width.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Its height.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
}

/// What is to change of a video; what is absent stays.
#[derive(Debug, Default, Serialize)]
pub struct VideoChanges<'a> {
    /// Another title.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<&'a str>,
    /// Another collection; null for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collection: Option<Option<&'a Name>>,
}

/// A session for watching.
#[derive(Debug, Deserialize)]
pub struct Playback {
    /// The master playlist; whoever holds this URL may watch.
    pub playback_url: String,
}

/// A job.
#[derive(Debug, Serialize, Deserialize)]
pub struct Job {
    /// Its id.
    pub job: JobId,
    /// What it does.
    pub kind: String,
    /// The video it works for.
    pub video: VideoId,
    /// The version it works for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<VersionId>,
    /// `queued`, `running`, `done`, `dead` or `cancelled`.
    pub state: String,
    /// How often it was begun.
    pub attempts: u32,
    /// How often it was claimed.
    pub epoch: u64,
    /// How much of it is done.
    pub progress_percent: u8,
    /// When it may run.
    pub run_at: i64,
    /// Until when its worker holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_until: Option<i64>,
    /// When it was made.
    pub created_at: i64,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<i64>,
    /// Why its last attempt failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// A job that failed for good; cause, stderr_tail and payload only when asked for by its id.
#[derive(Debug, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The job.
    pub job: JobId,
    /// What it was to do.
    pub kind: String,
    /// The video it worked for.
    pub video: VideoId,
    /// When it died.
    pub died_at: i64,
    /// How often it was tried.
    pub attempts: u32,
    /// Why, in a sentence.
    pub reason: String,
    /// Why, with every cause below it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// The last words of its ffmpeg.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stderr_tail: Option<String>,
    /// What it was to work on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<serde_json::Value>,
}

/// A dead job that was put back.
#[derive(Debug, Serialize, Deserialize)]
pub struct Redriven {
    /// The job.
    pub job: JobId,
    /// Its state now.
    pub state: String,
}

/// What a user or a collection has, and may have.
#[derive(Debug, Serialize, Deserialize)]
pub struct Quota {
    /// `user` or `collection`.
    pub kind: String,
    /// Whose it is.
    pub name: String,
    /// What counts towards it.
    pub used_bytes: u64,
    /// The limit, where there is one.
    pub limit_bytes: Option<u64>,
    /// Whether it is that of the settings.
    pub is_default: bool,
}

/// The request for a token.
#[derive(Debug, Serialize)]
pub struct NewToken<'a> {
    /// `admin`, `author` or `viewer`.
    pub role: &'a str,
    /// Whose token it is.
    pub subject: &'a str,
    /// How long it lasts; the server decides when it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_in_s: Option<u64>,
}

/// A token as issued.
#[derive(Serialize, Deserialize)]
pub struct IssuedToken {
    /// The secret.
    pub token: String,
    /// Its role.
    pub role: String,
    /// Whose it is.
    pub subject: String,
    /// When it expires.
    pub expires_at: i64,
}

/// The request for an access key to the inbox.
#[derive(Debug, Serialize)]
pub struct NewS3Credential<'a> {
    /// Whose key it is; the caller's when it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<&'a str>,
    /// The folder it is good for; all of the inbox when it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<&'a str>,
}

/// An access key to the inbox.
#[derive(Debug, Serialize, Deserialize)]
pub struct S3Credential {
    /// Its name.
    pub access_key_id: String,
    /// Whose it is.
    pub subject: String,
    /// What they may do.
    pub role: String,
    /// The folder it is good for.
    pub prefix: String,
    /// When it was made.
    pub created_at: i64,
}

/// An access key that was just made.
#[derive(Serialize, Deserialize)]
pub struct MadeS3Credential {
    /// The key.
    #[serde(flatten)]
    pub key: S3Credential,
    /// Its secret.
    pub secret_access_key: String,
    /// Where the S3 endpoint is.
    pub endpoint_url: String,
    /// The bucket to put files into.
    pub bucket: String,
}

/// Who the caller is.
#[derive(Debug, Deserialize)]
pub struct Session {
    /// The subject.
    pub subject: String,
    /// The role.
    pub role: String,
}
