//! Models by name: built-in ones and files.

use std::path::Path;

#[cfg(feature = "std-fs")]
use super::load_state;
use super::{Checkpoint, builtin};
use crate::error::{Error, Result};
#[cfg(feature = "std-fs")]
use crate::io::fs;

/// The checkpoint of a built-in model or of a file.
pub fn open(model: &str) -> Result<Checkpoint> {
    open_state(model, None)
}

/// [`open`] with a choice of state dict by name (`ema`, `teacher.model`), for files with several. Errors if there is
/// none of that name.
pub fn open_state(model: &str, state: Option<&str>) -> Result<Checkpoint> {
    if let Some(builtin) = builtin::find(model) {
        if let Some(state) = state {
            return Err(Error::invalid(format!("state={state}"), format!("{model} holds one state dict")));
        }
        return builtin.load();
    }
    let path = Path::new(model);
    #[cfg(feature = "std-fs")]
    if fs::try_exists(path).map_err(|e| Error::io(path, e))? {
        return load_state(path, state);
    }
    let names: Vec<_> = builtin::BUILTIN.iter().map(|b| b.name).collect();
    let names = if names.is_empty() { "none".to_string() } else { names.join(", ") };
    // A bare word is probably a model name.
    Err(if path.extension().is_none() && path.components().count() <= 1 {
        Error::invalid(format!("model `{model}`"), format!("neither a file nor a built-in model ({names})"))
    } else {
        Error::file(path, format!("no such file (built-in models: {names})"))
    })
}
