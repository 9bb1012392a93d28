//! The safetensors format, which is also the native one: metadata key [`METADATA_KEY`] describes the network.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use ::safetensors::tensor::{Dtype, SafeTensorError, SafeTensors, View};
use half::{bf16, f16};
use serde_json::Value;

use super::checkpoint::{Checkpoint, StoredType, WeightFormat};
use super::{ModelMetadata, Weights};
use crate::error::{Error, Result};
use crate::tensor::HostTensor;
use crate::text::excerpt;

/// The metadata key of native checkpoints. Its value is [`ModelMetadata`] as JSON.
pub const METADATA_KEY: &str = "unet";
/// Length field in front of the header.
const LENGTH: usize = 8;
/// Longest header that is read: the format's own bound.
const MAX_HEADER: u64 = 100_000_000;

/// The safetensors format.
#[derive(Clone, Copy, Debug, Default)]
pub struct SafetensorsFormat;

impl WeightFormat for SafetensorsFormat {
    fn name(&self) -> &'static str {
        "safetensors"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["safetensors"]
    }

    fn sniff(&self, head: &[u8], _path: &Path) -> bool {
        header_length(head).is_some_and(|n| n <= MAX_HEADER) && head.get(LENGTH) == Some(&b'{')
    }

    fn read(&self, bytes: &[u8], path: &Path, state: Option<&str>) -> Result<Checkpoint> {
        if let Some(state) = state {
            return Err(Error::file(path, format!("state={state}: a safetensors file holds one state dict")));
        }
        let bad = |e: SafeTensorError| Error::file(path, diagnose(bytes).unwrap_or_else(|| e.to_string()));
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(bad)?;
        let description = header.metadata().as_ref().and_then(|m| m.get(METADATA_KEY));
        let metadata = description.map(|json| ModelMetadata::parse(json)).transpose();
        let metadata = metadata.map_err(|e| Error::file(path, e.to_string()))?;
        let mut weights = Weights::new();
        for (key, view) in SafeTensors::deserialize(bytes).map_err(bad)?.iter() {
            let data = to_f32(view.dtype(), view.data())
                .map_err(|why| Error::file(path, format!("parameter `{}`: {why}", shown(key))))?;
            let tensor = HostTensor::new(view.shape(), data)
                .map_err(|e| Error::file(path, format!("parameter `{}`: {e}", shown(key))))?;
            weights.insert(key, tensor);
        }
        Ok(Checkpoint { metadata, weights, ..Checkpoint::default() })
    }

    fn write(&self, checkpoint: &Checkpoint, stored: StoredType, path: &Path) -> Result<Vec<u8>> {
        let bad = |e: &dyn std::fmt::Display| Error::file(path, e.to_string());
        let metadata = match &checkpoint.metadata {
            Some(m) => Some(HashMap::from([(METADATA_KEY.to_string(), m.to_json().map_err(|e| bad(&e))?)])),
            None => None,
        };
        if checkpoint.weights.get("__metadata__").is_some() {
            return Err(bad(&"a parameter cannot be called `__metadata__` in this format"));
        }
        let tensors = checkpoint.weights.iter().map(|(key, tensor)| (key, Stored::new(tensor, stored)));
        ::safetensors::serialize(tensors, metadata).map_err(|e| bad(&e))
    }
}

/// A tensor to be written.
struct Stored<'a> {
    tensor: &'a HostTensor,
    dtype: Dtype,
}

impl<'a> Stored<'a> {
    fn new(tensor: &'a HostTensor, stored: StoredType) -> Self {
        let fits = |&v: &f32| !v.is_finite() || f16::from_f32(v).is_finite();
        let half = stored == StoredType::F16 && tensor.dims().len() >= 2 && tensor.data().iter().all(fits);
        Self { tensor, dtype: if half { Dtype::F16 } else { Dtype::F32 } }
    }
}

impl View for Stored<'_> {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        self.tensor.dims()
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let data = self.tensor.data().iter();
        Cow::Owned(match self.dtype {
            Dtype::F16 => data.flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect(),
            _ => data.flat_map(|v| v.to_le_bytes()).collect(),
        })
    }

    fn data_len(&self) -> usize {
        self.tensor.data().len() * if self.dtype == Dtype::F16 { 2 } else { 4 }
    }
}

