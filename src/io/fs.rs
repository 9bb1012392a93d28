//! Files by path: those of [`std::fs`], or in a browser, which has none, files in memory under the same names.
//!
//! The library uses these, never `std::fs` or the methods of [`Path`] that ask it.

#[cfg(any(test, all(target_family = "wasm", target_os = "unknown")))]
pub mod memory;

use std::path::Path;

#[cfg(all(target_family = "wasm", target_os = "unknown"))]
pub use memory::{
    DirEntry, File, FileType, Metadata, OpenOptions, ReadDir, canonicalize, copy, create_dir, create_dir_all,
    hard_link, metadata, read, read_dir, read_to_string, remove_dir, remove_dir_all, remove_file, rename,
    symlink_metadata, try_exists, write,
};
pub use std::fs::TryLockError;
#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
pub use std::fs::{
    DirEntry, File, FileType, Metadata, OpenOptions, ReadDir, canonicalize, copy, create_dir, create_dir_all,
    exists as try_exists, hard_link, metadata, read, read_dir, read_to_string, remove_dir, remove_dir_all, remove_file,
    rename, symlink_metadata, write,
};

/// [`Path::exists`].
pub fn exists(path: impl AsRef<Path>) -> bool {
    metadata(path).is_ok()
}

/// [`Path::is_file`].
pub fn is_file(path: impl AsRef<Path>) -> bool {
    metadata(path).is_ok_and(|metadata| metadata.is_file())
}

/// [`Path::is_dir`].
pub fn is_dir(path: impl AsRef<Path>) -> bool {
    metadata(path).is_ok_and(|metadata| metadata.is_dir())
}
