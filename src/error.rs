//! The one error type of the library. Every variant names what it is about: the file, key, op or shape.

use std::path::{Path, PathBuf};

/// Result with the library's [`enum@Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong. One line each, fit to be shown to a user as it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Reading or writing a file failed.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file was read but is not what it should be.
    #[error("{}: {reason}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// An argument or a configuration value is wrong.
    #[error("{what}: {reason}")]
    Invalid {
        /// The argument, option or configuration key.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An operation was given shapes or attributes it cannot work with.
    #[error("{op}: {reason}")]
    Op {
        /// The node's label, or the op's name.
        op: String,
        /// What is wrong, with the shapes.
        reason: String,
    },
    /// A parameter the network needs is not in the checkpoint.
    #[error("parameter `{key}` is missing{}", .nearest.as_ref().map(|n| format!(" (nearest name in the file: `{n}`)")).unwrap_or_default())]
    ParameterMissing {
        /// Canonical parameter name.
        key: String,
        /// The most similar name that the file does hold.
        nearest: Option<String>,
    },
    /// A parameter has another shape than the network needs.
    #[error("parameter `{key}`: the network needs shape {expected:?}, the file has {found:?}")]
    ParameterShape {
        /// Canonical parameter name.
        key: String,
        /// Shape the network needs.
        expected: Vec<usize>,
        /// Shape in the file.
        found: Vec<usize>,
    },
    /// No adapter at all.
    #[error(
        "no GPU adapter found. Install a Vulkan, Metal or DX12 driver (software rendering on Debian: \
         `apt-get install mesa-vulkan-drivers`), or run on the CPU reference with `--device cpu`"
    )]
    NoAdapter,
    /// The adapter asked for does not exist.
    #[error("unknown device `{wanted}`; available: {}cpu", .available.iter().map(|a| format!("{a}; ")).collect::<String>())]
    UnknownAdapter {
        /// What was asked for.
        wanted: String,
        /// `index: name` of every adapter.
        available: Vec<String>,
    },
    /// Something needs more than the device, or the memory asked for, allows.
    #[error("{what} needs {needed}, the limit is {limit}")]
    Limit {
        /// What is too large.
        what: String,
        /// How much it needs, with unit.
        needed: String,
        /// How much there is, with unit.
        limit: String,
    },
    /// The GPU or its driver refused something.
    #[error("GPU error in {what}: {reason}")]
    Gpu {
        /// The op or step that failed.
        what: String,
        /// What wgpu said.
        reason: String,
    },
    /// Something went beyond what `f16` holds; in `f32` it would not.
    #[error("{what} goes beyond what f16 holds (65504); f32 holds it")]
    F16Range {
        /// The parameter or the layers.
        what: String,
    },
    /// The device is gone; the session must be rebuilt.
    #[error("the GPU device was lost: {0}")]
    DeviceLost(String),
    /// The caller cancelled the work.
    #[error("cancelled")]
    Cancelled,
}

impl Error {
    /// An [`Error::Io`] for `path`.
    pub fn io(path: impl AsRef<Path>, source: std::io::Error) -> Self {
        Self::Io { path: path.as_ref().to_path_buf(), source }
    }
    /// An [`Error::File`] for `path`.
    pub fn file(path: impl AsRef<Path>, reason: impl Into<String>) -> Self {
        Self::File { path: path.as_ref().to_path_buf(), reason: reason.into() }
    }
    /// An [`Error::Invalid`] about `what`.
    pub fn invalid(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid { what: what.into(), reason: reason.into() }
    }
    /// An [`Error::Op`] from `op`.
    pub fn op(op: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Op { op: op.into(), reason: reason.into() }
    }
}
