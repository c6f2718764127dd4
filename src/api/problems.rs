//! Every code of a problem document: what it means, and what to do next. The OpenAPI document and the reference page are written from this
//! list, and a test holds it against the source.

use serde_json::{Value, json};

/// A code that problem documents carry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    /// Stable, kebab-case.
    pub code: &'static str,
    /// The HTTP status that it comes with.
    pub status: u16,
    /// What happened.
    pub meaning: &'static str,
    /// What to do next.
    pub next: &'static str,
}

impl Known {
    /// As the OpenAPI document lists it.
    pub(super) fn document(&self) -> Value {
        json!({"code": self.code, "status": self.status, "meaning": self.meaning, "next": self.next})
    }
}

/// The known code of this name.
pub(super) fn known(code: &str) -> Option<&'static Known> {
    CODES.iter().find(|known| known.code == code)
}

macro_rules! codes {
    ($($status:literal $code:literal $meaning:literal $next:literal;)+) => {
        &[$(Known { code: $code, status: $status, meaning: $meaning, next: $next }),+]
    };
}

/// All codes, by status and name.
pub(super) static CODES: &[Known] = codes! {
    400 "bad-algorithm" "The key is of a kind that links are not signed with." "Take an RSA key of 2048 bits or more, or an ECDSA key on P-256.";
    400 "bad-collection" "The collection's name is empty, too long or holds control characters." "Send 1 to 200 characters; pieces are joined by /.";
    400 "bad-cursor" "This is no cursor of a page before." "Take `next_cursor` from the page before, or begin without one.";
    400 "bad-filename" "The file name is empty, too long or holds control characters." "Send 1 to 255 characters.";
    400 "bad-idempotency-key" "The idempotency key is empty, too long or holds odd characters." "Send a UUID.";
    400 "bad-lifetime" "The lifetime of the token is out of range." "Ask for 1 second to ten years.";
    400 "bad-limit" "A page holds 1 to 100." "Ask for that many, and follow `next_cursor`.";
    400 "bad-link-url" "The address cannot be signed." "Send an absolute http or https address.";
    400 "bad-network" "The network is no IPv4 address or range." "Write 192.0.2.7 or 192.0.2.0/24.";
    400 "bad-prefix" "The prefix is no folder of the inbox." "Send a folder such as cardiology/2026/, or leave it out for all of the inbox.";
    400 "bad-public-key" "This is no public key in PEM." "Send the file that begins with -----BEGIN PUBLIC KEY-----.";
    400 "bad-quota" "The limit is more than any disk holds." "Send at most 9007199254740992 bytes; 0 is no limit.";
    400 "bad-role" "There is no such role." "Choose admin, author or viewer.";
    400 "bad-subject" "The subject is empty, too long or holds control characters." "Send 1 to 128 characters.";
    400 "bad-title" "The title is too long or holds control characters." "Send at most 200 characters.";
    400 "digest-mismatch" "The body is not the one that its Content-Digest announces." "Send it again.";
    400 "empty-file" "The file is empty." "Choose the recording itself.";
    400 "malformed-access-key" "An access key's name is not one of the inbox's." "Send it as the API gave it: it begins with THEATRUMU.";
    400 "malformed-body" "The body is not the JSON that this route takes; the detail names the place." "Mend the body.";
    400 "malformed-id" "An id is not 32 lowercase hexadecimal digits." "Send the id as the API gave it.";
    400 "malformed-path" "The address holds what is no text." "Write names as UTF-8, percent-encoded.";
    400 "malformed-query" "The query has a member that this route does not know or cannot read; the detail names it." "Mend or drop that member.";
    400 "malformed-rendition" "There is no rendition of such a name." "Take names from the master playlist.";
    400 "nul-in-text" "A text holds the character NUL." "Leave it out.";
    400 "part-count" "No part was declared, or too many at once." "Declare 1 to 100 parts in a call.";
    400 "part-digest" "A part's SHA-256 is not 64 hexadecimal digits." "Hash the part and write the digest in hexadecimal.";
    400 "part-number" "The upload has no part of this number." "Count from 1 to the upload's number of parts.";
    400 "part-size" "A part does not have the length it must have." "Cut the file by part_size_bytes; only the last part is shorter.";
    400 "unknown-word" "A filter holds a word that is none of those it takes." "Choose one of the words that the detail names.";
    401 "token-expired" "The token has expired." "Get a new one, or sign in again.";
    401 "token-malformed" "This is no token of this server." "Send the token whole, as it was issued.";
    401 "token-missing" "The request carries no token." "Sign in, or send `Authorization: Bearer …`.";
    401 "token-signature" "The token's signature is not by this server's key." "Get a token from this server.";
    403 "cross-origin" "A cookie came with a request that another site's page made." "Send the token as `Authorization: Bearer …` instead.";
    403 "not-allowed" "Your role does not allow this." "Ask an administrator.";
    403 "token-other-video" "The playback token is for another video or version." "Ask for a session of this video.";
    404 "not-found" "There is no such thing, or you may not see it." "Check the id, and whose it is.";
    404 "unknown-route" "The API has no such route." "Look it up in /docs/api.";
    405 "method-not-allowed" "The route does not take this method." "Use one that the header Allow names.";
    409 "idempotency-answer-lost" "The first request with this key was carried out, but its answer was lost." "Look at what is there, then use a new key.";
    409 "idempotency-in-progress" "The first request with this key is still being carried out." "Ask again after `Retry-After` seconds.";
    409 "inbox-closed" "The inbox is closed, so no access key opens it." "Ask the operator to set inbox.enabled.";
    409 "inbox-upload" "The upload comes in over S3 by another client." "Complete or abort it there.";
    409 "not-dead" "The job is no dead letter, or its video was refused or deleted." "Look at the job again.";
    409 "not-playable" "The video cannot be played yet." "Wait until it is playable; GET /v1/events tells.";
    409 "parts-missing" "Parts have not arrived; `missing` names the first hundred." "Send them, then finish again.";
    409 "refused" "The video was refused and cannot be played." "Its `refusal` says why; upload a mended file.";
    409 "upload-ended" "The upload was given up, or its time is over." "Begin a new one.";
    409 "upload-finished" "The upload is finished already." "Use its video.";
    412 "precondition-failed" "It is not what `If-Match` names: someone changed it, or it cannot be read at all." "Read it again, then decide anew.";
    413 "body-too-large" "The body is larger than the API takes." "Send less at once.";
    413 "file-too-large" "The file is larger than this server takes." "Send a smaller file, or ask the operator.";
    415 "not-json" "The body is not declared as JSON." "Send `Content-Type: application/json`.";
    422 "idempotency-key-reused" "The key was used for another request." "Use a new key for each request.";
    500 "internal" "A defect of Theatrum or its host." "Report it with the request id.";
    503 "audit-unavailable" "The audit log cannot be written, and nothing is shown without it." "Try again later.";
    503 "catalog-busy" "The catalog is busy." "Try again.";
    503 "disk-full" "The server's disk is full." "Tell the operator; try again later.";
    503 "unavailable" "A part that the call needs is out of reach." "Try again later.";
    507 "insufficient-storage" "The server has no room for the upload." "Tell the operator; when there is room, send the file again.";
    507 "quota-exceeded" "The upload is more than its quota leaves." "Delete videos, or ask an administrator for a larger quota.";
};
