//! The content of a checkpoint file, and what a file format must do.

use std::path::Path;

use super::{ModelMetadata, Weights};
use crate::error::{Error, Result};

/// Largest checkpoint that is read, in bytes, before and after inflating.
pub const MAX_BYTES: u64 = 8 << 30;

/// The content of a checkpoint file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checkpoint {
    /// The description of the network; only native checkpoints have one.
    pub metadata: Option<ModelMetadata>,
    /// The parameters under the file's own names.
    pub weights: Weights,
    /// Other content of the file, with the reason for ignoring it.
    pub ignored: Vec<Ignored>,
    /// Notes to the user on how the file was read.
    pub notes: Vec<String>,
}

/// Something in a file that is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ignored {
    /// Its name in the file.
    pub key: String,
    /// Why it is not used.
    pub reason: String,
}

/// How numbers are stored in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StoredType {
    /// 32-bit floats: exact.
    #[default]
    F32,
    /// 16-bit floats for tensors of two dimensions or more. The others (batch normalisation, biases) are small and
    /// sensitive and stay 32-bit, and so does any tensor with a value that 16 bits cannot hold.
    F16,
}

/// A file format for checkpoints.
pub trait WeightFormat: Sync {
    /// Name for users.
    fn name(&self) -> &'static str;
    /// File name endings, without the dot, lower case.
    fn extensions(&self) -> &'static [&'static str];
    /// Whether a file starting with `head` is of this format. `path` may break a tie, it need not exist.
    fn sniff(&self, head: &[u8], path: &Path) -> bool;
    /// Reads a whole file. `path` is for errors only; `state` is the name of the state dict to read, of a file with
    /// several.
    fn read(&self, bytes: &[u8], path: &Path, state: Option<&str>) -> Result<Checkpoint>;
    /// Reads a file without loading it into memory first, if the format supports it.
    fn read_file(&self, _path: &Path, _state: Option<&str>) -> Option<Result<Checkpoint>> {
        None
    }
    /// The bytes of a whole file. `path` is for errors only.
    fn write(&self, _checkpoint: &Checkpoint, _stored: StoredType, path: &Path) -> Result<Vec<u8>> {
        Err(Error::file(path, format!("{} files can be read but not written", self.name())))
    }
}

/// Whether the name ends in `.` and one of `extensions`, in any case.
pub(super) fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    path.extension().and_then(|e| e.to_str()).is_some_and(|e| extensions.iter().any(|x| e.eq_ignore_ascii_case(x)))
}
