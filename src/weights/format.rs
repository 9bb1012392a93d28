//! Checkpoint files of the known formats: loading and saving.

use std::io::Read;
use std::path::Path;

use super::checkpoint::{Checkpoint, MAX_BYTES, StoredType, WeightFormat, has_extension};
use super::gzip::{self, Bounds};
use super::kinds::looks_like;
use super::safetensors::SafetensorsFormat;
#[cfg(feature = "pytorch")]
use super::torch::TorchFormat;
use crate::error::{Error, Result};
use crate::io::{Input, Nature, Output};

/// Leading bytes of a file by which its format is recognised.
const HEAD: usize = 4096;

/// Every format known. A new one is one file and one entry here.
pub const FORMATS: &[&dyn WeightFormat] = &[
    &SafetensorsFormat,
    #[cfg(feature = "pytorch")]
    &TorchFormat,
];

/// Reads a checkpoint of any known format, gzipped or not.
pub fn load(input: impl Into<Input>) -> Result<Checkpoint> {
    load_state(input, None)
}

/// [`load`] with a choice of state dict by name, as in [`open_state`](crate::weights::open_state).
pub fn load_state(input: impl Into<Input>, state: Option<&str>) -> Result<Checkpoint> {
    let input = input.into();
    let path = input.name();
    let io = |e| Error::io(path, e);
    let (mut file, expected) = input.open()?;
    let nature = file.get_ref().nature().map_err(io)?;
    if nature == Nature::Folder {
        return Err(Error::file(path, "is a folder, not a model file"));
    }
    let mut bytes = Vec::new();
    (&mut file).take(HEAD as u64).read_to_end(&mut bytes).map_err(io)?;
    // Checked before the rest is read, so that a large video or an endless device file is rejected at once.
    let format = if gzip::is_gzip(&bytes) { None } else { Some(recognise(&bytes, path)?) };
    let large = || Error::file(path, format!("larger than the {MAX_BYTES} bytes allowed"));
    if expected > MAX_BYTES {
        return Err(large());
    }
    // A pipe cannot be reopened, and its head has been read.
    if nature == Nature::File
        && let Some(checkpoint) = format.and_then(|f| f.read_file(path, state))
    {
        return checkpoint;
    }
    // A failed allocation must be an error, not an abort.
    let rest = expected.saturating_sub(bytes.len() as u64) as usize;
    bytes.try_reserve(rest).map_err(|e| Error::file(path, format!("does not fit into memory: {e}")))?;
    file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(large());
    }
    read_bytes(&bytes, path, state)
}

/// Reads a checkpoint of any known format, gzipped or not, from memory. `name` is for errors.
pub fn load_bytes(bytes: &[u8], name: impl AsRef<Path>) -> Result<Checkpoint> {
    read_bytes(bytes, name.as_ref(), None)
}

fn read_bytes(bytes: &[u8], path: &Path, state: Option<&str>) -> Result<Checkpoint> {
    if !gzip::is_gzip(bytes) {
        return recognise(bytes, path)?.read(bytes, path, state);
    }
    let inflated = gzip::inflate(bytes, Bounds::of(MAX_BYTES), path)?;
    // `model.safetensors.gz` is, inflated, `model.safetensors`.
    let inner = if has_extension(path, &["gz"]) { path.with_extension("") } else { path.to_path_buf() };
    recognise_as(&inflated, path, &inner)?.read(&inflated, path, state)
}

/// Writes a checkpoint in the format of the output's name, gzipped if it ends in `.gz`. The write is
/// atomic: on failure an existing file is unchanged.
pub fn save(output: impl Into<Output>, checkpoint: &Checkpoint, stored: StoredType) -> Result<()> {
    let output = output.into();
    let path = output.name();
    let packed = has_extension(path, &["gz"]);
    let plain = if packed { path.with_extension("") } else { path.to_path_buf() };
    let format = FORMATS
        .iter()
        .find(|f| has_extension(&plain, f.extensions()))
        .ok_or_else(|| Error::file(path, format!("no format has this extension; known: {}", known())))?;
    let mut bytes = format.write(checkpoint, stored, path)?;
    if packed {
        bytes = gzip::deflate(&bytes, path)?;
    }
    output.replace(|w| w.write_all(&bytes))
}

fn known() -> String {
    let one = |f: &&dyn WeightFormat| format!("{} (.{})", f.name(), f.extensions().join(", ."));
    format!("{}, plain or gzipped (.gz)", FORMATS.iter().map(one).collect::<Vec<_>>().join(", "))
}

fn recognise(bytes: &[u8], path: &Path) -> Result<&'static dyn WeightFormat> {
    recognise_as(bytes, path, path)
}

/// The format of `bytes` from the file `path`; `inner` is its name without `.gz`.
fn recognise_as(bytes: &[u8], path: &Path, inner: &Path) -> Result<&'static dyn WeightFormat> {
    let head = &bytes[..bytes.len().min(HEAD)];
    if head.is_empty() {
        return Err(Error::file(path, "the file is empty"));
    }
    if let Some(format) = FORMATS.iter().find(|f| f.sniff(head, inner)) {
        return Ok(*format);
    }
    let looks = looks_like(head);
    // The extension decides only if the content does not; the format's reader then reports the damage.
    if looks.is_none()
        && let Some(format) = FORMATS.iter().find(|f| has_extension(inner, f.extensions()))
    {
        return Ok(*format);
    }
    let looks = looks.map(|l| format!(", it looks like {l}")).unwrap_or_default();
    Err(Error::file(path, format!("not a model file{looks}; known formats: {}", known())))
}

#[cfg(test)]
#[path = "format_tests.rs"]
mod tests;
