//! PyTorch checkpoints (`.pt`, `.pth`, `.ckpt`): a state dict, a training state that holds one, or a whole module,
//! as written by `torch.save`. No Python code is run: the crate `pytorch-reader` reads tensors and plain values only.

#[cfg(any(test, target_family = "wasm"))]
mod calls;
mod content;
#[cfg(not(target_family = "wasm"))]
mod disk;
#[cfg(any(test, target_family = "wasm"))]
mod heap;
#[cfg(any(test, target_family = "wasm"))]
mod memory;
#[cfg(any(test, target_family = "wasm"))]
mod pickle;
#[cfg(not(target_family = "wasm"))]
mod readable_zip;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Seek};
use std::path::Path;

use zip::ZipArchive;
use zip::result::ZipResult;

use super::checkpoint::{Checkpoint, Ignored, MAX_BYTES, WeightFormat, has_extension};
use super::safetensors::{shown, to_f32};
use crate::error::{Error, Result};
use crate::tensor::HostTensor;
use content::{Content, Value};

/// Keys under which training programs store the state dict, in order of precedence.
const WRAPPERS: [&str; 16] = [
    "state_dict",
    "model_state_dict",
    "network_weights",
    "model_state",
    "model_weights",
    "net",
    "model",
    "network",
    "weights",
    "params",
    "state",
    // Averages of the weights over training: used if requested, or if there is nothing else.
    "ema_state_dict",
    "state_dict_ema",
    "model_ema",
    "ema_model",
    "ema",
];
/// Other states in a training checkpoint, never parameters of the network.
const NOT_WEIGHTS: [&str; 5] = ["optim", "sched", "scaler", "amp", "ema"];
/// Maximum depth of nested wrappers.
const MAX_WRAPPERS: usize = 4;
/// How zip archives begin.
const ZIP: &[u8] = b"PK\x03\x04";
/// Suffix of the zip entry that describes the others.
const PICKLE: &str = "data.pkl";
/// Maximum size of a checkpoint's description; real ones have some 200 bytes per tensor.
const MAX_PICKLE: u64 = 16 << 20;
/// Up to this many bytes of tensors in memory, any file size is fine.
const HARMLESS: u64 = 64 << 20;
/// Beyond [`HARMLESS`], no real checkpoint takes more than so many times its own size: bytes become four each.
const LARGEST_RATIO: u64 = 8;
/// Beyond [`HARMLESS`], storages that were packed after PyTorch wrote them inflate to at most so many times the file.
const LARGEST_INFLATION: u64 = 200;
/// Bytes that may be inflated for all tensors together: each begins at the start of its storage.
const MAX_INFLATED: u64 = 16 << 30;
/// Leading bytes in which the magic number of older checkpoints is searched.
const LEGACY_WITHIN: usize = 64;
/// The magic number 0x1950a86a20f9469cfc6c, as Python writes it.
const LEGACY: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
/// Position of a tar file's magic.
const TAR: (usize, &[u8]) = (257, b"ustar");

/// PyTorch's own format.
#[derive(Clone, Copy, Debug, Default)]
pub struct TorchFormat;

impl WeightFormat for TorchFormat {
    fn name(&self) -> &'static str {
        "PyTorch"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["pt", "pth", "ckpt"]
    }

    fn sniff(&self, head: &[u8], path: &Path) -> bool {
        let named = || has_extension(path, self.extensions());
        if head.starts_with(ZIP) {
            return named() || contains(head, PICKLE.as_bytes());
        }
        let legacy = contains(head.get(..LEGACY_WITHIN).unwrap_or(head), &LEGACY);
        let tar = head.get(TAR.0..).is_some_and(|h| h.starts_with(TAR.1));
        legacy
            || (tar && (named() || ["sys_info", "storages", "tensors", "pickle"].iter().any(|n| tar_entry(head) == *n)))
    }

    fn read(&self, bytes: &[u8], path: &Path, state: Option<&str>) -> Result<Checkpoint> {
        #[cfg(target_family = "wasm")]
        return read_memory(bytes, path, state);
        #[cfg(not(target_family = "wasm"))]
        {
            use std::io::Write;
            // The reader needs a file.
            let io = |e| Error::io(path, e);
            let mut file = tempfile::NamedTempFile::new().map_err(io)?;
            file.write_all(bytes).and_then(|()| file.flush()).map_err(io)?;
            read_disk(file.path(), path, state)
        }
    }

    #[cfg(not(target_family = "wasm"))]
    fn read_file(&self, path: &Path, state: Option<&str>) -> Option<Result<Checkpoint>> {
        Some(read_disk(path, path, state))
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|w| w == part)
}

