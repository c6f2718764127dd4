//! Why a command did not do what it was asked: a stable code, a sentence, and whether trying again may help.

use std::borrow::Cow;
use std::fmt;

/// What a command ends with when it fails. Shown as `message (code)`; holds no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    code: Cow<'static, str>,
    message: String,
    status: Option<u16>,
    retryable: bool,
}

impl Failure {
    /// A failure with a stable kebab-case `code` and a `message` that says what to do next; trying again will not help.
    pub fn new(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), status: None, retryable: false }
    }

    /// A command line that contradicts itself in a way its grammar cannot say.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new("usage", message)
    }

    /// The same failure, marked as worth another try or not.
    #[must_use]
    pub fn with_retryable(mut self, retryable: bool) -> Self {
        self.retryable = retryable;
        self
    }

    /// The same failure, with the HTTP status that said it.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// The stable code.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The sentence.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The HTTP status, if an answer came at all.
    pub fn status(&self) -> Option<u16> {
        self.status
    }

    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        self.retryable
    }

    /// Whether the caller, not the world, has to change something: exit code 2.
    pub fn is_usage(&self) -> bool {
        self.code == "usage"
    }

    /// Whether the server says that the thing is not there.
    pub fn is_not_found(&self) -> bool {
        self.status == Some(404)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Server texts may quote titles and file names, which may hold anything.
        write!(f, "{} ({})", super::text::Visible(&self.message), super::text::Visible(&self.code))
    }
}

impl std::error::Error for Failure {}

impl From<crate::domain::Error> for Failure {
    fn from(error: crate::domain::Error) -> Self {
        Self::new(error.code(), error.chain()).with_retryable(error.is_retryable())
    }
}
