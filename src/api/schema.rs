//! How the ids and words of the domain look in the OpenAPI document. Each list of words is the domain's own, so that the two cannot differ.

use super::webhooks::DELIVERY_STATES;
use crate::domain::role::Role;
use crate::domain::{event, job, replacement, upload, verification, video};
use crate::links::cloudfront::Algorithm;
use std::borrow::Cow;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{KnownFormat, RefOr, SchemaFormat};
use utoipa::{PartialSchema, ToSchema};

/// Writes a schema of strings for each name: all that a field's `#[schema(value_type = …)]` needs.
macro_rules! texts {
    ($($(#[doc = $doc:literal])+ $name:ident: $build:expr;)+) => {$(
        $(#[doc = $doc])+
        #[derive(Debug)]
        pub(super) enum $name {}

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let build: fn(ObjectBuilder) -> ObjectBuilder = $build;
                let text = ObjectBuilder::new().schema_type(Type::String).description(Some(concat!($($doc),+).trim()));
                build(text).into()
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($name))
            }
        }
    )+};
}

texts! {
    /// 32 lowercase hexadecimal digits; later ids sort after earlier ones.
    Id: |text| text.pattern(Some("^[0-9a-f]{32}$")).examples(["0199d5a0c2b47c3f8e1a5b6d7f809112"]);
    /// The public name of an S3 access key.
    AccessKey: |text| text.pattern(Some("^THEATRUMU[0-9A-F]{11}$")).examples(["THEATRUMU0123456789A"]);
    /// What someone may do.
    RoleWord: |text| text.enum_values(Some(Role::ALL.map(Role::as_str)));
    /// Where a video stands.
    VideoState: |text| text.enum_values(Some(video::State::ALL.map(video::State::as_str)));
    /// What the processing of a video is busy with.
    VideoStage: |text| text.enum_values(Some(video::Stage::ALL.map(video::Stage::as_str)));
    /// Where an upload stands.
    UploadState: |text| text.enum_values(Some(upload::State::ALL.map(upload::State::as_str)));
    /// What a job does.
    JobKind: |text| text.enum_values(Some(job::Kind::ALL.iter().map(|kind| kind.as_str())));
    /// Where a job stands.
    JobState: |text| text.enum_values(Some(job::State::ALL.iter().map(|state| state.as_str())));
    /// What the version in the making is made from: a new source, or another cut of its own.
    ReplacementKind: |text| text.enum_values(Some(replacement::Kind::ALL.iter().map(|kind| kind.as_str())));
    /// Where a replacement stands that is not published.
    ReplacementState: |text| text.enum_values(Some(replacement::State::ALL.iter().map(|state| state.as_str())));
    /// What happened.
    EventKind: |text| text.enum_values(Some(event::Kind::ALL.iter().map(|kind| kind.as_str())));
    /// Whether an endpoint has had an event.
    DeliveryState: |text| text.enum_values(Some(DELIVERY_STATES));
    /// Where a verification stands.
    VerificationState: |text| text.enum_values(Some(verification::State::ALL.iter().map(|state| state.as_str())));
    /// What kind of blob a finding is about.
    FindingPiece: |text| text.enum_values(Some(verification::Piece::ALL.iter().map(|piece| piece.as_str())));
    /// What is wrong with a blob.
    FindingProblem: |text| text.enum_values(Some(verification::Problem::ALL.iter().map(|problem| problem.as_str())));
    /// What became of a finding.
    FindingOutcome: |text| text.enum_values(Some(verification::Outcome::ALL.iter().map(|outcome| outcome.as_str())));
    /// What a signing key computes with.
    AlgorithmWord: |text| text.enum_values(Some(Algorithm::ALL.map(Algorithm::as_str)));
    /// How the player gets at the stream.
    DeliveryWord: |text| text.enum_values(Some(["token", "cookies"]));
    /// SHA-256 in hexadecimal.
    Sha256: |text| text.pattern(Some("^[0-9a-fA-F]{64}$"));
}

/// A moment: epoch milliseconds.
#[derive(Debug)]
pub(super) enum Moment {}

impl PartialSchema for Moment {
    fn schema() -> RefOr<Schema> {
        let number = ObjectBuilder::new().schema_type(SchemaType::Type(Type::Integer));
        let number = number.format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)));
        number.description(Some("Epoch milliseconds.")).examples([1_790_000_000_000_i64]).into()
    }
}

impl ToSchema for Moment {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Moment")
    }
}
