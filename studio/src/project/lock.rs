//! One studio per project.

use std::io::{Read, Write};
use std::path::Path;

use unet_wgpu::low_level::io::fs::{File, OpenOptions, TryLockError};
use unet_wgpu::{Error, Result};

/// File that is locked. It stays: who removed it would lock another file than who has it open.
const FILE: &str = ".unet-studio.lock";

/// The lock of a project, which ends with its last user or with the process.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "held open for its lock")] File);

impl Lock {
    /// Locks a project. None where the file system has no locks.
    pub fn of(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(FILE);
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = opened.map_err(|e| Error::io(&path, e))?;
        match file.try_lock() {
            Ok(()) => {
                // Only a help for people: a failure changes nothing. A browser has no processes.
                if !cfg!(target_family = "wasm") {
                    let _ = file.set_len(0);
                    let _ = write!(file, "{}", std::process::id());
                }
                Ok(Some(Self(file)))
            }
            Err(TryLockError::WouldBlock) => {
                let mut process = String::new();
                let who = match file.read_to_string(&mut process) {
                    Ok(1..) => format!(" (process {process})"),
                    _ => String::new(),
                };
                Err(Error::file(folder, format!("is open in another unet studio{who}; close it there first")))
            }
            Err(TryLockError::Error(_)) => Ok(None),
        }
    }
}
