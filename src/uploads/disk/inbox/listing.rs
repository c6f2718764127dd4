//! What clients ask to see: buckets, objects, transfers. What came in has left the inbox, so no listing holds an object; for a while its
//! sender is told that it did (HeadObject), because some clients look after what they sent.

use super::{Door, sender};
use crate::domain::inbox::{Object, Part};
use crate::uploads::disk::answer::{answer, report};
use crate::uploads::{INBOX, Sender};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::dto::{
    Bucket, ChecksumAlgorithm, ChecksumType, CommonPrefix, DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput,
    DeletedObject, ETag, EncodingType, Error as KeyError, HeadObjectInput, HeadObjectOutput, ListBucketsInput, ListBucketsOutput,
    ListMultipartUploadsInput, ListMultipartUploadsOutput, ListObjectsInput, ListObjectsOutput, ListObjectsV2Input, ListObjectsV2Output,
    ListPartsInput, ListPartsOutput, MultipartUpload, Owner, Part as PartDto, Timestamp,
};
use s3s::{S3Error, S3Request, S3Response, S3Result, s3_error};
use std::time::{Duration, UNIX_EPOCH};

/// The most that one answer lists (S3's rule).
const MOST_LISTED: usize = 1_000;
/// What stays as it is in a listing that its client wants encoded.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');

impl Door {
    /// ListBuckets: there is one.
    pub(in crate::uploads::disk) fn list_buckets(&self, req: &S3Request<ListBucketsInput>) -> S3Result<S3Response<ListBucketsOutput>> {
        let sender = sender(&req.extensions, INBOX)?;
        let bucket = Bucket { name: Some(INBOX.to_owned()), creation_date: Some(timestamp(sender.key.created_at)), ..Bucket::default() };
        Ok(S3Response::new(ListBucketsOutput { buckets: Some(vec![bucket]), owner: Some(owner(&sender)), ..ListBucketsOutput::default() }))
    }

    /// ListObjects.
    pub(in crate::uploads::disk) fn list_objects(&self, req: S3Request<ListObjectsInput>) -> S3Result<S3Response<ListObjectsOutput>> {
        let (_, input) = (sender(&req.extensions, &req.input.bucket)?, req.input);
        let encode = Encoder::new(input.encoding_type.as_ref());
        Ok(S3Response::new(ListObjectsOutput {
            name: Some(input.bucket),
            prefix: Some(encode.text(input.prefix.unwrap_or_default())),
            marker: Some(encode.text(input.marker.unwrap_or_default())),
            delimiter: input.delimiter.map(|delimiter| encode.text(delimiter)),
            max_keys: Some(limit(input.max_keys)? as i32),
            is_truncated: Some(false),
            encoding_type: input.encoding_type,
            ..ListObjectsOutput::default()
        }))
    }

    /// ListObjectsV2.
    pub(in crate::uploads::disk) fn list_objects_v2(
        &self,
        req: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let (_, input) = (sender(&req.extensions, &req.input.bucket)?, req.input);
        let encode = Encoder::new(input.encoding_type.as_ref());
        Ok(S3Response::new(ListObjectsV2Output {
            name: Some(input.bucket),
            prefix: Some(encode.text(input.prefix.unwrap_or_default())),
            start_after: input.start_after.map(|start| encode.text(start)),
            delimiter: input.delimiter.map(|delimiter| encode.text(delimiter)),
            max_keys: Some(limit(input.max_keys)? as i32),
            key_count: Some(0),
            is_truncated: Some(false),
            continuation_token: input.continuation_token,
            encoding_type: input.encoding_type,
            ..ListObjectsV2Output::default()
        }))
    }

