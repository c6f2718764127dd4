//! Where a depot is, as people write it: a folder, or `s3://bucket/prefix`.

use super::Depot;
use crate::domain::{Error, Result};
use object_store::ObjectStore;
use object_store::aws::{AmazonS3Builder, Checksum};
use object_store::local::LocalFileSystem;
use object_store::prefix::PrefixStore;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::Arc;

const SCHEME: &str = "s3://";

/// Where a depot is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A folder.
    Folder(PathBuf),
    /// A bucket, or a part of one. Credentials and region are those of the environment: `AWS_ACCESS_KEY_ID` …, a container's, or the
    /// instance's role.
    Bucket {
        /// Its name.
        bucket: String,
        /// What all names begin with; may be empty.
        prefix: String,
        /// Where the S3 is, if not at Amazon.
        endpoint: Option<String>,
    },
}

impl Place {
    /// Reads `s3://bucket/prefix` or the path of a folder; `endpoint` is for buckets. `Invalid` when it is neither.
    pub fn parse(text: &str, endpoint: Option<&str>) -> Result<Self> {
        let malformed = |why: &str| Error::invalid("depot-place", format!("{text:?} is no place for backups: {why}"));
        let Some(rest) = text.strip_prefix(SCHEME) else {
            return match text {
                "" => Err(malformed("name a folder or s3://bucket/prefix")),
                text if text.contains("://") => Err(malformed("only folders and s3:// are supported")),
                text => Ok(Self::Folder(PathBuf::from(text))),
            };
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
        if bucket.len() < 3 || !bucket.chars().all(fits) {
            return Err(malformed("a bucket's name has at least three lowercase letters, digits, dots and hyphens"));
        }
        let prefix = prefix.trim_matches('/');
        if prefix.split('/').any(|piece| matches!(piece, "." | "..")) || prefix.contains("//") {
            return Err(malformed("a prefix is a path without . and .."));
        }
        let endpoint = endpoint.filter(|endpoint| !endpoint.is_empty()).map(str::to_owned);
        Ok(Self::Bucket { bucket: bucket.to_owned(), prefix: prefix.to_owned(), endpoint })
    }

    /// As it is shown: without credentials, for it has none.
    pub fn shown(&self) -> String {
        match self {
            Self::Folder(path) => path.display().to_string(),
            Self::Bucket { bucket, prefix, .. } => format!("{SCHEME}{bucket}/{prefix}").trim_end_matches('/').to_owned(),
        }
    }

    /// As it is found again from anywhere: a folder's path is absolute and has no slash at its end.
    pub fn address(&self) -> String {
        match self {
            Self::Folder(path) => {
                let absolute = std::path::absolute(path).unwrap_or_else(|_| path.clone());
                absolute.components().collect::<PathBuf>().display().to_string()
            }
            Self::Bucket { .. } => self.shown(),
        }
    }

    pub(super) fn make(&self) -> Result<()> {
        let Self::Folder(path) = self else { return Ok(()) };
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.map_err(|error| {
            let message = format!("cannot make {}: name a folder that you may write to", path.display());
            Error::invalid("depot-place", message).with_source(error)
        })
    }

    pub(super) fn must_exist(&self) -> Result<()> {
        match self {
            Self::Folder(path) if !path.is_dir() => Err(Error::not_found(format!("there is no folder {}", path.display()))),
            _ => Ok(()),
        }
    }

    pub(super) fn open(&self) -> Result<Depot> {
        let unusable = |error: object_store::Error| {
            Error::invalid("depot-place", format!("{} cannot be opened: check it and its credentials", self.shown())).with_source(error)
        };
        let (store, folder): (Arc<dyn ObjectStore>, _) = match self {
            Self::Folder(path) => {
                let store = LocalFileSystem::new_with_prefix(path).map_err(unusable)?;
                (Arc::new(store.with_fsync(true).with_automatic_cleanup(true)), Some(path.clone()))
            }
            Self::Bucket { bucket, prefix, endpoint } => {
                let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket).with_checksum_algorithm(Checksum::SHA256);
                if let Some(endpoint) = endpoint {
                    builder = builder.with_endpoint(endpoint).with_allow_http(endpoint.starts_with("http://"));
                }
                (Arc::new(PrefixStore::new(builder.build().map_err(unusable)?, prefix.as_str())), None)
            }
        };
        Ok(Depot { store, shown: self.shown().into(), folder })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_folder_or_a_bucket() {
        let bucket = |bucket: &str, prefix: &str| Place::Bucket { bucket: bucket.into(), prefix: prefix.into(), endpoint: None };
        assert_eq!(Place::parse("/mnt/b", None).expect("a folder"), Place::Folder("/mnt/b".into()));
        assert_eq!(Place::parse("s3://house", Some("")).expect("a bucket"), bucket("house", ""));
        let place = Place::parse("s3://house/a/b/", None).expect("a bucket");
        assert_eq!((place.shown().as_str(), &place), ("s3://house/a/b", &bucket("house", "a/b")));
        let here = std::env::current_dir().expect("a folder").join("b").display().to_string();
        for (text, address) in [("/mnt/b", "/mnt/b"), ("/mnt/./b//", "/mnt/b"), ("b/", &here), ("s3://house/a/", "s3://house/a")] {
            assert_eq!(Place::parse(text, None).expect("a place").address(), address);
        }
        for wrong in ["", "s3://", "s3://ab", "s3://House/x", "s3://house/../x", "s3://house/a//b", "gs://house", "https://h/x"] {
            assert_eq!(Place::parse(wrong, None).expect_err(wrong).code(), "depot-place");
        }
    }
}