/// The name of the first file in a tar.
fn tar_entry(head: &[u8]) -> &str {
    let name = head.get(..100).unwrap_or_default().split(|&b| b == 0).next().unwrap_or_default();
    std::str::from_utf8(name).unwrap_or_default().trim_start_matches("./")
}

/// Reads `file`; `name` is for errors.
#[cfg(not(target_family = "wasm"))]
fn read_disk(file: &Path, name: &Path, state: Option<&str>) -> Result<Checkpoint> {
    let opened = || std::fs::File::open(file);
    let bytes = opened().and_then(|f| f.metadata()).map_err(|e| Error::io(name, e))?.len();
    let open = || super::zip_file::open_zip_with(|| opened().map(std::io::BufReader::new));
    let mut magic = [0; 4];
    let archive = opened().and_then(|mut f| f.read_exact(&mut magic)).is_ok() && magic == *ZIP;
    let largest_packed = if archive { check_zip(open(), name, bytes)? } else { 0 };
    let readable = readable_zip::ReadableZip::of(file).map_err(|e| Error::io(name, e))?;
    let content = disk::read(readable.path()).map_err(|reason| Error::file(name, reason))?;
    checkpoint(content, bytes, largest_packed, name, state)
}

/// Reads a file in memory; `name` is for errors.
#[cfg(any(test, target_family = "wasm"))]
fn read_memory(bytes: &[u8], name: &Path, state: Option<&str>) -> Result<Checkpoint> {
    let open = || super::zip_file::open_zip_with(|| Ok(std::io::Cursor::new(bytes)));
    let length = bytes.len() as u64;
    let largest_packed = if bytes.starts_with(ZIP) { check_zip(open(), name, length)? } else { 0 };
    let content = memory::read(bytes).map_err(|reason| Error::file(name, reason))?;
    checkpoint(content, length, largest_packed, name, state)
}

