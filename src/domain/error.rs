//! One error for every port: a kind, a stable code, a public message, the cause, and whether to try again.

use std::fmt;

/// What went wrong, in the few ways a caller can react to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The caller's input is wrong; the same call will fail again.
    Invalid,
    /// The thing does not exist, or the caller may not know that it does.
    NotFound,
    /// The state of the thing forbids the call, or another writer was first.
    Conflict,
    /// No valid credentials.
    Unauthorized,
    /// Valid credentials that do not allow this.
    Forbidden,
    /// A limit on the size of one thing.
    TooLarge,
    /// No room for something new: the disk's reserve or somebody's quota forbids it. Nobody tries again by itself; what was begun
    /// before and finds the disk full is [`Unavailable`](Self::Unavailable) instead.
    OutOfSpace,
    /// A part the call needs is not reachable now.
    Unavailable,
    /// The call took longer than it may.
    Timeout,
    /// A defect of Theatrum or its host.
    Internal,
}

/// The cause of an [`Error`], for logs only.
pub type Cause = Box<dyn std::error::Error + Send + Sync + 'static>;

/// The code of [`Error::disk_full`].
const DISK_FULL: &str = "disk-full";
const CAUSED_BY: &str = ": ";

/// The result of every port.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error that crosses a module border. `code` and `message` may be shown to the caller; `source()` may not.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    code: &'static str,
    message: String,
    retryable: bool,
    hides: bool,
    source: Option<Cause>,
}

impl Error {
    /// An error of `kind` with a stable kebab-case `code` and a public `message`; retryable if the kind usually is.
    pub fn new(kind: ErrorKind, code: &'static str, message: impl Into<String>) -> Self {
        let retryable = matches!(kind, ErrorKind::Unavailable | ErrorKind::Timeout);
        Self { kind, code, message: message.into(), retryable, hides: false, source: None }
    }

    /// A caller's mistake.
    pub fn invalid(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, code, message)
    }

    /// A thing that is not there.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, "not-found", message)
    }

    /// A thing that is there, but not for this caller: to them it is [`Error::not_found`], to the audit log it is a refusal.
    pub fn hidden(message: impl Into<String>) -> Self {
        Self { hides: true, ..Self::not_found(message) }
    }

    /// A state that forbids the call.
    pub fn conflict(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Conflict, code, message)
    }

    /// A defect, with its cause.
    pub fn internal(message: impl Into<String>, source: impl Into<Cause>) -> Self {
        Self::new(ErrorKind::Internal, "internal", message).with_source(source)
    }

    /// The disk has no room for something new: `insufficient-storage`.
    pub fn insufficient_storage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::OutOfSpace, "insufficient-storage", message)
    }

    /// Somebody's quota has no room for something new: `quota-exceeded`.
    pub fn quota_exceeded(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::OutOfSpace, "quota-exceeded", message)
    }

    /// The disk is full although room was promised: whoever was begun waits for some, and goes on. See [`Error::is_disk_full`].
    pub fn disk_full(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, DISK_FULL, message)
    }

    /// A part that is out of reach now, with its cause; retryable.
    pub fn unavailable(message: impl Into<String>, source: impl Into<Cause>) -> Self {
        Self::new(ErrorKind::Unavailable, "unavailable", message).with_source(source)
    }

    /// The same error with the cause that the log shall name.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Cause>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same error, marked as worth (or not worth) another try.
    #[must_use]
    pub fn with_retryable(mut self, retryable: bool) -> Self {
        self.retryable = retryable;
        self
    }

    /// The kind.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The public message.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        self.retryable
    }

    /// Whether nothing but room on the disk is missing.
    pub fn is_disk_full(&self) -> bool {
        self.code == DISK_FULL
    }

    /// Whether someone was refused and is not told so: see [`Error::hidden`].
    pub fn hides_a_refusal(&self) -> bool {
        self.hides
    }

    /// The message followed by every cause, for logs and dead letters.
    pub fn chain(&self) -> String {
        let mut text = self.message.clone();
        let mut next = std::error::Error::source(self);
        while let Some(cause) = next {
            text.push_str(CAUSED_BY);
            text.push_str(&cause.to_string());
            next = cause.source();
        }
        text
    }
}

/// What may be shown of a [`chain`](Error::chain): the public message up to its first colon. A chain begins with that message and a colon comes
/// before each cause, so whatever stands before the first is public.
pub fn public_part(chain: &str) -> &str {
    chain.split_once(CAUSED_BY).map_or(chain, |(public, _)| public)
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|cause| &**cause as &(dyn std::error::Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chain_names_every_cause_and_display_only_the_public_message() {
        let error = Error::internal("could not write the segment", std::io::Error::other("disk on fire"));
        assert_eq!(error.to_string(), "could not write the segment");
        assert_eq!(error.chain(), "could not write the segment: disk on fire");
    }

    #[test]
    fn the_public_part_of_a_chain_holds_no_cause() {
        for (message, public) in [
            ("could not write the segment", "could not write the segment"),
            ("ffmpeg could not run here (exit code: 1)", "ffmpeg could not run here (exit code"),
            ("", ""),
        ] {
            let chain = Error::internal(message, std::io::Error::other("/srv/secret: on fire")).chain();
            assert_eq!(public_part(&chain), public);
        }
        assert_eq!(public_part(Error::not_found("there is no video 1").chain().as_str()), "there is no video 1");
    }
}
