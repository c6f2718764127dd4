//! Embeddings: on which sites a video may be shown in a frame.

use super::{Catalog, Row, Tx};
use crate::args;
use crate::domain::ids::VideoId;
use crate::domain::origin::Origin;
use crate::domain::{Error, Result};

/// Where a video may be embedded; by default nowhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Embedding {
    /// The sites, as its owner chose them.
    pub origins: Vec<Origin>,
    /// Whether anyone who knows the video's address may learn its title by oEmbed.
    pub oembed: bool,
}

fn embedding(row: &Row) -> Result<Embedding> {
    let unreadable = |error| Error::internal("the catalog holds malformed origins", error);
    let origins: Vec<String> = serde_json::from_str(&row.text("origins")?).map_err(unreadable)?;
    let origins = origins.iter().map(|origin| Origin::parse(origin)).collect::<Result<_>>()?;
    Ok(Embedding { origins, oembed: row.int("oembed")? != 0 })
}

const EMBEDDING: &str = "SELECT origins, oembed FROM embeddings WHERE video_id = $1
    AND EXISTS (SELECT 1 FROM videos WHERE id = $1 AND state <> 'deleted')";

impl Catalog {
    /// Where a video may be embedded: nowhere, unless somebody said where, and once it is deleted.
    pub async fn embedding(&self, video: &VideoId) -> Result<Embedding> {
        self.fetch_optional(EMBEDDING, args![video]).await?.as_ref().map_or_else(|| Ok(Embedding::default()), embedding)
    }
}

impl Tx {
    /// Where a video may be embedded, as [`Catalog::embedding`] says.
    pub async fn embedding(&mut self, video: &VideoId) -> Result<Embedding> {
        self.fetch_optional(EMBEDDING, args![video]).await?.as_ref().map_or_else(|| Ok(Embedding::default()), embedding)
    }

    /// Says where a video may be embedded from now on; `NotFound` when it is deleted.
    pub async fn set_embedding(&mut self, video: &VideoId, new: &Embedding) -> Result<()> {
        let now = self.now().await?;
        let origins = serde_json::to_string(&new.origins).map_err(|error| Error::internal("could not write origins", error))?;
        let sql = "INSERT INTO embeddings (video_id, origins, oembed, updated_at)
            SELECT id, $2, $3, $4 FROM videos WHERE id = $1 AND state <> 'deleted'
            ON CONFLICT (video_id) DO UPDATE SET origins = $2, oembed = $3, updated_at = $4";
        let changed = self.execute(sql, args![video, origins, new.oembed, now]).await?;
        if changed == 1 { Ok(()) } else { Err(Error::not_found(format!("there is no video {video}"))) }
    }
}
