//! PyTorch's files on a disk, by the crate `pytorch-reader`.

use std::path::Path;

use ::safetensors::tensor::Dtype;
use pytorch_reader::{DType, PickleValue, PytorchError, PytorchReader};

use super::content::{Content, Stored, Value};
use super::{damaged, shown};

/// Reads what a file holds. Its tensors are read later.
pub(super) fn read(file: &Path) -> Result<Content<'static>, String> {
    let root = value(PytorchReader::read_pickle_data(file, None).map_err(reason)?);
    if !matches!(root, Value::Dict(_)) {
        // The crate has other words for it.
        return Ok(Content { root, tensors: Default::default() });
    }
    let tensors = PytorchReader::new(file).map_err(reason)?.into_tensors();
    let stored = |tensor: pytorch_reader::Tensor| {
        let (dtype, shape) = (dtype(tensor.dtype()), tensor.shape().to_vec());
        Stored { dtype, shape, read: Box::new(move || tensor.read().map_err(|e| e.to_string())) }
    };
    Ok(Content { root, tensors: tensors.into_iter().map(|(key, tensor)| (key, stored(tensor))).collect() })
}

/// The first line of the reader's error.
fn reason(e: PytorchError) -> String {
    match e {
        PytorchError::Zip(e) => damaged(&e),
        PytorchError::Io(e) => format!("damaged or cut off: {e}"),
        PytorchError::Pickle(e) => format!("cannot be read: {e}"),
        e => e.to_string(),
    }
}

fn value(v: PickleValue) -> Value {
    Value::Other(match v {
        PickleValue::Dict(d) => return Value::Dict(d.into_iter().map(|(key, v)| (key, value(v))).collect()),
        PickleValue::Unsupported(kind) if kind == "torch.Tensor" => return Value::Tensor,
        PickleValue::None => "None".into(),
        PickleValue::Bool(b) => format!("the boolean {b}"),
        PickleValue::Int(i) => format!("the number {i}"),
        PickleValue::Float(f) => format!("the number {f}"),
        PickleValue::String(s) => format!("the string \"{}\"", shown(&s)),
        PickleValue::List(l) => format!("a list of {}", l.len()),
        PickleValue::Bytes(b) => format!("{} bytes", b.len()),
        PickleValue::Unsupported(kind) => format!("a `{}`", shown(&kind)),
    })
}

fn dtype(d: DType) -> Dtype {
    match d {
        DType::F64 => Dtype::F64,
        DType::F32 => Dtype::F32,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::BF16,
        DType::I64 => Dtype::I64,
        DType::I32 => Dtype::I32,
        DType::I16 => Dtype::I16,
        DType::I8 => Dtype::I8,
        DType::U64 => Dtype::U64,
        DType::U32 => Dtype::U32,
        DType::U16 => Dtype::U16,
        DType::U8 => Dtype::U8,
        DType::Bool => Dtype::BOOL,
    }
}
