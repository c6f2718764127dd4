//! Signing keys: at most one signs, whoever asks for what at once, and no two share a name. Links: kept as long as they matter.

use super::{Db, assert_one_wins, at_once, is_conflict, is_missing, on_both_databases};
use crate::catalog::downloads::DownloadLink;
use crate::catalog::signing_keys::SigningKey;
use crate::domain::Result;
use crate::domain::ids::{LinkId, VideoId};
use crate::transaction;

on_both_databases!(
    one_key_signs_however_many_are_activated_at_once,
    a_name_belongs_to_one_key,
    a_deleted_key_is_gone_with_its_secret,
    a_link_is_forgotten_a_week_after_its_end,
);

fn key(id: &str) -> SigningKey {
    SigningKey {
        id: id.to_owned(),
        cloudfront_id: None,
        algorithm: "ecdsa".to_owned(),
        public_key: "pem".to_owned(),
        wrapped: Some("wrapped".to_owned()),
        active: false,
        created_at: 0,
    }
}

async fn one_key_signs_however_many_are_activated_at_once(db: &Db) -> Result<()> {
    for number in 0..8 {
        transaction!(db.catalog, |tx| tx.insert_signing_key(&key(&format!("K{number}"))).await)?;
    }
    assert!(db.catalog.active_signing_key().await?.is_none());
    let activated = at_once(8, |number| {
        let catalog = db.catalog.clone();
        async move { transaction!(catalog, |tx| tx.activate_signing_key(&format!("K{number}")).await) }
    })
    .await;
    assert!(activated.iter().all(Result::is_ok), "{activated:?}");
    let keys = db.catalog.signing_keys().await?;
    assert_eq!(keys.iter().filter(|key| key.active).count(), 1, "{keys:?}");
    let public = SigningKey { wrapped: None, ..key("P") };
    transaction!(db.catalog, |tx| tx.insert_signing_key(&public).await)?;
    assert!(is_conflict(&transaction!(db.catalog, |tx| tx.activate_signing_key("P").await)));
    assert!(is_missing(&transaction!(db.catalog, |tx| tx.activate_signing_key("X").await)));
    assert!(db.catalog.active_signing_key().await?.is_some(), "who asks for the impossible changes nothing");
    Ok(())
}

async fn a_name_belongs_to_one_key(db: &Db) -> Result<()> {
    let inserted = at_once(8, |_| {
        let catalog = db.catalog.clone();
        async move { transaction!(catalog, |tx| tx.insert_signing_key(&key("K1")).await) }
    })
    .await;
    assert_one_wins(&inserted);
    transaction!(db.catalog, |tx| tx.insert_signing_key(&key("K2")).await)?;
    transaction!(db.catalog, |tx| tx.name_signing_key("K2", "CF2").await)?;
    assert_eq!(db.catalog.signing_key("CF2").await?.id, "K2");
    assert_eq!(db.catalog.signing_key("K2").await?.key_pair_id(), "CF2");
    assert!(is_conflict(&transaction!(db.catalog, |tx| tx.name_signing_key("K1", "CF2").await)));
    assert!(is_conflict(&transaction!(db.catalog, |tx| tx.name_signing_key("K1", "K2").await)));
    assert!(is_conflict(&transaction!(db.catalog, |tx| tx.insert_signing_key(&key("CF2")).await)));
    assert!(is_missing(&transaction!(db.catalog, |tx| tx.name_signing_key("K9", "CF9").await)));
    Ok(())
}

async fn a_deleted_key_is_gone_with_its_secret(db: &Db) -> Result<()> {
    transaction!(db.catalog, |tx| {
        tx.insert_signing_key(&key("K1")).await?;
        tx.activate_signing_key("K1").await
    })?;
    assert!(transaction!(db.catalog, |tx| tx.has_active_signing_key().await)?);
    transaction!(db.catalog, |tx| tx.delete_signing_key("K1").await)?;
    assert!(db.catalog.signing_keys().await?.is_empty());
    assert!(is_missing(&db.catalog.signing_key("K1").await));
    assert!(is_missing(&transaction!(db.catalog, |tx| tx.delete_signing_key("K1").await)));
    Ok(())
}

async fn a_link_is_forgotten_a_week_after_its_end(db: &Db) -> Result<()> {
    let now = transaction!(db.catalog, |tx| tx.now().await)?;
    let link = |expires_at| DownloadLink {
        id: LinkId::new(),
        video: VideoId::new(),
        object: "source".to_owned(),
        subject: "ada".to_owned(),
        role: "author".to_owned(),
        expires_at,
    };
    let (old, recent, new) = (link(now - 8 * 86_400_000), link(now - 6 * 86_400_000), link(now));
    for link in [&old, &recent, &new] {
        transaction!(db.catalog, |tx| tx.insert_download_link(link).await)?;
    }
    assert!(is_missing(&db.catalog.download_link(&old.id).await));
    assert_eq!(db.catalog.download_link(&recent.id).await?.subject, "ada");
    Ok(())
}
