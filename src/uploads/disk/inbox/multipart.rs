//! Objects that come in parts.

use super::{Announced, Door, Sent, conditions, own_task, require_part_size, sender, set_checksum};
use crate::domain::checksum::{Algorithm, Scope};
use crate::domain::inbox::Object;
use crate::failpoint;
use crate::uploads::disk::answer::{answer, report};
use crate::uploads::{Claim, ClaimedPart, MAX_PARTS, NewObject, Sender};
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, ChecksumAlgorithm, ChecksumType, CompleteMultipartUploadInput,
    CompleteMultipartUploadOutput, CompletedPart, CreateMultipartUploadInput, CreateMultipartUploadOutput, ETag, UploadPartInput,
    UploadPartOutput,
};
use s3s::{S3ErrorCode, S3Request, S3Response, S3Result, s3_error};

impl Door {
    /// CreateMultipartUpload.
    pub(in crate::uploads::disk) async fn create(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let (sender, input) = (sender(&req.extensions, &req.input.bucket)?, req.input);
        let (algorithm, scope) = checksum(input.checksum_algorithm.as_ref(), input.checksum_type.as_ref())?;
        let new = NewObject { key: input.key, size_bytes: None, algorithm, scope };
        let slot = self.rows.begin(&sender, &new).await.inspect_err(report).map_err(|e| answer(&e))?;
        let explicit = input.checksum_algorithm.is_some();
        Ok(S3Response::new(CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(new.key),
            upload_id: Some(slot.object.upload.to_string()),
            checksum_algorithm: explicit.then(|| ChecksumAlgorithm::from_static(algorithm.as_str())),
            checksum_type: explicit.then(|| ChecksumType::from_static(scope.as_str())),
            ..CreateMultipartUploadOutput::default()
        }))
    }

    /// UploadPart.
    pub(in crate::uploads::disk) async fn upload_part(&self, req: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        let S3Request { mut input, headers, trailing_headers, extensions, .. } = req;
        let sender = sender(&extensions, &input.bucket)?;
        let number = u32::try_from(input.part_number).ok().filter(|number| (1..=MAX_PARTS).contains(number));
        let number = number.ok_or_else(|| s3_error!(InvalidArgument, "part numbers are 1 to {MAX_PARTS}"))?;
        let announced = Announced::read(&headers, trailing_headers)?;
        require_part_size(announced.size_bytes)?;
        let body = input.body.take().ok_or(S3ErrorCode::IncompleteBody)?;
        let object = self.object(&sender, &input.key, &input.upload_id).await?;
        if let Some(sent) = announced.algorithm().filter(|sent| *sent != object.algorithm && object.algorithm != Algorithm::Crc64Nvme) {
            let (wanted, sent) = (object.algorithm.as_str(), sent.as_str());
            return Err(s3_error!(
                InvalidRequest,
                "the upload was created for checksums of type {wanted}, the part has one of type {sent}"
            ));
        }
        let door = self.clone();
        let kept = own_task(async move {
            let slot = door.rows.expect(&object, number, announced.size_bytes).await?;
            let kept = door.store(&slot, Sent { number, announced, body }).await?;
            failpoint::hit("inbox-part-stored");
            door.record(&object, number, &kept).await?;
            Ok(kept)
        });
        let kept = kept.await.map_err(|e| answer(&e))?;
        let mut output =
            UploadPartOutput { e_tag: Some(ETag::Strong(hex::encode(kept.stored.digests.md5))), ..UploadPartOutput::default() };
        if let Some((algorithm, value)) = kept.told {
            set_checksum!(output, algorithm, Some(value));
        }
        Ok(S3Response::new(output))
    }

    /// CompleteMultipartUpload. A repeated one answers as the first did.
    pub(in crate::uploads::disk) async fn complete(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let (sender, mut input) = (sender(&req.extensions, &req.input.bucket)?, req.input);
        conditions(input.if_match.as_ref(), input.if_none_match.as_ref())?;
        let claim = claim(&mut input)?;
        let object = self.object(&sender, &input.key, &input.upload_id).await?;
        let rows = self.rows.clone();
        let completed = own_task(async move { rows.complete(&sender, &object, &claim).await }).await.map_err(|e| answer(&e))?;
        failpoint::hit("inbox-completed");
        Ok(S3Response::new(CompleteMultipartUploadOutput {
            location: Some(format!("/{}/{}", input.bucket, input.key)),
            bucket: Some(input.bucket),
            key: Some(input.key),
            e_tag: completed.etag.map(ETag::Strong),
            ..CompleteMultipartUploadOutput::default()
        }))
    }

    /// AbortMultipartUpload.
    pub(in crate::uploads::disk) async fn abort(
        &self,
        req: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let sender = sender(&req.extensions, &req.input.bucket)?;
        let object = self.object(&sender, &req.input.key, &req.input.upload_id).await?;
        self.rows.abort(&object).await.inspect_err(report).map_err(|e| answer(&e))?;
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }

    /// The sender's object in parts; another's is `NoSuchUpload`, as if it were not there.
    pub(super) async fn object(&self, sender: &Sender, key: &str, upload: &str) -> S3Result<Object> {
        self.rows.multipart(sender, key, upload).await.inspect_err(report).map_err(|e| answer(&e))
    }
}

