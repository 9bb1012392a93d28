//! Intermediate bytes: in memory up to a limit, beyond that in a temporary file where there are files.

use std::io;
use std::path::{Path, PathBuf};

/// Storage that is written and then read.
#[cfg(all(feature = "std-fs", not(all(target_family = "wasm", target_os = "unknown"))))]
pub(crate) type Spool = tempfile::SpooledTempFile;
/// Storage that is written and then read.
#[cfg(any(not(feature = "std-fs"), all(target_family = "wasm", target_os = "unknown")))]
pub(crate) type Spool = io::Cursor<Vec<u8>>;

/// A spool that moves to a file in `folder` beyond `in_memory` bytes.
#[cfg(all(feature = "std-fs", not(all(target_family = "wasm", target_os = "unknown"))))]
pub(crate) fn spool(in_memory: usize, folder: &Path) -> Spool {
    tempfile::SpooledTempFile::new_in(in_memory, folder)
}

/// A spool in memory.
#[cfg(any(not(feature = "std-fs"), all(target_family = "wasm", target_os = "unknown")))]
pub(crate) fn spool(_in_memory: usize, _folder: &Path) -> Spool {
    io::Cursor::default()
}

/// The folder of temporary files; empty in a browser, where `temp_dir` panics.
pub(crate) fn temporary_folder() -> PathBuf {
    if cfg!(all(feature = "std-fs", not(target_family = "wasm"))) { std::env::temp_dir() } else { PathBuf::new() }
}

/// Creates a folder for temporary files.
pub(crate) fn make_folder(folder: &Path) -> io::Result<()> {
    if cfg!(feature = "std-fs") { super::fs::create_dir_all(folder) } else { Ok(()) }
}