    /// HeadObject.
    pub(in crate::uploads::disk) async fn head_object(&self, req: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        let sender = sender(&req.extensions, &req.input.bucket)?;
        let receipt = self.rows.receipt(&sender, &req.input.key).await.inspect_err(report).map_err(|e| answer(&e))?;
        let object = receipt.ok_or_else(|| s3_error!(NoSuchKey, "no object of this key is in the inbox"))?;
        Ok(S3Response::new(HeadObjectOutput {
            content_length: Some(object.size_bytes.cast_signed()),
            e_tag: object.etag.map(ETag::Strong),
            last_modified: object.received_at.map(timestamp),
            ..HeadObjectOutput::default()
        }))
    }

    /// DeleteObject: what came in has left the inbox and is a video, which this does not touch.
    pub(in crate::uploads::disk) async fn delete_object(
        &self,
        req: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let sender = sender(&req.extensions, &req.input.bucket)?;
        self.rows.forget(&sender, &req.input.key).await.inspect_err(report).map_err(|e| answer(&e))?;
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    /// DeleteObjects.
    pub(in crate::uploads::disk) async fn delete_objects(
        &self,
        req: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let (sender, delete) = (sender(&req.extensions, &req.input.bucket)?, req.input.delete);
        if delete.objects.is_empty() || delete.objects.len() > MOST_LISTED {
            return Err(s3_error!(MalformedXML, "name 1 to {MOST_LISTED} keys"));
        }
        let (mut deleted, mut errors) = (Vec::new(), Vec::new());
        for object in delete.objects {
            if !sender.key.prefix.covers(&object.key) {
                let (code, message) = ("AccessDenied".to_owned(), "this access key is not good for that key".to_owned());
                errors.push(KeyError { key: Some(object.key), code: Some(code), message: Some(message), ..KeyError::default() });
                continue;
            }
            self.rows.forget(&sender, &object.key).await.inspect_err(report).map_err(|e| answer(&e))?;
            deleted.push(DeletedObject { key: Some(object.key), ..DeletedObject::default() });
        }
        let deleted = (!delete.quiet.unwrap_or_default()).then_some(deleted);
        Ok(S3Response::new(DeleteObjectsOutput {
            deleted,
            errors: (!errors.is_empty()).then_some(errors),
            ..DeleteObjectsOutput::default()
        }))
    }

    /// ListParts.
    pub(in crate::uploads::disk) async fn list_parts(&self, req: S3Request<ListPartsInput>) -> S3Result<S3Response<ListPartsOutput>> {
        let (sender, input) = (sender(&req.extensions, &req.input.bucket)?, req.input);
        let (limit, after) = (limit(input.max_parts)?, input.part_number_marker.unwrap_or_default());
        let object = self.object(&sender, &input.key, &input.upload_id).await?;
        if object.state != crate::domain::upload::State::Open {
            return Err(s3_error!(NoSuchUpload, "the upload has ended"));
        }
        let parts = self.rows.parts(&object).await.inspect_err(report).map_err(|e| answer(&e))?;
        let mut parts: Vec<Part> = parts.into_iter().filter(|part| part.number.cast_signed() > i64::from(after)).collect();
        let is_truncated = limit > 0 && parts.len() > limit;
        parts.truncate(limit);
        let last = parts.last().filter(|_| is_truncated).map(|part| part.number as i32);
        Ok(S3Response::new(ListPartsOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(input.upload_id),
            part_number_marker: Some(after),
            next_part_number_marker: last,
            max_parts: Some(limit as i32),
            is_truncated: Some(is_truncated),
            checksum_algorithm: Some(ChecksumAlgorithm::from_static(object.algorithm.as_str())),
            checksum_type: Some(ChecksumType::from_static(object.scope.as_str())),
            owner: Some(owner(&sender)),
            parts: Some(parts.into_iter().map(|part| part_dto(&object, part)).collect()),
            ..ListPartsOutput::default()
        }))
    }

