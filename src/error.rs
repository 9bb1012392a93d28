//! The one error type of the library. Every variant names what it is about: the file, key, op or shape.

mod hint;
mod message;

use crate::text::mib;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use hint::Hint;
pub use message::Message;

/// Result with the library's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong. Each error is one line that can be shown to a user.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// Reading or writing a file failed.
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A file was read but its content is invalid.
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: Message,
    },
    /// An argument or a configuration value is wrong.
    Invalid {
        /// The argument, option or configuration key.
        what: Message,
        /// What is wrong with it.
        reason: Message,
    },
    /// An operation does not support the given shapes or attributes.
    Op {
        /// The node's label, or the op's name.
        op: String,
        /// What is wrong, with the shapes.
        reason: String,
    },
    /// A parameter the network needs is not in the checkpoint.
    ParameterMissing {
        /// Canonical parameter name.
        key: String,
        /// The most similar name that the file does hold.
        nearest: Option<String>,
    },
    /// A parameter's shape differs from what the network needs.
    ParameterShape {
        /// Canonical parameter name.
        key: String,
        /// Shape the network needs.
        expected: Vec<usize>,
        /// Shape in the file.
        found: Vec<usize>,
    },
    /// No adapter at all.
    NoAdapter,
    /// The requested adapter does not exist.
    UnknownAdapter {
        /// The request.
        requested: String,
        /// `index: name` of every adapter.
        available: Vec<String>,
    },
    /// Something exceeds a limit of the device or the memory limit.
    Limit {
        /// What is too large.
        what: String,
        /// How much it needs, with unit.
        needed: String,
        /// How much there is, with unit.
        limit: String,
    },
    /// The GPU or its driver refused something.
    Gpu {
        /// The op or step that failed.
        what: String,
        /// wgpu's error.
        reason: String,
    },
    /// A value exceeds the range of `f16`; `f32` can hold it.
    F16Range {
        /// The parameter or the layers.
        what: String,
    },
    /// The device has no memory left.
    OutOfMemory {
        /// What was being allocated.
        what: String,
        /// Its size in bytes, if that is known.
        bytes: Option<u64>,
        /// What takes less memory.
        remedy: Option<Hint>,
    },
    /// The device finished nothing for as long as it may; it may still be at work.
    Timeout {
        /// The dispatches or the submission that was waited for.
        what: String,
        /// How long the device finished nothing.
        limit: Duration,
    },
    /// The device is lost, with all that was made on it: which one, and what was being done.
    DeviceLost(String),
    /// The caller cancelled the work.
    Cancelled,
}

impl Error {
    /// An [`Error::Io`] for `path`.
    pub fn io(path: impl AsRef<Path>, source: std::io::Error) -> Self {
        Self::Io { path: path.as_ref().to_path_buf(), source }
    }
    /// An [`Error::File`] for `path`.
    pub fn file(path: impl AsRef<Path>, reason: impl Into<Message>) -> Self {
        Self::File { path: path.as_ref().to_path_buf(), reason: reason.into() }
    }
    /// An [`Error::Invalid`] about `what`.
    pub fn invalid(what: impl Into<Message>, reason: impl Into<Message>) -> Self {
        Self::Invalid { what: what.into(), reason: reason.into() }
    }
    /// An [`Error::Op`] from `op`.
    pub fn op(op: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Op { op: op.into(), reason: reason.into() }
    }

    /// The text with its hints in place, for wrapping it in another error, and for programs that show hints as their own
    /// options.
    pub fn message(&self) -> Message {
        match self {
            Self::Io { path, source } => format!("{}: {source}", path.display()).into(),
            Self::File { path, reason } => Message::from(format!("{}: ", path.display())).then(reason.clone()),
            Self::Invalid { what, reason } => what.clone().then(": ").then(reason.clone()),
            Self::Op { op, reason } => format!("{op}: {reason}").into(),
            Self::ParameterMissing { key, nearest } => {
                let near = nearest.as_ref().map(|n| format!(" (nearest name in the file: `{n}`)")).unwrap_or_default();
                format!("parameter `{key}` is missing{near}").into()
            }
            Self::ParameterShape { key, expected, found } => {
                format!("parameter `{key}`: the network needs shape {expected:?}, the file has {found:?}").into()
            }
            Self::NoAdapter => Message::from(
                "no GPU adapter found. Install a Vulkan, Metal or DX12 driver (software rendering on Debian: \
                 `apt-get install mesa-vulkan-drivers`), or run on the CPU reference with `",
            )
            .then(Hint::UseCpu)
            .then("`"),
            Self::UnknownAdapter { requested, available } => {
                let available: String = available.iter().map(|a| format!("{a}; ")).collect();
                format!("unknown device `{requested}`; available: {available}cpu").into()
            }
            Self::Limit { what, needed, limit } => format!("{what} needs {needed}, the limit is {limit}").into(),
            Self::Gpu { what, reason } => format!("GPU error in {what}: {reason}").into(),
            Self::F16Range { what } => format!("{what} exceeds the range of f16 (65504); f32 can hold it").into(),
            Self::OutOfMemory { what, bytes, remedy } => {
                let size = bytes.map(|b| format!(" ({})", mib(b))).unwrap_or_default();
                let text = Message::from(format!("the GPU device has no memory left for {what}{size}"));
                match remedy {
                    Some(hint) => text.then("; what takes less: `").then(hint.clone()).then("`"),
                    None => text,
                }
            }
            Self::Timeout { what, limit } => {
                let limit = limit.as_secs_f64();
                format!("the GPU device did not finish {what}, nor anything else, within {limit} s").into()
            }
            Self::DeviceLost(reason) => format!("the GPU device was lost: {reason}").into(),
            Self::Cancelled => "cancelled".into(),
        }
    }

    /// An [`Error::OutOfMemory`] that nothing smaller avoided.
    pub(crate) fn even_with(self, smallest: &str) -> Self {
        match self {
            Self::OutOfMemory { what, bytes, remedy } => {
                Self::OutOfMemory { what: format!("{what}, even with {smallest}"), bytes, remedy }
            }
            other => other,
        }
    }

    /// An [`Error::OutOfMemory`] with what takes less memory.
    pub(crate) fn with_remedy(self, hint: Hint) -> Self {
        match self {
            Self::OutOfMemory { what, bytes, .. } => Self::OutOfMemory { what, bytes, remedy: Some(hint) },
            other => other,
        }
    }

    /// The first hint at what the caller can change, if there is one.
    pub fn hint(&self) -> Option<Hint> {
        self.message().hints().next().cloned()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.message().fmt(f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
