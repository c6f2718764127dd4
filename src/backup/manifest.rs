//! The manifest: what a snapshot is made of. Written last, so a backup that was cut short is no snapshot.

use super::Secrets;
use super::sealed::Piece;
use crate::depot::{Depot, Name};
use crate::domain::ids::SnapshotId;
use crate::domain::{Error, ErrorKind, Result};
use crate::keys::RootKey;
use crate::kms::Kms;
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use aws_lc_rs::hmac;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

const FORMAT: u32 = 1;
const LABEL: &[u8] = b"theatrum/backup/manifest/v1";

/// A snapshot, as far as it can be told without its keyring.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Manifest {
    format: u32,
    /// Its id; later ones sort after earlier ones.
    pub id: SnapshotId,
    /// When its rows were read, epoch milliseconds by the database's clock.
    pub taken_at: i64,
    /// How many migrations the rows have seen.
    pub schema: i64,
    /// Videos that were not deleted, uploads in progress among them.
    pub videos: u64,
    /// Blobs that the rows refer to.
    pub blobs: u64,
    /// Their size.
    pub blob_bytes: u64,
    /// Blobs that should have been there and were not whole.
    pub damaged: u64,
    pub(super) key: String,
    pub(super) rows: Piece,
    pub(super) list: Piece,
    mac: String,
}

/// What every manifest has, whatever else it has.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// A snapshot in a list.
#[derive(Debug, Serialize)]
pub struct Outline<'a> {
    snapshot: &'a SnapshotId,
    taken_at: i64,
    schema: i64,
    videos: u64,
    blobs: u64,
    blob_bytes: u64,
    damaged: u64,
}

/// What a manifest is made of.
pub(super) struct Parts {
    pub id: SnapshotId,
    pub taken_at: i64,
    pub schema: i64,
    pub videos: u64,
    pub blobs: u64,
    pub blob_bytes: u64,
    pub damaged: u64,
    pub wrapped_key: String,
    pub rows: Piece,
    pub list: Piece,
}

/// The name that a snapshot's wrapped key is bound to.
pub(super) fn key_context(id: &SnapshotId) -> String {
    format!("theatrum|backup|snapshot|{id}|1")
}

impl Manifest {
    pub(super) fn new(parts: Parts, key: &RootKey) -> Result<Self> {
        let Parts { id, taken_at, schema, videos, blobs, blob_bytes, damaged, wrapped_key, rows, list } = parts;
        let (format, mac) = (FORMAT, String::new());
        let mut new = Self { format, id, taken_at, schema, videos, blobs, blob_bytes, damaged, key: wrapped_key, rows, list, mac };
        new.mac = hex::encode(hmac::sign(&mac_key(key)?, &new.signed()?));
        Ok(new)
    }

    /// Makes the snapshot count.
    pub(super) async fn publish(&self, depot: &Depot) -> Result<()> {
        let text = serde_json::to_vec_pretty(self).map_err(|e| Error::internal("could not write a manifest", e))?;
        depot.put(&Name::Manifest(self.id.clone()), Bytes::from(text)).await
    }

    /// The snapshot of this id; `NotFound` when there is none that is whole.
    pub async fn load(depot: &Depot, id: &SnapshotId) -> Result<Self> {
        let name = Name::Manifest(id.clone());
        let text = depot.get(&name).await.map_err(|error| match error.kind() {
            ErrorKind::NotFound => Error::not_found(format!("{depot} has no snapshot {id}: --list names those it has")).with_source(error),
            _ => error,
        })?;
        let damaged = |_| super::sealed::damaged(depot, &name);
        if serde_json::from_slice::<Format>(&text).map_err(damaged)?.format != FORMAT {
            return Err(newer(id));
        }
        let manifest: Self = serde_json::from_slice(&text).map_err(damaged)?;
        if manifest.id == *id { Ok(manifest) } else { Err(super::sealed::damaged(depot, &name)) }
    }

    /// `Conflict` (`depot-foreign`) when there are snapshots of another house and none that opens with these secrets. One that was damaged, or
    /// that another Theatrum wrote, must not keep backups from being made.
    pub async fn is_depot_of(depot: &Depot, secrets: &Secrets) -> Result<()> {
        let mut foreign = Ok(());
        for id in ids(depot).await?.iter().rev() {
            let opened = match Self::load(depot, id).await {
                Ok(manifest) => manifest.is_of(depot, secrets).await,
                Err(error) => Err(error),
            };
            match opened {
                Ok(()) => return Ok(()),
                Err(error) if error.code() == "depot-foreign" => foreign = foreign.and(Err(error)),
                Err(error) if error.kind() == ErrorKind::NotFound || matches!(error.code(), "backup-damaged" | "snapshot-newer") => {}
                Err(error) => return Err(error),
            }
        }
        foreign
    }

    /// The newest snapshot, if there is any; `Invalid` (`backup-damaged`) when its manifest is not what was written.
    pub(super) async fn newest(depot: &Depot) -> Result<Option<Self>> {
        for id in ids(depot).await?.iter().rev() {
            match Self::load(depot, id).await {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                manifest => return manifest.map(Some),
            }
        }
        Ok(None)
    }