/// The elements of a tensor as `f32`.
pub(super) fn to_f32(dtype: Dtype, bytes: &[u8]) -> Result<Vec<f32>, String> {
    macro_rules! convert {
        ($size:literal, $from:expr) => {{
            let mut out = Vec::new();
            out.try_reserve_exact(bytes.len() / $size).map_err(|e| format!("does not fit into memory: {e}"))?;
            out.extend(bytes.as_chunks::<$size>().0.iter().map($from));
            out
        }};
    }
    Ok(match dtype {
        Dtype::F32 => convert!(4, |&b| f32::from_le_bytes(b)),
        Dtype::F16 => convert!(2, |&b| f16::from_le_bytes(b).to_f32()),
        Dtype::BF16 => convert!(2, |&b| bf16::from_le_bytes(b).to_f32()),
        Dtype::F64 => convert!(8, |&b| f64::from_le_bytes(b) as f32),
        Dtype::I8 => convert!(1, |&b| f32::from(i8::from_le_bytes(b))),
        Dtype::U8 => convert!(1, |&[b]| f32::from(b)),
        Dtype::BOOL => convert!(1, |&[b]| f32::from(b != 0)),
        Dtype::I16 => convert!(2, |&b| f32::from(i16::from_le_bytes(b))),
        Dtype::U16 => convert!(2, |&b| f32::from(u16::from_le_bytes(b))),
        Dtype::I32 => convert!(4, |&b| i32::from_le_bytes(b) as f32),
        Dtype::U32 => convert!(4, |&b| u32::from_le_bytes(b) as f32),
        Dtype::I64 => convert!(8, |&b| i64::from_le_bytes(b) as f32),
        Dtype::U64 => convert!(8, |&b| u64::from_le_bytes(b) as f32),
        other => return Err(format!("element type {other} is not supported (F64, F32, F16, BF16 and integers are)")),
    })
}

fn header_length(bytes: &[u8]) -> Option<u64> {
    bytes.first_chunk::<LENGTH>().map(|b| u64::from_le_bytes(*b))
}

/// A name from a file, made safe for an error: no control characters, bounded length.
pub(super) fn shown(key: &str) -> String {
    excerpt(key, 120)
}

/// The exact defect of a file that the reader rejected, checked in file order.
fn diagnose(bytes: &[u8]) -> Option<String> {
    let Some(length) = header_length(bytes) else {
        return Some(format!("cut off: {} bytes, and the length of the header alone takes {LENGTH}", bytes.len()));
    };
    if length > MAX_HEADER {
        return Some(format!("not safetensors: the header claims {length} bytes"));
    }
    let end = LENGTH + length as usize;
    let Some(header) = bytes.get(LENGTH..end) else {
        return Some(format!("cut off inside the header: {} of {end} bytes are there", bytes.len()));
    };
    let header: Value = match serde_json::from_slice(header) {
        Ok(v) => v,
        Err(e) => return Some(format!("the header is not JSON: {e}")),
    };
    let Value::Object(entries) = header else { return Some("the header is not a JSON object".into()) };
    let there = (bytes.len() - end) as u64;
    let mut needed = 0;
    for (key, entry) in &entries {
        if key == "__metadata__" {
            let texts = entry.as_object().is_some_and(|m| m.values().all(Value::is_string));
            if !texts && !entry.is_null() {
                return Some("`__metadata__` in the header is not a map of strings".into());
            }
            continue;
        }
        match diagnose_entry(entry) {
            Ok(stop) => needed = stop.max(needed),
            Err(why) => return Some(format!("parameter `{}`: {why}", shown(key))),
        }
    }
    if needed > there {
        return Some(format!("cut off: the header announces {needed} bytes of data, {there} are there"));
    }
    (needed < there).then(|| format!("{} bytes of data belong to no parameter", there - needed))
}

/// The end of the data of a parameter's header entry, or the entry's defect.
fn diagnose_entry(entry: &Value) -> Result<u64, String> {
    let dtype = entry.get("dtype").and_then(Value::as_str).ok_or("no `dtype`")?;
    let known: Dtype =
        serde_json::from_value(dtype.into()).map_err(|_| format!("unknown element type `{}`", shown(dtype)))?;
    let numbers = |key| -> Option<Vec<u64>> { entry.get(key)?.as_array()?.iter().map(Value::as_u64).collect() };
    let shape = numbers("shape").ok_or("`shape` is not a list of sizes")?;
    let offsets = numbers("data_offsets").ok_or("`data_offsets` is not a list of two positions")?;
    let [start, stop] = offsets[..] else { return Err("`data_offsets` is not a list of two positions".into()) };
    let bits = shape.iter().try_fold(known.bitsize() as u64, |a, &b| a.checked_mul(b));
    let bits = bits.ok_or_else(|| format!("shape {shape:?} is impossibly large"))?;
    let size = stop.checked_sub(start).ok_or_else(|| format!("`data_offsets` {start} to {stop} run backwards"))?;
    if size != bits.div_ceil(8) {
        return Err(format!("shape {shape:?} of {dtype} needs {} bytes, the file gives it {size}", bits.div_ceil(8)));
    }
    Ok(stop)
}

#[cfg(test)]
#[path = "safetensors_tests.rs"]
mod tests;