/// The weights of a file with so many bytes, whose largest compressed part inflates to so many.
fn checkpoint(
    content: Content,
    bytes: u64,
    largest_packed: u64,
    name: &Path,
    state: Option<&str>,
) -> Result<Checkpoint> {
    let bad = |reason: String| Error::file(name, reason);
    let Content { root: value, tensors } = content;
    let Value::Dict(_) = value else {
        return Err(bad(format!("holds {}, not a state dict or a module", value.what())));
    };
    let mut found = Found::default();
    found.walk("", &value);
    if let Some(duplicate) = &found.duplicate {
        return Err(bad(format!("two tensors have the name `{}`", shown(duplicate))));
    }
    if tensors.is_empty() {
        let there: Vec<_> = found.others.keys().take(6).map(|k| format!("`{}`", shown(k))).collect();
        let there = if there.is_empty() { "nothing".into() } else { there.join(", ") };
        return Err(bad(format!("holds no tensors; it holds {there}")));
    }
    if largest_packed.saturating_mul(tensors.len() as u64) > MAX_INFLATED {
        let reason = format!(
            "{} tensors in storages that inflate to up to {largest_packed} bytes, each to be inflated anew; PyTorch does not \
             compress them",
            tensors.len()
        );
        return Err(bad(reason));
    }
    let largest = bytes.saturating_mul(LARGEST_RATIO).max(HARMLESS);
    let Chosen { prefix, mut ignored, notes } = found.unwrap(&value, state).map_err(bad)?;
    let mut checkpoint = Checkpoint { notes, ..Checkpoint::default() };
    let mut total = 0u64;
    for (key, tensor) in tensors {
        let Some(inner) = key.strip_prefix(&prefix[..]) else {
            let reason = if is_not_weights(&key) { "state of training" } else { "beside the state dict" };
            ignored.push(Ignored { key, reason: reason.into() });
            continue;
        };
        let parameter = |why: String| bad(format!("parameter `{}`: {why}", shown(&key)));
        // In memory every element takes four bytes.
        let in_memory = tensor.bytes().and_then(|n| n.checked_mul(4)).map(|n| n / content::size(tensor.dtype) as u64);
        total = in_memory.and_then(|n| total.checked_add(n)).filter(|&t| t <= MAX_BYTES).ok_or_else(|| {
            parameter(format!("with shape {:?} there are more than the {MAX_BYTES} bytes allowed", tensor.shape))
        })?;
        if total > largest {
            let shape = &tensor.shape;
            return Err(parameter(format!("shape {shape:?} claims far more than the {bytes} bytes that the file has")));
        }
        let elements = (tensor.read)().map_err(|e| bad(format!("damaged: {e}")))?;
        let data = to_f32(tensor.dtype, &elements).map_err(parameter)?;
        let data = HostTensor::new(&*tensor.shape, data).map_err(|e| parameter(e.to_string()))?;
        checkpoint.weights.insert(inner, data);
    }
    if checkpoint.weights.is_empty() {
        return Err(bad(format!("`{}` holds no tensors", prefix.trim_end_matches('.'))));
    }
    for (key, kind) in found.others {
        ignored.push(Ignored { key, reason: format!("{kind}, not a tensor") });
    }
    checkpoint.ignored = ignored;
    Ok(checkpoint)
}

/// Checks a zip of so many bytes before inflating anything; returns the size of the largest compressed entry.
fn check_zip<R: Read + Seek>(zip: ZipResult<ZipArchive<R>>, name: &Path, bytes: u64) -> Result<u64> {
    let bad = |reason: String| Error::file(name, reason);
    let mut zip = zip.map_err(|e| bad(damaged(&e)))?;
    let names: Vec<String> = (0..zip.len()).filter_map(|i| Some(zip.name_for_index(i)?.ok()?.into_owned())).collect();
    let within = |entry: &str| names.iter().any(|n| n == entry || n.ends_with(&format!("/{entry}")));
    if within("constants.pkl") {
        let how = "in Python, `torch.save(torch.jit.load(FILE).state_dict(), NEW)` makes one that can be read, and \
                   `torch.onnx.export` an ONNX model";
        return Err(bad(format!("is a TorchScript program, not a checkpoint; {how}")));
    }
    let Some(i) = names.iter().position(|n| n == PICKLE || n.ends_with(&format!("/{PICKLE}"))) else {
        let there = names.iter().take(4).map(|n| shown(n)).collect::<Vec<_>>().join(", ");
        return Err(bad(format!("a zip archive without PyTorch's `{PICKLE}`; it holds {there}")));
    };
    let entry = zip.by_index_raw(i).map_err(|e| bad(damaged(&e)))?;
    if entry.size() > MAX_PICKLE.min(bytes.max(1 << 20)) {
        return Err(bad(format!("its description of {} bytes is too long for a file of {bytes}", entry.size())));
    }
    drop(entry);
    let (mut largest, mut total) = (0u64, 0u64);
    for i in 0..zip.len() {
        let entry = zip.by_index_raw(i).map_err(|e| bad(damaged(&e)))?;
        if entry.compression() != zip::CompressionMethod::Stored {
            (largest, total) = (largest.max(entry.size()), total.saturating_add(entry.size()));
        }
    }
    if total > bytes.saturating_mul(LARGEST_INFLATION).max(HARMLESS) {
        return Err(bad(format!("{bytes} bytes that inflate to {total}, over {LARGEST_INFLATION} times as many")));
    }
    Ok(largest)
}

