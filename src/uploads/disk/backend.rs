//! What s3s calls once a request is authentic and its sender known: each bucket has a room of its own.

use super::inbox::Door;
use super::parts::Parts;
use crate::uploads::{BUCKET, INBOX, Sender};
use async_trait::async_trait;
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CreateBucketInput,
    CreateBucketOutput, CreateMultipartUploadInput, CreateMultipartUploadOutput, DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput,
    DeleteObjectsOutput, GetBucketLocationInput, GetBucketLocationOutput, GetObjectInput, GetObjectOutput, HeadBucketInput,
    HeadBucketOutput, HeadObjectInput, HeadObjectOutput, ListBucketsInput, ListBucketsOutput, ListMultipartUploadsInput,
    ListMultipartUploadsOutput, ListObjectsInput, ListObjectsOutput, ListObjectsV2Input, ListObjectsV2Output, ListPartsInput,
    ListPartsOutput, PostObjectInput, PostObjectOutput, PutObjectInput, PutObjectOutput, UploadPartInput, UploadPartOutput,
};
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};
use tracing::Dispatch;
use tracing::instrument::WithSubscriber;

/// The operations of the endpoint; all that are not here answer `NotImplemented`.
pub(super) struct Backend {
    pub parts: Parts,
    pub inbox: Option<Door>,
    /// Where the house's own words go: s3s, which calls, is heard by nobody.
    pub log: Dispatch,
}

impl Backend {
    /// The inbox, if that is the bucket: the other one has no operations but UploadPart.
    fn inbox(&self, bucket: &str) -> S3Result<&Door> {
        let open = self.inbox.as_ref().filter(|_| bucket != BUCKET);
        open.ok_or_else(|| s3_error!(NotImplemented, "this bucket takes announced parts and nothing else"))
    }
}

#[async_trait]
impl S3 for Backend {
    async fn upload_part(&self, req: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        match &self.inbox {
            Some(inbox) if req.extensions.get::<Sender>().is_some() => inbox.upload_part(req).with_subscriber(self.log.clone()).await,
            _ => self.parts.upload_part(req).with_subscriber(self.log.clone()).await,
        }
    }

    async fn head_bucket(&self, req: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        if is_ours(&req.input.bucket, &req) {
            return Ok(S3Response::new(HeadBucketOutput::default()));
        }
        Err(s3_error!(NoSuchBucket, "there is no such bucket"))
    }

    // Some clients make the bucket before they use it.
    async fn create_bucket(&self, req: S3Request<CreateBucketInput>) -> S3Result<S3Response<CreateBucketOutput>> {
        Err(if is_ours(&req.input.bucket, &req) { s3_error!(BucketAlreadyOwnedByYou) } else { s3_error!(AccessDenied) })
    }

    // An empty constraint is us-east-1, the region every client assumes.
    async fn get_bucket_location(&self, req: S3Request<GetBucketLocationInput>) -> S3Result<S3Response<GetBucketLocationOutput>> {
        if is_ours(&req.input.bucket, &req) {
            return Ok(S3Response::new(GetBucketLocationOutput::default()));
        }
        Err(s3_error!(NoSuchBucket, "there is no such bucket"))
    }

    async fn list_buckets(&self, req: S3Request<ListBucketsInput>) -> S3Result<S3Response<ListBucketsOutput>> {
        self.inbox(INBOX)?.list_buckets(&req)
    }

    async fn list_objects(&self, req: S3Request<ListObjectsInput>) -> S3Result<S3Response<ListObjectsOutput>> {
        self.inbox(&req.input.bucket)?.list_objects(req)
    }

    async fn list_objects_v2(&self, req: S3Request<ListObjectsV2Input>) -> S3Result<S3Response<ListObjectsV2Output>> {
        self.inbox(&req.input.bucket)?.list_objects_v2(req)
    }

    async fn put_object(&self, req: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        self.inbox(&req.input.bucket)?.put_object(req).with_subscriber(self.log.clone()).await
    }

    // s3s would make a PutObject of it, whose key nobody has looked at.
    async fn post_object(&self, _req: S3Request<PostObjectInput>) -> S3Result<S3Response<PostObjectOutput>> {
        Err(s3_error!(NotImplemented, "form uploads are not supported; use PUT"))
    }

    async fn head_object(&self, req: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        self.inbox(&req.input.bucket)?.head_object(req).with_subscriber(self.log.clone()).await
    }

    async fn get_object(&self, req: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        self.inbox(&req.input.bucket)?;
        Err(s3_error!(AccessDenied, "what comes in becomes a video: watch it there"))
    }

    async fn delete_object(&self, req: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        self.inbox(&req.input.bucket)?.delete_object(req).with_subscriber(self.log.clone()).await
    }

    async fn delete_objects(&self, req: S3Request<DeleteObjectsInput>) -> S3Result<S3Response<DeleteObjectsOutput>> {
        self.inbox(&req.input.bucket)?.delete_objects(req).with_subscriber(self.log.clone()).await
    }

    async fn create_multipart_upload(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        self.inbox(&req.input.bucket)?.create(req).with_subscriber(self.log.clone()).await
    }

    async fn complete_multipart_upload(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        self.inbox(&req.input.bucket)?.complete(req).with_subscriber(self.log.clone()).await
    }

    async fn abort_multipart_upload(&self, req: S3Request<AbortMultipartUploadInput>) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        self.inbox(&req.input.bucket)?.abort(req).with_subscriber(self.log.clone()).await
    }

    async fn list_parts(&self, req: S3Request<ListPartsInput>) -> S3Result<S3Response<ListPartsOutput>> {
        self.inbox(&req.input.bucket)?.list_parts(req).with_subscriber(self.log.clone()).await
    }

    async fn list_multipart_uploads(&self, req: S3Request<ListMultipartUploadsInput>) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        self.inbox(&req.input.bucket)?.list_multiparts(req).with_subscriber(self.log.clone()).await
    }
}

/// Whether it is the one bucket of who asks.
fn is_ours<T>(bucket: &str, req: &S3Request<T>) -> bool {
    bucket == if req.extensions.get::<Sender>().is_some() { INBOX } else { BUCKET }
}
