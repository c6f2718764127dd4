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
    400 "bad-algorithm" "There is no such algorithm of a signing key, or it was named beside a public key." "Choose rsa or ecdsa; leave it out beside a public key.";
    400 "bad-collection" "The collection's name is empty, too long or holds control characters." "Send 1 to 200 characters; pieces are joined by /.";
    400 "bad-cursor" "This is no cursor of a page before." "Take `next_cursor` from the page before, or begin without one.";
    400 "bad-delivery" "There is no such delivery of a stream." "Choose token or cookies.";
    400 "bad-filename" "The file name is empty, too long or holds control characters." "Send 1 to 255 characters.";
    400 "bad-idempotency-key" "The idempotency key is empty, too long or holds odd characters." "Send a UUID.";
    400 "bad-key-pair-id" "The name of a signing key is none." "Send 1 to 64 letters, digits, hyphens and underscores, and only with a public key.";
    400 "bad-lifetime" "The lifetime of the token or link is out of range." "A token lives 1 second to ten years; for a link the detail says.";
    400 "bad-limit" "A page holds 1 to 100." "Ask for that many, and follow `next_cursor`.";
    400 "bad-link-url" "The URL cannot be signed; the detail says why." "Send it whole, percent-encoded, and without CloudFront's own parameters.";
    400 "bad-network" "The network of a policy is none." "Send an IPv4 address, or a range of them as 192.0.2.0/24.";
    400 "bad-origin" "This is no origin of a site." "Write scheme and host, such as https://moodle.example.edu.";
    400 "bad-prefix" "The prefix is no folder of the inbox." "Send a folder such as cardiology/2026/, or leave it out for all of the inbox.";
    400 "bad-public-key" "The public key is none that CloudFront takes." "Send PEM, RSA of at least 2048 bits or ECDSA on P-256.";
    400 "bad-quota" "The limit is more than any disk holds." "Send at most 9007199254740992 bytes; 0 is no limit.";
    400 "bad-role" "There is no such role." "Choose admin, author or viewer.";
    400 "bad-subject" "The subject is empty, too long or holds control characters." "Send 1 to 128 characters.";
    400 "bad-title" "The title is too long or holds control characters." "Send at most 200 characters.";
    400 "bad-webhook-url" "The URL of a webhook is none, is not https, or holds a name, a password or a fragment." "Write https://host/path; http:// needs the setting webhooks.allow_http.";
    400 "conditions-beside-policy" "A link was to be signed with a policy and with other conditions." "Write the conditions into the policy, or leave it out.";
    400 "digest-mismatch" "The body is not the one that its Content-Digest announces." "Send it again.";
    400 "empty-file" "The file is empty." "Choose the recording itself.";
    400 "malformed-access-key" "An access key's name is not one of the inbox's." "Send it as the API gave it: it begins with THEATRUMU.";
    400 "malformed-body" "The body is not the JSON that this route takes; the detail names the place." "Mend the body.";
    400 "malformed-id" "An id is not 32 lowercase hexadecimal digits." "Send the id as the API gave it.";
    400 "malformed-path" "The address holds what is no text." "Write names as UTF-8, percent-encoded.";
    400 "malformed-query" "The query has a member that this route does not know or cannot read; the detail names it." "Mend or drop that member.";
    400 "malformed-rendition" "There is no rendition of such a name." "Take names from the master playlist.";
    400 "nul-in-text" "A text holds the character NUL." "Leave it out.";
    400 "origin-not-permitted" "The operator does not permit embedding on this site." "Ask the operator for it.";
    400 "part-count" "No part was declared, or too many at once." "Declare 1 to 100 parts in a call.";
    400 "part-digest" "A part's SHA-256 is not 64 hexadecimal digits." "Hash the part and write the digest in hexadecimal.";
    400 "part-number" "The upload has no part of this number." "Count from 1 to the upload's number of parts.";
    400 "part-size" "A part does not have the length it must have." "Cut the file by part_size_bytes; only the last part is shorter.";
    400 "private-address" "A webhook's URL names an address that is not on the public internet." "Use a public one, or have an operator allow its network: the setting webhooks.allow_private.";
    400 "title-with-replaces" "A video keeps its title and its collection when its source is replaced." "Leave them out.";
    400 "too-many-origins" "The video is to be embedded on too many sites." "Name at most 20.";
    400 "trim-order" "The in point does not come before the out point." "Exchange them.";
    400 "trim-out-of-range" "A point is not within the source." "Its length is `trim.source_duration_ms`.";
    400 "trim-too-short" "Less than a second would remain." "Move the points apart.";
    400 "unknown-word" "A filter holds a word that is none of those it takes." "Choose one of the words that the detail names.";
    401 "token-expired" "The token has expired." "Get a new one, or sign in again.";
    401 "token-malformed" "This is no token of this server." "Send the token whole, as it was issued.";
    401 "token-missing" "The request carries no token." "Sign in, or send `Authorization: Bearer …`.";
    401 "token-signature" "The token's signature is not by this server's key." "Get a token from this server.";
    403 "cross-origin" "A cookie came with a request that another site's page made." "Send the token as `Authorization: Bearer …` instead.";
    403 "link-other-object" "The link was made for another file." "Ask for one for this file.";
    403 "link-unknown" "The link was forgotten." "Ask for a new one.";
    403 "not-allowed" "Your role does not allow this." "Ask an administrator.";
    403 "origin-not-allowed" "The video may not be shown on this site any more." "Ask its owner.";
    403 "policy-address" "The link is for another network address." "Ask for a new one from where you are.";
    403 "policy-expired" "The link has expired." "Ask for a new one.";
    403 "policy-malformed" "The policy is not one that CloudFront takes." "One statement with Resource and DateLessThan, and at most DateGreaterThan and IpAddress.";
    403 "policy-not-yet" "The link is not valid yet." "Wait, and check the clock of whoever signed it.";
    403 "policy-resource" "The link's policy is for another resource." "Ask for a link for this one.";
    403 "session-ended" "The playback session has ended: it was revoked, or its video was deleted or replaced." "Open the video again.";
    403 "signature-hash" "Hash-Algorithm is neither SHA256 nor SHA1." "Sign with SHA-256 and append Hash-Algorithm=SHA256.";
    403 "signature-key" "The link's Key-Pair-Id is not in the key group, or was revoked." "Ask for a new link.";
    403 "signature-malformed" "The link's signature is incomplete or garbled." "Send the link whole, as it was signed.";
    403 "signature-mismatch" "The signature does not fit the link." "Add and change nothing after signing; ask for a new link.";
    403 "signature-missing" "The link is not signed." "Use a signed URL, or send the CloudFront-* cookies.";
    403 "signature-weak-hash" "The signature is over SHA-1, which this server does not accept." "Sign with SHA-256 and append Hash-Algorithm=SHA256.";
    403 "token-other-video" "The playback token is for another video or version." "Ask for a session of this video.";
    404 "not-found" "There is no such thing, or you may not see it." "Check the id, and whose it is.";
    404 "page-missing" "This server was built without the page." "Tell the operator.";
    404 "unknown-route" "The API has no such route." "Look it up in /docs/api.";
    405 "method-not-allowed" "The route does not take this method." "Use one that the header Allow names.";
    409 "cookies-need-tls" "Signed cookies travel by https only, and the site has no https address." "Use delivery token, or tell the operator.";
    409 "idempotency-answer-lost" "The first request with this key was carried out, but its answer was lost." "Look at what is there, then use a new key.";
    409 "idempotency-in-progress" "The first request with this key is still being carried out." "Ask again after `Retry-After` seconds.";
    409 "inbox-closed" "The inbox is closed, so no access key opens it." "Ask the operator to set inbox.enabled.";
    409 "inbox-upload" "The upload comes in over S3 by another client." "Complete or abort it there.";
    409 "key-pair-id-taken" "Another signing key has this name." "Revoke that one first, or choose another name.";
    409 "no-private-key" "The signing key was imported without its private key and cannot sign here." "Choose a key that was made here.";
    409 "no-signing-key" "The signing key was revoked this moment." "Try again.";
    409 "not-dead" "The job is no dead letter, or its video was refused or deleted." "Look at the job again.";
    409 "not-playable" "The video cannot be played yet." "Wait until it is playable; GET /v1/changes tells.";
    409 "not-ready" "Only a video that is ready can be downloaded, replaced or trimmed." "Wait until it is ready; GET /v1/changes tells.";
    409 "origin-not-listed" "The video may not be embedded on this site." "Allow it by PUT /v1/videos/{id}/embedding.";
    409 "parts-missing" "Parts have not arrived; `missing` names the first hundred." "Send them, then finish again.";
    409 "reconciling" "A reconciliation runs already." "Wait for its end; GET /v1/storage tells.";
    409 "refused" "The video was refused and cannot be played." "Its `refusal` says why; upload a mended file.";
    409 "replacement-in-progress" "The video is being replaced or trimmed already." "Wait for that to end, or call it off.";
    409 "trim-unchanged" "The video has these in and out points already." "Choose others.";
    409 "upload-ended" "The upload was given up, or its time is over." "Begin a new one.";
    409 "upload-finished" "The upload is finished already." "Use its video.";
    409 "verifying" "A verification of all videos runs already." "Wait for its end; GET /v1/verifications tells.";
    409 "version-gone" "The video was replaced just now." "Ask again.";
    409 "webhook-disabled" "Nothing is sent to the webhook." "Enable it: all that it has not had is sent then.";
    412 "precondition-failed" "It is not what `If-Match` names: someone changed it, or it cannot be read at all." "Read it again, then decide anew.";
    413 "body-too-large" "The body is larger than the API takes." "Send less at once.";
    413 "file-too-large" "The file is larger than this server takes." "Send a smaller file, or ask the operator.";
    415 "not-json" "The body is not declared as JSON." "Send `Content-Type: application/json`.";
    416 "range-not-satisfiable" "The range begins beyond the end of the file." "The header Content-Range says how long it is.";
    422 "idempotency-key-reused" "The key was used for another request." "Use a new key for each request.";
    500 "internal" "A defect of Theatrum or its host." "Report it with the request id.";
    501 "format-not-implemented" "oEmbed is answered in JSON only." "Ask for format=json.";
    503 "audit-unavailable" "The audit log cannot be written, and nothing is shown without it." "Try again later.";
    503 "catalog-busy" "The catalog is busy." "Try again.";
    503 "disk-full" "The server's disk is full." "Tell the operator; try again later.";
    503 "unavailable" "A part that the call needs is out of reach." "Try again later.";
    507 "insufficient-storage" "The server has no room for the upload." "Tell the operator; when there is room, send the file again.";
    507 "quota-exceeded" "The upload, or the video to be moved, is more than the quota leaves." "Delete videos, or ask an administrator for a larger quota.";
};
