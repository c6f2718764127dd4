//! What plays no more: versions that were replaced or given up lose their blobs once nobody watches them, sources once no version needs
//! them.

use super::{AFTER_TROUBLE_MS, State};
use crate::blobs::Prefix;
use crate::domain::Result;
use crate::transaction;

/// Purges what is due. One that cannot be purged is put off, so that any number of such stop no other. May be cut short anywhere: each is
/// due until its last statement.
pub(super) async fn purge(state: &State) -> Result<()> {
    let now = transaction!(state.catalog, |tx| tx.now().await)?;
    for (version, video) in state.catalog.versions_to_purge(now).await? {
        match state.blobs.delete_prefix(&Prefix::Version(video.clone(), version.clone())).await {
            Ok(deleted) => {
                transaction!(state.catalog, |tx| tx.version_purged(&version).await)?;
                tracing::info!(%video, %version, deleted, "purged a version that plays no more");
            }
            Err(error) => {
                tracing::warn!(%video, %version, cause = %error.chain(), "could not purge a version; it is tried again in a minute");
                transaction!(state.catalog, |tx| tx.postpone_version(&version, now + AFTER_TROUBLE_MS).await)?;
            }
        }
    }
    for source in state.catalog.sources_to_purge(now).await? {
        match state.blobs.delete_prefix(&Prefix::Upload(source.video.clone(), source.upload.clone())).await {
            Ok(deleted) => {
                transaction!(state.catalog, |tx| tx.source_purged(&source).await)?;
                tracing::info!(video = %source.video, source = %source.id, deleted, "purged a source that no version needs");
            }
            Err(error) => {
                tracing::warn!(source = %source.id, cause = %error.chain(), "could not purge a source; it is tried again in a minute");
                transaction!(state.catalog, |tx| tx.postpone_source(&source.id, now + AFTER_TROUBLE_MS).await)?;
            }
        }
    }
    Ok(())
}