    /// ListMultipartUploads.
    pub(in crate::uploads::disk) async fn list_multiparts(
        &self,
        req: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        let (sender, input) = (sender(&req.extensions, &req.input.bucket)?, req.input);
        let limit = limit(input.max_uploads)?;
        let objects = self.rows.multiparts(&sender).await.inspect_err(report).map_err(|e| answer(&e))?;
        let page = Page::of(objects, &input, limit);
        let encode = Encoder::new(input.encoding_type.as_ref());
        let is_truncated = page.next.is_some();
        let (next_key_marker, next_upload_id_marker) = page.next.map(|(key, upload)| (encode.text(key), upload)).unzip();
        let prefixes = page.prefixes.into_iter().map(|prefix| CommonPrefix { prefix: Some(encode.text(prefix)) });
        Ok(S3Response::new(ListMultipartUploadsOutput {
            bucket: Some(input.bucket),
            prefix: input.prefix.map(|prefix| encode.text(prefix)),
            delimiter: input.delimiter.map(|delimiter| encode.text(delimiter)),
            key_marker: Some(encode.text(input.key_marker.unwrap_or_default())),
            upload_id_marker: input.upload_id_marker,
            max_uploads: Some(limit as i32),
            is_truncated: Some(is_truncated),
            next_key_marker,
            next_upload_id_marker: next_upload_id_marker.flatten(),
            common_prefixes: Some(prefixes.collect()),
            uploads: Some(page.objects.into_iter().map(|object| transfer(&sender, &encode, object)).collect()),
            encoding_type: input.encoding_type,
            ..ListMultipartUploadsOutput::default()
        }))
    }
}

/// One answer's worth of transfers, and the folders of the others.
#[derive(Default)]
struct Page {
    objects: Vec<Object>,
    prefixes: Vec<String>,
    /// Where the next one begins, if there is more: behind this key, or folder, and this upload of it.
    next: Option<(String, Option<String>)>,
}

impl Page {
    /// Of `objects`, which are in order. A folder counts as one entry, as a transfer does (S3, ListMultipartUploads).
    fn of(objects: Vec<Object>, input: &ListMultipartUploadsInput, limit: usize) -> Self {
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        let (prefix, delimiter) = (text(&input.prefix), text(&input.delimiter));
        let (key_marker, upload_marker) = (text(&input.key_marker), text(&input.upload_id_marker));
        let is_after = |object: &Object| match object.key.as_str().cmp(&key_marker) {
            std::cmp::Ordering::Equal => !upload_marker.is_empty() && object.upload.as_str() > upload_marker.as_str(),
            order => order.is_gt(),
        };
        let folder = |key: &str| {
            let rest = key.get(prefix.len()..).filter(|_| !delimiter.is_empty())?;
            rest.find(&delimiter).map(|at| key[..prefix.len() + at + delimiter.len()].to_owned())
        };
        let mut page = Self::default();
        let mut last = None;
        for object in objects.into_iter().filter(|object| object.key.starts_with(&prefix) && is_after(object)) {
            let folder = folder(&object.key);
            // Told already: in this page, or as the last of the one before.
            if folder.is_some() && (folder.as_ref() == page.prefixes.last() || folder.as_ref() == Some(&key_marker)) {
                continue;
            }
            if page.objects.len() + page.prefixes.len() == limit {
                page.next = last;
                break;
            }
            match folder {
                Some(folder) => {
                    last = Some((folder.clone(), None));
                    page.prefixes.push(folder);
                }
                None => {
                    last = Some((object.key.clone(), Some(object.upload.to_string())));
                    page.objects.push(object);
                }
            }
        }
        page
    }
}

/// Encodes what XML cannot hold, when the client asked for it.
struct Encoder(bool);

impl Encoder {
    fn new(wanted: Option<&EncodingType>) -> Self {
        Self(wanted.is_some_and(|word| word.as_str() == EncodingType::URL))
    }

    fn text(&self, text: String) -> String {
        if self.0 { utf8_percent_encode(&text, PLAIN).to_string() } else { text }
    }
}

