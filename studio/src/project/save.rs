//! Writes labels and restarts the journal, on any thread.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use unet_wgpu::low_level::io::Output;
use unet_wgpu::low_level::io::fs;
use unet_wgpu::{Error, Result};

use super::Shared;
use super::journal::Base;
use super::journal_file::JournalFile;
use super::label_files::{Mark, labels_tiff, mask_tiff, others, set_aside};
use crate::labels::Labels;

pub(super) fn lock(journal: &Mutex<JournalFile>) -> MutexGuard<'_, JournalFile> {
    journal.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Labels to be saved: a snapshot, which later edits do not change. Runs on any thread; dropped, nothing is saved.
///
/// At any moment the label file and the journal together hold all finished edits: the journal names the file before it is
/// written, and starts again after it.
#[derive(Debug)]
pub struct SaveJob {
    pub(super) shared: Arc<Shared>,
    pub(super) journal: Arc<Mutex<JournalFile>>,
    pub(super) name: String,
    pub(super) labels: Labels,
    /// Number of the save.
    pub(super) save: u64,
}

impl SaveJob {
    /// Writes labels/NAME.tif, and masks/NAME.tif if there are several classes; then the journal starts again. On an error the
    /// earlier file is unchanged, and the journal holds everything.
    pub fn run(self) -> Result<()> {
        let Self { shared, journal, name, labels, .. } = &self;
        let path = shared.labels(name);
        let failed = |path: &Path, reason: String| Error::file(path, reason);
        let bytes = labels_tiff(labels).map_err(|e| failed(&path, e))?;
        let base = Base::of(labels, Some(Mark::of(&bytes)));
        lock(journal).announce(&base)?;
        let foreign = lock(journal).is_foreign();
        if foreign && fs::is_file(&path) {
            set_aside(shared, &path, true)?;
        }
        replace(&path, &bytes)?;
        drop(bytes);
        // Two files of labels of an image would be an error in training.
        for other in others(shared, "labels", name) {
            set_aside(shared, &other, false)?;
        }
        if shared.masks.load(Ordering::Relaxed) {
            write_mask(shared, name, labels, foreign)?;
        }
        lock(journal).restart(base)
    }
}

impl Drop for SaveJob {
    fn drop(&mut self) {
        lock(&self.journal).abandon(self.save);
    }
}

/// Writes the mask of an image. A `foreign` one is kept aside.
pub(super) fn write_mask(shared: &Shared, name: &str, labels: &Labels, foreign: bool) -> Result<()> {
    let path = shared.mask(name);
    let bytes = mask_tiff(labels).map_err(|e| Error::file(&path, e))?;
    if foreign && fs::read(&path).is_ok_and(|old| old != bytes) {
        set_aside(shared, &path, true)?;
    }
    replace(&path, &bytes)?;
    for other in others(shared, "masks", name) {
        set_aside(shared, &other, false)?;
    }
    Ok(())
}

/// Writes a file atomically, in a folder that is created if missing.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
    }
    Output::from(path).replace(|w| w.write_all(bytes))
}