    /// All snapshots that were finished, oldest first, each with its manifest or why that cannot be read.
    pub async fn all(depot: &Depot) -> Result<Vec<(SnapshotId, Result<Self>)>> {
        let mut manifests = Vec::new();
        for id in ids(depot).await? {
            match Self::load(depot, &id).await {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) if !matches!(error.code(), "backup-damaged" | "snapshot-newer") => return Err(error),
                manifest => manifests.push((id, manifest)),
            }
        }
        Ok(manifests)
    }

    /// The snapshot's key, once the manifest has proved to be what was written. `Forbidden` (`keyring-foreign`) when the keyring is another
    /// house's.
    pub(super) async fn open(&self, depot: &Depot, kms: &Kms) -> Result<RootKey> {
        let foreign = |error: Error| {
            let message =
                format!("this keyring does not open snapshot {} of {depot}: it is another house's, or the manifest was altered", self.id);
            Error::new(ErrorKind::Forbidden, "keyring-foreign", message).with_source(error)
        };
        let plain = kms.unwrap(&key_context(&self.id), &self.key).await.map_err(foreign)?;
        let bytes = plain.as_slice().try_into().map_err(|e| Error::internal("a snapshot's key has a wrong length", Box::new(e)))?;
        let key = RootKey::new(bytes);
        let mac = hex::decode(&self.mac).unwrap_or_default();
        let verdict = hmac::verify(&mac_key(&key)?, &self.signed()?, &mac);
        verdict.map_err(|_| super::sealed::damaged(depot, &Name::Manifest(self.id.clone())))?;
        Ok(key)
    }

    /// `Conflict` (`depot-foreign`) unless it was written by the house of these secrets.
    pub(super) async fn is_of(&self, depot: &Depot, secrets: &Secrets) -> Result<()> {
        let foreign = |error: Error| match error.code() {
            "keyring-foreign" => {
                let message = format!("{depot} holds backups of another house: name another folder or prefix");
                Error::conflict("depot-foreign", message).with_source(error)
            }
            _ => error,
        };
        self.open(depot, &secrets.kms).await.map(drop).map_err(foreign)
    }

    /// What can be told of it.
    pub fn outline(&self) -> Outline<'_> {
        let Self { id, taken_at, schema, videos, blobs, blob_bytes, damaged, .. } = self;
        Outline {
            snapshot: id,
            taken_at: *taken_at,
            schema: *schema,
            videos: *videos,
            blobs: *blobs,
            blob_bytes: *blob_bytes,
            damaged: *damaged,
        }
    }

    fn signed(&self) -> Result<Vec<u8>> {
        let unsigned = Self { mac: String::new(), ..self.clone() };
        serde_json::to_vec(&unsigned).map_err(|e| Error::internal("could not write a manifest", e))
    }
}

/// The ids of all snapshots, whole or not, oldest first.
pub(super) async fn ids(depot: &Depot) -> Result<Vec<SnapshotId>> {
    let mut ids: Vec<_> = depot.folders(Name::SNAPSHOTS).await?.iter().filter_map(|name| SnapshotId::parse(name).ok()).collect();
    ids.sort();
    Ok(ids)
}

/// A snapshot that this Theatrum is too old for.
pub(super) fn newer(id: &SnapshotId) -> Error {
    Error::conflict("snapshot-newer", format!("snapshot {id} was made by a newer Theatrum: restore it with that one"))
}

fn mac_key(key: &RootKey) -> Result<hmac::Key> {
    let failed = |e| Error::internal("could not derive a key", e);
    let prk = Salt::new(HKDF_SHA256, &[]).extract(key.expose());
    Ok(hmac::Key::from(prk.expand(&[LABEL], hmac::HMAC_SHA256).map_err(failed)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::depot::Place;
    use crate::kms::Keyring;
    use std::sync::Arc;

    #[tokio::test]
    async fn a_manifest_is_the_one_that_was_written_or_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let depot = Depot::open(&Place::Folder(folder.path().join("depot"))).expect("a depot");
        let kms = |name: &str| Kms::Local(Arc::new(Keyring::open_or_create(&folder.path().join(name)).expect("a keyring")));
        let (own, foreign) = (kms("own.json"), kms("foreign.json"));
        let (id, key) = (SnapshotId::new(), RootKey::new([3; 32]));
        let wrapped_key = own.wrap(&key_context(&id), key.expose()).await.expect("wrapped");
        let piece = Piece { size_bytes: 1, sha256: "0".repeat(64), lines: 2 };
        let (videos, blobs, blob_bytes, damaged) = (1, 2, 3, 0);
        let (rows, list) = (piece.clone(), piece);
        let parts = Parts { id: id.clone(), taken_at: 5, schema: 1, videos, blobs, blob_bytes, damaged, wrapped_key, rows, list };
        Manifest::new(parts, &key).expect("made").publish(&depot).await.expect("published");
        let mut all = Manifest::all(&depot).await.expect("listed");
        assert_eq!(all.len(), 1);
        let found = all.remove(0).1.expect("whole");
        assert!(found.open(&depot, &own).await.is_ok_and(|opened| opened == key));
        assert_eq!(found.open(&depot, &foreign).await.expect_err("foreign").code(), "keyring-foreign");
        let altered = Manifest { taken_at: 6, ..found };
        let error = altered.open(&depot, &own).await.expect_err("altered");
        assert_eq!(error.code(), "backup-damaged");
        assert!(error.message().contains("manifest.json"), "{error}");
        assert_eq!(Manifest::load(&depot, &SnapshotId::new()).await.expect_err("none").kind(), ErrorKind::NotFound);
    }
}
