//! The folder of a run that has no checkpoint yet.

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::infer::write_atomically;
use crate::io::fs;

/// A folder with the configuration of a run, from which on the run can be resumed though it has no checkpoint. Dropped, it is
/// taken back, as far as it was made here; [`Self::keep`] keeps it. A process that is killed leaves it.
#[derive(Debug)]
pub(super) struct Begun {
    config: Option<PathBuf>,
    /// From the outermost.
    folders: Vec<PathBuf>,
}

impl Begun {
    /// Makes the folder and writes `text` to `config` there. One that exists is not this run's to take back.
    pub(super) fn new(dir: &Path, config: PathBuf, text: &str) -> Result<Self> {
        let missing = dir.ancestors().take_while(|f| !f.as_os_str().is_empty() && !fs::exists(f));
        let mut folders: Vec<PathBuf> = missing.map(Path::to_path_buf).collect();
        folders.reverse();
        let mut begun = Self { config: None, folders };
        fs::create_dir_all(dir).map_err(|e| Error::io(dir, e))?;
        let new = !fs::exists(&config);
        write_atomically(&config, |w| w.write_all(text.as_bytes()))?;
        begun.config = new.then_some(config);
        Ok(begun)
    }

    /// From here on the run stays.
    pub(super) fn keep(mut self) {
        self.config = None;
        self.folders.clear();
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        // Failures leave no more behind than a process that is killed.
        if let Some(config) = &self.config {
            let _ = fs::remove_file(config);
        }
        for folder in self.folders.iter().rev() {
            let _ = fs::remove_dir(folder);
        }
    }
}
