//! Tensors of an ONNX file in host memory, for shape arithmetic and parameters.

use super::Reason;
use super::proto::{DataType, TensorProto};
use crate::tensor::HostTensor;
use half::{bf16, f16};
use serde::{Deserialize, Serialize};

/// Maximum number of axes of a tensor.
pub(crate) const MAX_RANK: usize = 8;
/// Maximum number of elements of a folded constant.
pub(crate) const MAX_FOLDED: usize = 1 << 24;

/// Maximum dimension that an input may declare.
pub(crate) const MAX_DIM: i64 = 1 << 20;

/// Elements. Floats of any width are `f32`; integers and booleans are `i64`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Elements {
    /// Floats.
    Float(#[serde(with = "crate::tensor::bits")] Vec<f32>),
    /// Integers; booleans are 0 and 1.
    Int(Vec<i64>),
}

/// A tensor with known elements, row-major.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tensor {
    /// Dimensions, outermost first.
    pub dims: Vec<usize>,
    /// Elements.
    pub elements: Elements,
}

impl Tensor {
    /// A list of integers.
    pub(crate) fn ints(values: impl IntoIterator<Item = i64>) -> Self {
        let values: Vec<i64> = values.into_iter().collect();
        Self { dims: vec![values.len()], elements: Elements::Int(values) }
    }

    /// Floats of the given dimensions. Fails if their number differs.
    pub(crate) fn floats(dims: Vec<usize>, values: Vec<f32>) -> Result<Self, Reason> {
        Self { dims, elements: Elements::Float(values) }.checked()
    }

    /// Float zeros of the given dimensions.
    pub(crate) fn zeros_like(dims: &[usize]) -> Result<Self, Reason> {
        Self::floats(dims.to_vec(), vec![0.0; count(dims)?])
    }

    /// Fails if the number of elements does not match the dimensions.
    pub(crate) fn checked(self) -> Result<Self, Reason> {
        if count(&self.dims)? == self.len() {
            return Ok(self);
        }
        Err(format!("{} elements do not fill the dimensions {:?}", self.len(), self.dims).into())
    }

    /// Number of elements.
    pub(crate) fn len(&self) -> usize {
        match &self.elements {
            Elements::Float(v) => v.len(),
            Elements::Int(v) => v.len(),
        }
    }

    /// Element `i` as a number.
    pub(crate) fn at(&self, i: usize) -> f64 {
        match &self.elements {
            Elements::Float(v) => v.get(i).copied().unwrap_or_default().into(),
            Elements::Int(v) => v.get(i).copied().unwrap_or_default() as f64,
        }
    }

    /// The elements as integers; fails for floats.
    pub(crate) fn as_ints(&self) -> Result<&[i64], Reason> {
        match &self.elements {
            Elements::Int(v) => Ok(v),
            Elements::Float(_) => Err("floats where integers are needed".into()),
        }
    }

    /// The elements as floats.
    pub(crate) fn to_floats(&self) -> Vec<f32> {
        match &self.elements {
            Elements::Float(v) => v.clone(),
            Elements::Int(v) => v.iter().map(|&v| v as f32).collect(),
        }
    }

    /// The only element; fails if there are several.
    pub(crate) fn scalar(&self) -> Result<f64, Reason> {
        if self.len() == 1 { Ok(self.at(0)) } else { Err(format!("{} numbers where one is needed", self.len()).into()) }
    }

    /// The same elements with other dimensions of equal product.
    pub(crate) fn reshaped(&self, dims: Vec<usize>) -> Result<Self, Reason> {
        Self { dims, elements: self.elements.clone() }.checked()
    }

    /// The elements at `indices`, with dimensions `dims`.
    pub(crate) fn pick(&self, dims: Vec<usize>, indices: impl Iterator<Item = usize>) -> Result<Self, Reason> {
        // For an empty result, the iterator may still be long.
        let indices = indices.take(count(&dims)?);
        fn take<T: Copy>(from: &[T], indices: impl Iterator<Item = usize>) -> Option<Vec<T>> {
            indices.map(|i| from.get(i).copied()).collect()
        }
        let outside = || Reason::from("an index is outside of the tensor");
        let elements = match &self.elements {
            Elements::Float(v) => Elements::Float(take(v, indices).ok_or_else(outside)?),
            Elements::Int(v) => Elements::Int(take(v, indices).ok_or_else(outside)?),
        };
        Self { dims, elements }.checked()
    }

    /// Converts to a tensor of the engine.
    pub(crate) fn host(&self) -> Result<HostTensor, Reason> {
        Ok(HostTensor::new(self.dims.clone(), self.to_floats())?)
    }

    /// Converts from a tensor of the engine.
    pub(crate) fn of_host(t: &HostTensor) -> Self {
        Self { dims: t.dims().to_vec(), elements: Elements::Float(t.data().to_vec()) }
    }
}

/// Number of elements. Dimensions beside a zero are bounded too, so that no partial product overflows.
pub(crate) fn count(dims: &[usize]) -> Result<usize, Reason> {
    let wrong = || Reason::from(format!("dimensions {dims:?} are too many or too large"));
    if dims.len() > MAX_RANK {
        return Err(wrong());
    }
    let all = dims.iter().try_fold(1usize, |a, &d| a.checked_mul(d.max(1))).filter(|&n| n as u64 <= 1 << 40);
    let all = all.ok_or_else(wrong)?;
    Ok(if dims.contains(&0) { 0 } else { all })
}

