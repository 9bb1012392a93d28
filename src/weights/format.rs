//! Checkpoint files: the formats known, and loading and saving by them.

use std::io::Read;
use std::path::Path;

use super::builtin;
use super::gzip::{self, Bounds};
use super::kinds::looks_like;
use super::safetensors::SafetensorsFormat;
#[cfg(feature = "pytorch")]
use super::torch::TorchFormat;
use super::{ModelMetadata, Weights};
use crate::error::{Error, Result};
use crate::io::{Input, Nature, Output};

/// Largest checkpoint that is read, in bytes, before and after inflating.
pub const MAX_BYTES: u64 = 8 << 30;
/// How many of a file's first bytes a format is recognised by.
const HEAD: usize = 4096;

/// Every format known. A new one is one file and one entry here.
pub const FORMATS: &[&dyn WeightFormat] = &[
    &SafetensorsFormat,
    #[cfg(feature = "pytorch")]
    &TorchFormat,
];

/// What a checkpoint file holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checkpoint {
    /// What the file says about the network; only native checkpoints say anything.
    pub metadata: Option<ModelMetadata>,
    /// The parameters under the names the file has for them.
    pub weights: Weights,
    /// What else the file holds, and why it is not among the parameters.
    pub ignored: Vec<Ignored>,
    /// What the user should know of how the file was read.
    pub notes: Vec<String>,
}

/// Something in a file that is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ignored {
    /// Its name in the file.
    pub key: String,
    /// Why it is not used.
    pub reason: String,
}

/// How numbers are stored in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StoredType {
    /// 32-bit floats: exact.
    #[default]
    F32,
    /// 16-bit floats for tensors of two dimensions or more. The others (batch normalisation, biases) are small and
    /// sensitive and stay 32-bit, and so does any tensor with a value that 16 bits cannot hold.
    F16,
}

/// A file format for checkpoints.
pub trait WeightFormat: Sync {
    /// What users call it.
    fn name(&self) -> &'static str;
    /// File name endings, without the dot, lower case.
    fn extensions(&self) -> &'static [&'static str];
    /// Whether a file starting with `head` is of this format. `path` may break a tie, it need not exist.
    fn sniff(&self, head: &[u8], path: &Path) -> bool;
    /// Reads a whole file. `path` is for errors only; `state` is the name of the state dict to read, of a file with several.
    fn read(&self, bytes: &[u8], path: &Path, state: Option<&str>) -> Result<Checkpoint>;
    /// Reads a file without taking it into memory first, where the format can.
    fn read_file(&self, _path: &Path, _state: Option<&str>) -> Option<Result<Checkpoint>> {
        None
    }
    /// The bytes of a whole file. `path` is for errors only.
    fn write(&self, _checkpoint: &Checkpoint, _stored: StoredType, path: &Path) -> Result<Vec<u8>> {
        Err(Error::file(path, format!("{} files can be read but not written", self.name())))
    }
}

/// The checkpoint of a built-in model's name or of a file.
pub fn open(model: &str) -> Result<Checkpoint> {
    open_state(model, None)
}

/// The same, of a file with several state dicts the one of that name (`ema`, `teacher.model`). Fails if there is none.
pub fn open_state(model: &str, state: Option<&str>) -> Result<Checkpoint> {
    if let Some(builtin) = builtin::find(model) {
        if let Some(state) = state {
            return Err(Error::invalid(format!("state={state}"), format!("{model} holds one state dict")));
        }
        return builtin.load();
    }
    let path = Path::new(model);
    #[cfg(feature = "std-fs")]
    if path.try_exists().map_err(|e| Error::io(path, e))? {
        return load_state(path, state);
    }
    let names: Vec<_> = builtin::BUILTIN.iter().map(|b| b.name).collect();
    let names = if names.is_empty() { "none".to_string() } else { names.join(", ") };
    // A bare word was meant as a name.
    Err(if path.extension().is_none() && path.components().count() <= 1 {
        Error::invalid(format!("model `{model}`"), format!("neither a file nor a built-in model ({names})"))
    } else {
        Error::file(path, format!("no such file (built-in models: {names})"))
    })
}

/// Reads a checkpoint of any known format, gzipped or not.
pub fn load(input: impl Into<Input>) -> Result<Checkpoint> {
    load_state(input, None)
}

/// The same, of one with several state dicts that of the name `state`, as in [`open_state`].
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
    // Decided before the rest is read: a large video, or an endless device file, costs nothing.
    let format = if gzip::is_gzip(&bytes) { None } else { Some(recognise(&bytes, path)?) };
    let large = || Error::file(path, format!("larger than the {MAX_BYTES} bytes allowed"));
    if expected > MAX_BYTES {
        return Err(large());
    }
    // A pipe can be read only once, and has been begun.
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

/// Reads a checkpoint of any known format, gzipped or not, from memory. `name` is what errors call it.
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

/// Writes a checkpoint in the format of the output's name, gzipped if it ends in `.gz`. The file appears complete or not
/// at all, and an older file of that name stays until then.
pub fn save(output: impl Into<Output>, checkpoint: &Checkpoint, stored: StoredType) -> Result<()> {
    let output = output.into();
    let path = output.name();
    let packed = has_extension(path, &["gz"]);
    let plain = if packed { path.with_extension("") } else { path.to_path_buf() };
    let format = FORMATS.iter().find(|f| has_extension(&plain, f.extensions())).ok_or_else(|| {
        Error::file(path, format!("the ending does not say which format to write; known: {}", known()))
    })?;
    let mut bytes = format.write(checkpoint, stored, path)?;
    if packed {
        bytes = gzip::deflate(&bytes, path)?;
    }
    output.replace(|w| w.write_all(&bytes))
}

/// Whether the name ends in `.` and one of `extensions`, in any case.
pub(super) fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    path.extension().and_then(|e| e.to_str()).is_some_and(|e| extensions.iter().any(|x| e.eq_ignore_ascii_case(x)))
}

fn known() -> String {
    let one = |f: &&dyn WeightFormat| format!("{} (.{})", f.name(), f.extensions().join(", ."));
    format!("{}, plain or gzipped (.gz)", FORMATS.iter().map(one).collect::<Vec<_>>().join(", "))
}

fn recognise(bytes: &[u8], path: &Path) -> Result<&'static dyn WeightFormat> {
    recognise_as(bytes, path, path)
}

/// The format of `bytes`, whose file is `path` and would be called `inner` if it were not packed.
fn recognise_as(bytes: &[u8], path: &Path, inner: &Path) -> Result<&'static dyn WeightFormat> {
    let head = &bytes[..bytes.len().min(HEAD)];
    if head.is_empty() {
        return Err(Error::file(path, "the file is empty"));
    }
    if let Some(format) = FORMATS.iter().find(|f| f.sniff(head, inner)) {
        return Ok(*format);
    }
    let looks = looks_like(head);
    // The ending decides only where the content says nothing: the format's reader can then say what is damaged.
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