fn part_dto(object: &Object, part: Part) -> PartDto {
    let mut dto = PartDto {
        part_number: Some(part.number as i32),
        size: Some(part.size_bytes.cast_signed()),
        e_tag: Some(ETag::Strong(part.md5)),
        last_modified: Some(timestamp(part.received_at)),
        ..PartDto::default()
    };
    super::set_checksum!(dto, object.algorithm, Some(part.checksum));
    dto
}

fn transfer(sender: &Sender, encode: &Encoder, object: Object) -> MultipartUpload {
    MultipartUpload {
        checksum_algorithm: Some(ChecksumAlgorithm::from_static(object.algorithm.as_str())),
        checksum_type: Some(ChecksumType::from_static(object.scope.as_str())),
        initiated: Some(timestamp(object.created_at)),
        owner: Some(owner(sender)),
        key: Some(encode.text(object.key)),
        upload_id: Some(object.upload.to_string()),
        ..MultipartUpload::default()
    }
}

fn owner(sender: &Sender) -> Owner {
    Owner { display_name: Some(sender.key.subject.clone()), id: Some(sender.key.id.to_string()) }
}

fn timestamp(epoch_ms: i64) -> Timestamp {
    Timestamp::from(UNIX_EPOCH + Duration::from_millis(u64::try_from(epoch_ms).unwrap_or_default()))
}

/// How many the client wants; S3 gives a thousand at most.
fn limit(wanted: Option<i32>) -> Result<usize, S3Error> {
    let wanted = wanted.map_or(Ok(MOST_LISTED), usize::try_from);
    wanted.map(|wanted| wanted.min(MOST_LISTED)).map_err(|_| s3_error!(InvalidArgument, "a listing cannot have less than no entries"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::checksum::{Algorithm, Scope};
    use crate::domain::ids::{UploadId, VideoId};
    use crate::domain::upload::State;

    fn object(key: &str) -> Object {
        Object {
            upload: UploadId::new(),
            video: VideoId::new(),
            key: key.to_owned(),
            multipart: true,
            algorithm: Algorithm::Crc32,
            scope: Scope::Composite,
            state: State::Open,
            size_bytes: 0,
            etag: None,
            created_at: 0,
            received_at: None,
        }
    }

    /// Every page of so many entries, each as its keys and folders.
    fn pages(objects: &[Object], prefix: &str, limit: usize) -> Vec<Vec<String>> {
        let mut input = ListMultipartUploadsInput::default();
        (input.prefix, input.delimiter) = (Some(prefix.to_owned()), Some("/".to_owned()));
        let mut pages = Vec::new();
        loop {
            let page = Page::of(objects.to_vec(), &input, limit);
            pages.push(page.objects.into_iter().map(|object| object.key).chain(page.prefixes).collect());
            assert!(pages.len() <= objects.len() + 1, "it goes round in circles: {pages:?}");
            let Some((key, upload)) = page.next else { return pages };
            (input.key_marker, input.upload_id_marker) = (Some(key), upload);
        }
    }

    #[test]
    fn every_transfer_and_every_folder_is_on_one_page() {
        let objects = ["a", "a", "b/1", "b/2", "c", "d/1", "d/e/1", "f"].map(object);
        let mut objects = objects.to_vec();
        objects.sort_by(|a, b| (&a.key, a.upload.as_str()).cmp(&(&b.key, b.upload.as_str())));
        let all = ["a", "a", "b/", "c", "d/", "f"];
        for limit in 1..=7 {
            let found = pages(&objects, "", limit);
            assert!(found.iter().all(|page| page.len() <= limit) && found.len() == all.len().div_ceil(limit), "{limit}: {found:?}");
            let mut found = found.concat();
            found.sort();
            assert_eq!(found, all, "{limit}");
        }
        assert_eq!(pages(&objects, "d/", 1), [["d/1"], ["d/e/"]]);
        assert_eq!(pages(&objects, "", 0), [Vec::<String>::new()], "none were wanted, and there is no next page of none");
    }
}