/// Strides of a row-major tensor, in elements.
pub(crate) fn strides(dims: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; dims.len()];
    for i in (1..dims.len()).rev() {
        strides[i - 1] = strides[i] * dims[i].max(1);
    }
    strides
}

/// ONNX's name of an element type.
pub(crate) fn type_name(code: i32) -> String {
    DataType::try_from(code).map_or(format!("type {code}"), |t| format!("{t:?}").to_lowercase())
}

/// Reads a tensor of the file. `external` is its content if it is stored in another file.
pub(crate) fn read(proto: &TensorProto, external: Option<Vec<u8>>) -> Result<Tensor, Reason> {
    let dims = proto.dims.iter().map(|&d| usize::try_from(d)).collect::<Result<Vec<_>, _>>();
    let dims = dims.map_err(|_| Reason::from(format!("negative dimensions {:?}", proto.dims)))?;
    let requested = count(&dims)?;
    let unsupported = || Reason::from(format!("elements of {} are not supported", type_name(proto.data_type)));
    let kind = DataType::try_from(proto.data_type).map_err(|_| unsupported())?;
    let raw = external.as_deref().or(proto.raw_data.as_deref());
    let elements = match raw {
        Some(raw) => {
            let size = match kind {
                DataType::Bool | DataType::Int8 | DataType::Uint8 => 1,
                DataType::Float16 | DataType::Bfloat16 | DataType::Int16 | DataType::Uint16 => 2,
                DataType::Float | DataType::Int32 | DataType::Uint32 => 4,
                DataType::Double | DataType::Int64 | DataType::Uint64 => 8,
                _ => return Err(unsupported()),
            };
            if requested.checked_mul(size) != Some(raw.len()) {
                let kind = type_name(proto.data_type);
                return Err(format!("dimensions {dims:?} of {kind}, but {} bytes of elements", raw.len()).into());
            }
            from_bytes(kind, raw).ok_or_else(unsupported)?
        }
        None => from_lists(kind, proto).ok_or_else(unsupported)?,
    };
    Tensor { dims, elements }.checked()
}

fn from_bytes(kind: DataType, raw: &[u8]) -> Option<Elements> {
    fn each<const N: usize, T>(raw: &[u8], f: impl Fn([u8; N]) -> T) -> Vec<T> {
        raw.as_chunks::<N>().0.iter().map(|&c| f(c)).collect()
    }
    Some(match kind {
        DataType::Float => Elements::Float(each(raw, f32::from_le_bytes)),
        DataType::Double => Elements::Float(each(raw, |b| f64::from_le_bytes(b) as f32)),
        DataType::Float16 => Elements::Float(each(raw, |b| f16::from_le_bytes(b).to_f32())),
        DataType::Bfloat16 => Elements::Float(each(raw, |b| bf16::from_le_bytes(b).to_f32())),
        DataType::Bool => Elements::Int(raw.iter().map(|&b| i64::from(b != 0)).collect()),
        DataType::Uint8 => Elements::Int(raw.iter().map(|&b| b.into()).collect()),
        DataType::Int8 => Elements::Int(raw.iter().map(|&b| (b as i8).into()).collect()),
        DataType::Int16 => Elements::Int(each(raw, |b| i16::from_le_bytes(b).into())),
        DataType::Uint16 => Elements::Int(each(raw, |b| u16::from_le_bytes(b).into())),
        DataType::Int32 => Elements::Int(each(raw, |b| i32::from_le_bytes(b).into())),
        DataType::Uint32 => Elements::Int(each(raw, |b| u32::from_le_bytes(b).into())),
        DataType::Int64 => Elements::Int(each(raw, i64::from_le_bytes)),
        DataType::Uint64 => Elements::Int(each(raw, |b| i64::try_from(u64::from_le_bytes(b)).unwrap_or(i64::MAX))),
        _ => return None,
    })
}

fn from_lists(kind: DataType, proto: &TensorProto) -> Option<Elements> {
    let small = || proto.int32_data.iter();
    Some(match kind {
        DataType::Float => Elements::Float(proto.float_data.clone()),
        DataType::Double => Elements::Float(proto.double_data.iter().map(|&v| v as f32).collect()),
        DataType::Float16 => Elements::Float(small().map(|&v| f16::from_bits(v as u16).to_f32()).collect()),
        DataType::Bfloat16 => Elements::Float(small().map(|&v| bf16::from_bits(v as u16).to_f32()).collect()),
        DataType::Int64 => Elements::Int(proto.int64_data.clone()),
        DataType::Uint32 | DataType::Uint64 => {
            Elements::Int(proto.uint64_data.iter().map(|&v| i64::try_from(v).unwrap_or(i64::MAX)).collect())
        }
        DataType::Bool | DataType::Int8 | DataType::Uint8 | DataType::Int16 | DataType::Uint16 | DataType::Int32 => {
            Elements::Int(small().map(|&v| v.into()).collect())
        }
        _ => return None,
    })
}
