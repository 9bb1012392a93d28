//! Images on the disk, which are files, or in OME-Zarr folders of files: finding, linking and comparing either.

use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use unet_wgpu::low_level::infer::is_zarr;
use unet_wgpu::low_level::io::fs::{self, File};
use unet_wgpu::low_level::io::image_formats::readable_extensions;
use unet_wgpu::low_level::io::write_atomically;
use unet_wgpu::{Error, Result};

/// Whether something is there that can be an image: a file, or the folder of an OME-Zarr.
pub(super) fn is_file_or_image_folder(path: &Path) -> bool {
    fs::is_file(path) || is_image_folder(path)
}

/// Whether a folder is an OME-Zarr.
pub(super) fn is_image_folder(path: &Path) -> bool {
    fs::is_dir(path) && is_zarr(path)
}

/// Whether it is visible and has the extension of an image.
pub(super) fn is_named_as_image(path: &Path) -> bool {
    let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
    !hidden && has_known_extension(path) && is_file_or_image_folder(path)
}

/// Whether the extension is one of an image.
pub(super) fn has_known_extension(path: &Path) -> bool {
    let known = |e: &str| readable_extensions().any(|k| k.eq_ignore_ascii_case(e));
    path.extension().and_then(|e| e.to_str()).is_some_and(known)
}

/// The files of an image by their paths inside it, sorted; of a file alone one empty path.
fn files(image: &Path) -> io::Result<Vec<PathBuf>> {
    if !fs::is_dir(image) {
        return Ok(vec![PathBuf::new()]);
    }
    let (mut found, mut folders) = (Vec::new(), vec![PathBuf::new()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(image.join(&folder))? {
            let entry = entry?;
            let inside = folder.join(entry.file_name());
            // Not through links, which may lead in circles.
            if entry.file_type()?.is_dir() { &mut folders } else { &mut found }.push(inside);
        }
    }
    found.sort();
    Ok(found)
}

/// The path of a file inside an image, which may be that file itself.
fn inside(image: &Path, file: &Path) -> PathBuf {
    if file.as_os_str().is_empty() { image.into() } else { image.join(file) }
}

/// Bytes of all files of an image.
pub(super) fn length(image: &Path) -> Result<u64> {
    let sum = |files: Vec<PathBuf>| files.iter().map(|file| Ok(fs::metadata(inside(image, file))?.len())).sum();
    files(image).and_then(sum).map_err(|e| Error::io(image, e))
}

/// Hard links of an image's files where possible, else copies. It appears whole or not at all; what is there already is an error.
pub(super) fn link(from: &Path, to: &Path) -> Result<()> {
    let folder = to.parent().unwrap_or(to);
    fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
    let name = to.file_name().unwrap_or_default().to_string_lossy();
    let part = folder.join(format!(".{name}.part"));
    remove(&part)?;
    let linked = files(from).and_then(|files| {
        for file in files {
            let (from, to) = (inside(from, &file), inside(&part, &file));
            to.parent().map_or(Ok(()), fs::create_dir_all)?;
            if fs::hard_link(&from, &to).is_err() {
                let mut from = File::open(&from)?;
                write_atomically(&to, |w| io::copy(&mut from, w).map(drop)).map_err(io::Error::other)?;
            }
        }
        // A rename would replace it.
        if fs::exists(to) { Err(ErrorKind::AlreadyExists.into()) } else { fs::rename(&part, to) }
    });
    linked.map_err(|e| {
        // The first error is the one that tells.
        let _ = remove(&part);
        Error::io(to, e)
    })
}

/// Removes a file or a folder, if it is there.
fn remove(path: &Path) -> Result<()> {
    let removed = if fs::is_dir(path) { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    removed.or_else(|e| if e.kind() == ErrorKind::NotFound { Ok(()) } else { Err(Error::io(path, e)) })
}

/// Whether two images have the same files with the same bytes.
pub(super) fn same(one: &Path, two: &Path) -> Result<bool> {
    let same = || {
        let both = [files(one)?, files(two)?];
        if both[0] != both[1] {
            return Ok(false);
        }
        for file in &both[0] {
            let [one, two] = [one, two].map(|image| inside(image, file));
            if !same_file(&one, &two) && !same_bytes(&one, &two)? {
                return Ok(false);
            }
        }
        Ok(true)
    };
    same().map_err(|e: io::Error| Error::io(one, e))
}

/// Whether two paths are known to lead to one file: a hard link has the same content without a look at it.
#[cfg(unix)]
fn same_file(one: &Path, two: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let id = |path: &Path| fs::metadata(path).ok().map(|m| (m.dev(), m.ino()));
    id(one).is_some() && id(one) == id(two)
}

#[cfg(not(unix))]
fn same_file(one: &Path, two: &Path) -> bool {
    fs::canonicalize(one).is_ok_and(|one| fs::canonicalize(two).is_ok_and(|two| one == two))
}

fn same_bytes(one: &Path, two: &Path) -> io::Result<bool> {
    let [mut one, mut two] = [File::open(one)?, File::open(two)?];
    let [mut a, mut b] = [vec![0; 1 << 16], vec![0; 1 << 16]];
    loop {
        let read = one.read(&mut a)?;
        if read == 0 {
            return Ok(two.read(&mut b)? == 0);
        }
        if two.read_exact(&mut b[..read]).is_err() || a[..read] != b[..read] {
            return Ok(false);
        }
    }
}

#[cfg(test)]
#[path = "image_tree_tests.rs"]
mod tests;