fn damaged(e: &dyn std::fmt::Display) -> String {
    format!("the zip archive is damaged or cut off: {e}")
}

/// The content of a file, by dotted names.
#[derive(Default)]
struct Found {
    tensors: BTreeSet<String>,
    /// Everything else, with its type.
    others: BTreeMap<String, String>,
    duplicate: Option<String>,
}

impl Found {
    fn walk(&mut self, path: &str, value: &Value) {
        match value {
            Value::Dict(entries) => {
                for (key, value) in entries {
                    let key = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    self.walk(&key, value);
                }
            }
            Value::Tensor => {
                if !self.tensors.insert(path.to_string()) {
                    self.duplicate = Some(path.to_string());
                }
            }
            other => {
                self.others.insert(path.to_string(), other.what());
            }
        }
    }

    /// Finds the network's state dict, inside the table called `state` if requested.
    fn unwrap(&self, value: &Value, state: Option<&str>) -> Result<Chosen, String> {
        let (mut prefix, mut at) = (String::new(), value);
        let (mut ignored, mut notes) = (Vec::new(), Vec::new());
        let table = state.and_then(|s| s.split('.').try_fold(value, inside)).filter(|v| v.holds_tensors());
        if let Some((table, state)) = table.zip(state) {
            (prefix, at) = (format!("{state}."), table);
        }
        for _ in 0..MAX_WRAPPERS {
            let Value::Dict(entries) = at else { break };
            // Tensors right here: this is the state dict.
            if entries.values().any(Value::is_tensor) {
                break;
            }
            let holds = |key: &&str| entries.get(*key).is_some_and(Value::holds_tensors);
            let mut wrappers = WRAPPERS.iter().copied().filter(holds);
            let Some(wrapper) = wrappers.next() else { break };
            for other in wrappers {
                notes.push(format!(
                    "it holds `{prefix}{wrapper}` and `{prefix}{other}`; `{prefix}{wrapper}` is used \
                     (state={prefix}{other} chooses the other)"
                ));
                let reason = format!("`{prefix}{wrapper}` is used");
                ignored.push(Ignored { key: format!("{prefix}{other}"), reason });
            }
            let Some(inner) = entries.get(wrapper) else { break };
            (prefix, at) = (format!("{prefix}{wrapper}."), inner);
        }
        // Not a table: a prefix of names in the state dict.
        if let Some(state) = state.filter(|_| table.is_none()) {
            prefix.push_str(&format!("{state}."));
            if !self.tensors.iter().any(|t| t.starts_with(&prefix)) {
                return Err(match self.states(value)[..] {
                    [] => format!("state={state}: it holds one state dict, and no name in it has that prefix"),
                    ref known => format!("state={state}: no state dict has that name, only {}", known.join(", ")),
                });
            }
        }
        Ok(Chosen { prefix, ignored, notes })
    }

    /// Names of the tables at the top that hold tensors.
    fn states(&self, value: &Value) -> Vec<String> {
        let Value::Dict(entries) = value else { return vec![] };
        let tables = entries.iter().filter(|(_, v)| matches!(v, Value::Dict(_)) && v.holds_tensors());
        let mut names: Vec<_> = tables.map(|(key, _)| format!("`{}`", shown(key))).collect();
        names.sort();
        names
    }
}

/// The selected state dict.
struct Chosen {
    /// Prefix of its parameters' names, dot included.
    prefix: String,
    /// Content that this leaves out.
    ignored: Vec<Ignored>,
    notes: Vec<String>,
}

/// An entry of a table.
fn inside<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    match value {
        Value::Dict(entries) => entries.get(key),
        _ => None,
    }
}

fn is_not_weights(key: &str) -> bool {
    let first = key.split('.').next().unwrap_or_default();
    NOT_WEIGHTS.iter().any(|n| first.contains(n))
}

#[cfg(test)]
mod tests;
