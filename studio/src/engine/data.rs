//! Labelled images as a data set: links to the project's files.

use std::io;
use std::path::{Path, PathBuf};
use unet_wgpu::{Error, Result};

/// An image and its labels.
pub type Labelled = [PathBuf; 2];

/// Makes a folder with `images/` and `labels/`.
pub(super) fn link(pairs: &[Labelled], folder: &Path) -> Result<()> {
    for [image, labels] in pairs {
        link_file(image, &folder.join("images"))?;
        link_file(labels, &folder.join("labels"))?;
    }
    Ok(())
}

/// Links a file into a folder, or copies it where links are not possible.
fn link_file(file: &Path, folder: &Path) -> Result<()> {
    let to = folder.join(file.file_name().unwrap_or_default());
    let made = std::fs::create_dir_all(folder);
    let linked = made.and_then(|()| std::fs::hard_link(file, &to).or_else(|_| std::fs::copy(file, &to).map(drop)));
    linked.map_err(|e: io::Error| Error::Io { path: to, source: e })
}

/// A data set that goes with this value.
pub(super) struct Passing(PathBuf);

impl Passing {
    pub(super) fn new(pairs: &[Labelled]) -> Result<Self> {
        let name = format!("unet-studio-{}-{:?}", std::process::id(), std::thread::current().id());
        let passing = Self(std::env::temp_dir().join(name.replace(['(', ')'], "")));
        link(pairs, &passing.0)?;
        Ok(passing)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.0
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        // What is left over lies in the system's folder for temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
