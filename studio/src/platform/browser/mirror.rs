//! The files in memory of the page and of its worker, which are the same but for what is on its way.
//!
//! The page writes projects, the worker models and results, so that no file is written by both at once.

use super::DROPPED;
use crate::engine::FileChange;
use std::cell::RefCell;
use std::path::Path;
use unet_wgpu::low_level::io::fs::memory::{self, Change};

thread_local! {
    static QUEUES: RefCell<Queues> = const { RefCell::new(Queues { other: Vec::new(), storage: Vec::new() }) };
}

/// Changes that were not told yet.
struct Queues {
    /// To the other side.
    other: Vec<Change>,
    /// To the storage of the page.
    storage: Vec<Change>,
}

/// Puts what has changed here into both queues.
fn note() {
    let new = memory::take_changes();
    QUEUES.with_borrow_mut(|queues| {
        queues.other.extend(new.iter().cloned());
        queues.storage.extend(new);
    });
}

/// What has changed, for the storage.
pub(super) fn to_store() -> Vec<Change> {
    note();
    QUEUES.with_borrow_mut(|queues| std::mem::take(&mut queues.storage))
}

/// What was restored from the storage is new for the other side only.
pub(super) fn restored() {
    QUEUES.with_borrow_mut(|queues| queues.other.extend(memory::take_changes()));
}

/// Whether the other side has no use for a file: images on their way into a project; the latest state of a training, with its
/// optimiser, where there is a best model.
fn is_own(path: &Path) -> bool {
    let best = || memory::metadata(path.with_file_name("best.safetensors")).is_ok();
    path.starts_with(DROPPED) || (path.file_name().is_some_and(|name| name == "last.safetensors") && best())
}

/// What has changed on this side, with bytes, for the other.
pub(crate) fn changes() -> Vec<FileChange> {
    note();
    let new = QUEUES.with_borrow_mut(|queues| std::mem::take(&mut queues.other));
    let told = new.into_iter().filter_map(|change| match change {
        Change::Folder(path) => Some(FileChange::Folder(path)),
        Change::Removed(path) => Some(FileChange::Removed(path)),
        Change::Written(path) if is_own(&path) => None,
        // It may be gone by now, which is told later.
        Change::Written(path) => memory::read(&path).ok().map(|bytes| FileChange::Written(path, bytes)),
    });
    told.collect()
}

/// Takes over what has changed on the other side.
pub(crate) fn apply(changes: Vec<FileChange>) -> Result<(), String> {
    note();
    for change in changes {
        let (done, path) = match &change {
            FileChange::Folder(path) => (memory::create_dir_all(path), path),
            FileChange::Written(path, bytes) => {
                let folder = path.parent().unwrap_or(Path::new("/"));
                (memory::create_dir_all(folder).and_then(|()| memory::write(path, bytes)), path)
            }
            FileChange::Removed(path) => (removed(path), path),
        };
        done.map_err(|e| format!("{}: {e}", path.display()))?;
    }
    // The other side has these.
    let new = memory::take_changes();
    QUEUES.with_borrow_mut(|queues| queues.storage.extend(new));
    Ok(())
}

fn removed(path: &Path) -> std::io::Result<()> {
    match memory::metadata(path) {
        Ok(found) if found.is_dir() => memory::remove_dir_all(path),
        Ok(_) => memory::remove_file(path),
        Err(_) => Ok(()),
    }
}