fn checksum(algorithm: Option<&ChecksumAlgorithm>, scope: Option<&ChecksumType>) -> S3Result<(Algorithm, Scope)> {
    let algorithm = algorithm.map_or(Ok(Algorithm::Crc64Nvme), |word| Algorithm::parse(word.as_str())).map_err(|e| answer(&e))?;
    let scope = scope.map_or(Ok(algorithm.default_scope()), |word| Scope::parse(word.as_str())).map_err(|e| answer(&e))?;
    if algorithm.allows(scope) {
        return Ok((algorithm, scope));
    }
    Err(s3_error!(InvalidRequest, "there is no {} checksum of type {}", algorithm.as_str(), scope.as_str()))
}

/// What the request says of the whole object. Values are compared as text, and have one form only.
fn claim(input: &mut CompleteMultipartUploadInput) -> S3Result<Claim> {
    let parts = input.multipart_upload.take().and_then(|list| list.parts).unwrap_or_default();
    if parts.is_empty() {
        return Err(s3_error!(MalformedXML, "name the parts that make the object"));
    }
    let size_bytes = input.mpu_object_size.map(u64::try_from).transpose();
    Ok(Claim {
        parts: parts.into_iter().map(claimed_part).collect::<S3Result<_>>()?,
        size_bytes: size_bytes.map_err(|_| s3_error!(InvalidArgument, "x-amz-mp-object-size is no size"))?,
        checksum: one_of([
            (Algorithm::Crc32, input.checksum_crc32.take()),
            (Algorithm::Crc32c, input.checksum_crc32c.take()),
            (Algorithm::Crc64Nvme, input.checksum_crc64nvme.take()),
            (Algorithm::Sha1, input.checksum_sha1.take()),
            (Algorithm::Sha256, input.checksum_sha256.take()),
        ])?,
        scope: input.checksum_type.take().map(|word| Scope::parse(word.as_str())).transpose().map_err(|e| answer(&e))?,
    })
}

fn claimed_part(part: CompletedPart) -> S3Result<ClaimedPart> {
    let number = part.part_number.and_then(|number| u64::try_from(number).ok());
    let etag = part.e_tag.map(ETag::into_value);
    let (number, etag) = number.zip(etag).ok_or_else(|| s3_error!(MalformedXML, "each part has a PartNumber and an ETag"))?;
    let checksum = one_of([
        (Algorithm::Crc32, part.checksum_crc32),
        (Algorithm::Crc32c, part.checksum_crc32c),
        (Algorithm::Crc64Nvme, part.checksum_crc64nvme),
        (Algorithm::Sha1, part.checksum_sha1),
        (Algorithm::Sha256, part.checksum_sha256),
    ])?;
    Ok(ClaimedPart { number, etag, checksum })
}

fn one_of(values: [(Algorithm, Option<String>); 5]) -> S3Result<Option<(Algorithm, String)>> {
    let mut given = values.into_iter().filter_map(|(algorithm, value)| Some((algorithm, value?)));
    let first = given.next();
    if given.next().is_some() { Err(s3_error!(InvalidRequest, "give one checksum, not several")) } else { Ok(first) }
}
