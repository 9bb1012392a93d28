//! Temporary files: of the crate `tempfile`, or where files are in memory, there.

use std::io;
use std::path::Path;

#[cfg(all(target_family = "wasm", target_os = "unknown"))]
pub(crate) use super::fs::memory::NamedTempFile;
#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
pub(crate) use tempfile::NamedTempFile;

/// A file in `folder` whose name begins and ends so, with the permissions of any new file.
#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
pub(super) fn public(folder: &Path, prefix: &str, suffix: &str) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(prefix).suffix(suffix);
    // Temporary files are private by default; this one gets ordinary permissions (the umask applies).
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}

/// A file in `folder` that nobody else may read.
#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
pub(crate) fn private(folder: &Path) -> io::Result<NamedTempFile> {
    NamedTempFile::new_in(folder)
}

/// Whether a file can be made in `folder`.
#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
pub(crate) fn probe(folder: &Path) -> io::Result<()> {
    tempfile::tempfile_in(folder).map(drop)
}

#[cfg(all(target_family = "wasm", target_os = "unknown"))]
pub(super) fn public(folder: &Path, prefix: &str, suffix: &str) -> io::Result<NamedTempFile> {
    NamedTempFile::create(folder, prefix, suffix)
}

#[cfg(all(target_family = "wasm", target_os = "unknown"))]
pub(crate) fn private(folder: &Path) -> io::Result<NamedTempFile> {
    NamedTempFile::create(folder, ".tmp", "")
}

#[cfg(all(target_family = "wasm", target_os = "unknown"))]
pub(crate) fn probe(folder: &Path) -> io::Result<()> {
    private(folder).map(drop)
}
