//! Collections: made with the first video that names them, listed to those who may see a video in them.

use super::videos::Unready;
use super::{Catalog, Row, Tx};
use crate::args;
use crate::domain::collection::{Collection, Name};
use crate::domain::ids::CollectionId;
use crate::domain::{Error, Result};

fn collection(row: &Row) -> Result<Collection> {
    Ok(Collection { name: Name::parse(&row.text("name")?)?, videos: row.count("videos")?, created_at: row.int("created_at")? })
}

impl Catalog {
    /// The collections in which at least one video is to be seen, by name: those that can be watched, and of the others what `unready` says.
    pub async fn collections(&self, unready: &Unready) -> Result<Vec<Collection>> {
        let sql = "SELECT collections.name, collections.created_at, COUNT(*) AS videos FROM collections
            JOIN videos ON videos.collection_id = collections.id
            WHERE videos.state <> 'deleted' AND (videos.state = 'ready' OR (videos.state = 'processing' AND videos.playable_at IS NOT NULL)
                OR $1 = 1 OR videos.owner = $2)
            GROUP BY collections.id, collections.name, collections.created_at";
        let rows = self.fetch_all(sql, args![unready.is_everyones(), unready.owner()]).await?;
        let mut collections = rows.iter().map(collection).collect::<Result<Vec<_>>>()?;
        // By their bytes, here: PostgreSQL would sort as its locale does, and SQLite as nobody's.
        collections.sort_by(|one, other| one.name.as_str().cmp(other.name.as_str()));
        Ok(collections)
    }
}

impl Tx {
    /// The collection of this name, made if there is none yet.
    pub async fn ensure_collection(&mut self, name: &Name) -> Result<CollectionId> {
        let now = self.now().await?;
        let sql = "INSERT INTO collections (id, name, created_at) VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING";
        self.execute(sql, args![&CollectionId::new(), name, now]).await?;
        let row = self.fetch_optional("SELECT id FROM collections WHERE name = $1", args![name]).await?;
        let row = row.ok_or_else(|| Error::internal("a collection that was just made is not there", "no row"))?;
        CollectionId::parse(&row.text("id")?)
    }

    /// Puts a video into a collection, or takes it out of the one it is in.
    pub async fn set_collection(&mut self, video: &crate::domain::ids::VideoId, name: Option<&Name>) -> Result<()> {
        let id = match name {
            Some(name) => Some(self.ensure_collection(name).await?),
            None => None,
        };
        let id = id.as_ref().map(CollectionId::as_str);
        self.execute("UPDATE videos SET collection_id = $2 WHERE id = $1", args![video, id]).await.map(drop)
    }
}
