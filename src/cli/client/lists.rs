//! Lists, put together from the pages that the API gives.

use super::answers::{DeadLetter, Job, Quota, S3Credential, Video};
use super::sessions::PlaybackSession;
use super::webhooks::{Deliveries, Webhooks};
use super::{Client, PAGE, protocol, with_query};
use crate::cli::failure::Failure;
use crate::domain::collection::Name;
use crate::domain::ids::{VideoId, WebhookId};
use reqwest::Method;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A page of a list, and the list that grows of them.
trait Page: DeserializeOwned {
    fn next_cursor(&mut self) -> Option<String>;
    fn append(&mut self, later: Self);
    /// Takes away what is beyond `most`; gives whether there are that many.
    fn shorten(&mut self, most: usize) -> bool;
}

macro_rules! pages {
    ($($list:ident of $member:ident),* $(,)?) => {$(
        impl Page for $list {
            fn next_cursor(&mut self) -> Option<String> {
                self.next_cursor.take()
            }

            fn append(&mut self, later: Self) {
                self.$member.extend(later.$member);
                self.next_cursor = later.next_cursor;
            }

            fn shorten(&mut self, most: usize) -> bool {
                self.$member.truncate(most);
                self.$member.len() == most
            }
        }
    )*};
}

pages!(
    Videos of videos,
    Collections of collections,
    Jobs of jobs,
    DeadLetters of dead,
    Quotas of quotas,
    S3Credentials of credentials,
    PlaybackSessions of sessions,
    Webhooks of webhooks,
    Deliveries of deliveries,
);

/// Videos, newest first.
#[derive(Debug, Serialize, Deserialize)]
pub struct Videos {
    /// Those that the caller may see.
    pub videos: Vec<Video>,
    #[serde(default, skip_serializing)]
    next_cursor: Option<String>,
}

/// A course, a department or a series.
#[derive(Debug, Serialize, Deserialize)]
pub struct Collection {
    /// Its name.
    pub collection: String,
    /// How many of its videos the caller may see.
    pub videos: u64,
    /// Epoch milliseconds.
    pub created_at: i64,
}

/// Collections, by name.
#[derive(Debug, Serialize, Deserialize)]
pub struct Collections {
    /// Those in which the caller may see a video.
    pub collections: Vec<Collection>,
    #[serde(default, skip_serializing)]
    next_cursor: Option<String>,
}

/// Jobs, newest first.
#[derive(Debug, Serialize, Deserialize)]
pub struct Jobs {
    /// Those that the caller may see.
    pub jobs: Vec<Job>,
    #[serde(default, skip_serializing)]
    next_cursor: Option<String>,
}

/// Dead letters, newest first.
#[derive(Debug, Serialize, Deserialize)]
pub struct DeadLetters {
    /// Without their causes.
    pub dead: Vec<DeadLetter>,
    #[serde(default, skip_serializing)]
    next_cursor: Option<String>,
}

/// Quotas, users first, each kind by name.
#[derive(Debug, Serialize, Deserialize)]
pub struct Quotas {
    /// Those that the caller may see.
    pub quotas: Vec<Quota>,
    #[serde(default, skip_serializing)]
    next_cursor: Option<String>,
}

/// Access keys of the inbox, newest first.
#[derive(Debug, Serialize, Deserialize)]
pub struct S3Credentials {
    /// Those that the caller may see.
    pub credentials: Vec<S3Credential>,
    /// Where the S3 endpoint is.
    pub endpoint_url: String,
    /// The bucket to put files into.
    pub bucket: String,
    #[serde(default, skip_serializing)]
    next_cursor: Option<String>,
}

/// Sessions of a video, newest first.
#[derive(Debug, Serialize, Deserialize)]
pub struct PlaybackSessions {
    /// Those that have not expired.
    pub sessions: Vec<PlaybackSession>,
    #[serde(default, skip_serializing)]
    next_cursor: Option<String>,
}

impl Client {
    /// At most `most` videos, all or those in a collection.
    pub async fn videos(&self, most: Option<u32>, collection: Option<&Name>) -> Result<Videos, Failure> {
        let collection = collection.map(|collection| ("collection", collection.to_string()));
        self.beginning("v1/videos", collection.into_iter().collect(), most.unwrap_or(u32::MAX)).await
    }

    /// The collections in which the caller may see a video.
    pub async fn collections(&self) -> Result<Collections, Failure> {
        self.whole("v1/collections", Vec::new()).await
    }

    /// Jobs, filtered by state and video where given.
    pub async fn jobs(&self, state: Option<&str>, video: Option<&VideoId>) -> Result<Jobs, Failure> {
        let state = state.map(|state| ("state", state.to_owned()));
        let video = video.map(|video| ("video", video.to_string()));
        self.whole("v1/jobs", state.into_iter().chain(video).collect()).await
    }

    /// Dead letters, briefly.
    pub async fn dead_letters(&self) -> Result<DeadLetters, Failure> {
        self.whole("v1/dead", Vec::new()).await
    }

    /// What users and collections have, and may have.
    pub async fn quotas(&self) -> Result<Quotas, Failure> {
        self.whole("v1/quotas", Vec::new()).await
    }

    /// The access keys that the caller may see.
    pub async fn s3_credentials(&self) -> Result<S3Credentials, Failure> {
        self.whole("v1/s3-credentials", Vec::new()).await
    }

    /// The playback sessions of a video.
    pub async fn playback_sessions(&self, video: &VideoId) -> Result<PlaybackSessions, Failure> {
        self.whole(&format!("v1/videos/{video}/playback-sessions"), Vec::new()).await
    }

    /// Where events are sent.
    pub async fn webhooks(&self) -> Result<Webhooks, Failure> {
        self.whole("v1/webhooks", Vec::new()).await
    }

    /// At most `most` deliveries to an endpoint, newest first, all or those in a state.
    pub async fn deliveries(&self, webhook: &WebhookId, state: Option<&str>, most: u32) -> Result<Deliveries, Failure> {
        let state = state.map(|state| ("state", state.to_owned()));
        self.beginning(&format!("v1/webhooks/{webhook}/deliveries"), state.into_iter().collect(), most).await
    }

    async fn whole<P: Page>(&self, path: &str, query: Vec<(&str, String)>) -> Result<P, Failure> {
        self.beginning(path, query, u32::MAX).await
    }

    /// The first `most` of a list.
    async fn beginning<P: Page>(&self, path: &str, mut query: Vec<(&str, String)>, most: u32) -> Result<P, Failure> {
        query.push(("limit", most.clamp(1, PAGE).to_string()));
        let mut list: P = self.page(path, &query).await?;
        let mut last = None;
        while !list.shorten(most as usize)
            && let Some(cursor) = list.next_cursor()
        {
            if last.as_ref() == Some(&cursor) {
                return Err(protocol("a list of the server comes back to where it was"));
            }
            let later = [query.as_slice(), &[("cursor", cursor.clone())]].concat();
            list.append(self.page(path, &later).await?);
            last = Some(cursor);
        }
        Ok(list)
    }

    async fn page<P: Page>(&self, path: &str, query: &[(&str, String)]) -> Result<P, Failure> {
        self.call(self.request(Method::GET, &with_query(path, query))?).await
    }
}
