//! Reading and writing raw tensors for `unet run`: `.npy` holds one, `.safetensors` several by name.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;
use unet_wgpu::low_level::infer::{check_npy_header, write_atomically};
use unet_wgpu::low_level::tensor::HostTensor;
use unet_wgpu::low_level::weights::{self, Checkpoint, StoredType};
use unet_wgpu::{Error, Result};

fn is_npy(path: &Path) -> Result<bool> {
    match path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase).as_deref() {
        Some("npy") => Ok(true),
        Some("safetensors") => Ok(false),
        _ => Err(Error::file(path, "raw tensors are .npy (one) or .safetensors (several by name)")),
    }
}

/// Reads the tensors of a file; a `.npy` is named `name`.
pub(super) fn read(path: &Path, name: &str) -> Result<BTreeMap<String, HostTensor>> {
    if !is_npy(path)? {
        return Ok(weights::load(path)?.weights.into_iter().collect());
    }
    let fail = |e: std::io::Error| match e.kind() {
        ErrorKind::UnexpectedEof => Error::file(path, "the .npy file is cut off"),
        _ => Error::file(path, format!("not a readable .npy file: {e}")),
    };
    let file = File::open(path).map_err(|e| Error::io(path, e))?;
    let bytes = file.metadata().map_err(|e| Error::io(path, e))?.len();
    if bytes == 0 {
        return Err(Error::file(path, "the file is empty"));
    }
    let head = head(&file).map_err(|e| Error::io(path, e))?;
    if head.starts_with(b"\x93NUMPY") {
        check_npy_header(&head).map_err(|e| Error::file(path, e))?;
    }
    let declared = elements(&head);
    if declared.is_some_and(|n| n.is_none_or(|n| n > bytes)) {
        return Err(Error::file(path, format!("the .npy file is cut off: {bytes} bytes cannot hold its shape")));
    }
    let npy = npyz::NpyFile::new(BufReader::new(file)).map_err(fail)?;
    let dims: Vec<usize> = npy.shape().iter().map(|&d| d as usize).collect();
    let fortran = npy.order() != npyz::Order::C;
    let dtype = npy.dtype().descr();
    let data: Vec<f32> = match dtype.trim_matches('\'').trim_start_matches(['<', '|', '=']) {
        "f4" => npy.into_vec::<f32>().map_err(fail)?,
        "f8" => npy.into_vec::<f64>().map_err(fail)?.into_iter().map(|v| v as f32).collect(),
        "u1" => npy.into_vec::<u8>().map_err(fail)?.into_iter().map(f32::from).collect(),
        "u2" => npy.into_vec::<u16>().map_err(fail)?.into_iter().map(f32::from).collect(),
        "b1" => npy.into_vec::<bool>().map_err(fail)?.into_iter().map(|v| f32::from(u8::from(v))).collect(),
        "i1" => npy.into_vec::<i8>().map_err(fail)?.into_iter().map(f32::from).collect(),
        "i2" => npy.into_vec::<i16>().map_err(fail)?.into_iter().map(f32::from).collect(),
        "i4" => npy.into_vec::<i32>().map_err(fail)?.into_iter().map(|v| v as f32).collect(),
        "i8" => npy.into_vec::<i64>().map_err(fail)?.into_iter().map(|v| v as f32).collect(),
        _ => return Err(Error::file(path, format!("holds {dtype}; f4, f8, u1, u2, i1 to i8 and b1 can be read"))),
    };
    let data = if fortran { last_axis_first(&dims, &data) } else { data };
    let tensor = HostTensor::new(dims, data).map_err(|e| Error::file(path, e.message()))?;
    Ok(BTreeMap::from([(name.to_string(), tensor)]))
}

/// Reorders elements from Fortran order (first axis fastest), as numpy saves transposed arrays, to C order.
fn last_axis_first(dims: &[usize], data: &[f32]) -> Vec<f32> {
    // Length and stride of each axis, outermost first.
    let strides: Vec<(usize, usize)> = dims
        .iter()
        .scan(1, |stride, &n| {
            let axis = (n, *stride);
            *stride *= n;
            Some(axis)
        })
        .collect();
    let place = |mut i: usize| {
        strides.iter().rev().fold(0, |at, &(n, stride)| {
            let coordinate = i % n;
            i /= n;
            at + coordinate * stride
        })
    };
    (0..data.len()).filter_map(|i| data.get(place(i)).copied()).collect()
}

/// The first 4 KiB of a file, which is rewound.
fn head(mut file: &File) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    file.take(1 << 12).read_to_end(&mut head)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(head)
}

/// The number of elements that a `.npy` header declares: `Some(None)` if it exceeds 64 bits, on which npyz panics; `None`
/// where no shape is found, which npyz reports.
fn elements(head: &[u8]) -> Option<Option<u64>> {
    let head = String::from_utf8_lossy(head);
    let shape = head.split_once("shape").and_then(|(_, rest)| rest.split_once('(')?.1.split_once(')'));
    shape.map(|(dims, _)| {
        let dims = dims.split(',').map(|d| d.trim().trim_end_matches('L')).filter(|d| !d.is_empty());
        dims.map(|d| d.parse().ok()).try_fold(1u64, |a, d: Option<u64>| a.checked_mul(d?))
    })
}

/// Fails early if `path` could not be written by [`write()`].
pub(super) fn check_writable(path: &Path) -> Result<()> {
    is_npy(path)?;
    unet_wgpu::low_level::infer::check_writable(path)
}

/// Writes the first output to a `.npy`, or all of them to a `.safetensors`. `order` lists the outputs' names in order.
pub(super) fn write(path: &Path, order: &[String], outputs: BTreeMap<String, HostTensor>) -> Result<()> {
    if !is_npy(path)? {
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
        return weights::save(
            path,
            &Checkpoint { weights: outputs.into_iter().collect(), ..Checkpoint::default() },
            StoredType::F32,
        );
    }
    let first =
        order.first().and_then(|n| outputs.get(n)).ok_or_else(|| Error::file(path, "the model has no output"))?;
    let dims: Vec<u64> = first.dims().iter().map(|&d| d as u64).collect();
    write_atomically(path, |file| {
        use npyz::WriterBuilder;
        let mut writer = npyz::WriteOptions::new().default_dtype().shape(&dims).writer(file).begin_nd()?;
        writer.extend(first.data().iter().copied())?;
        writer.finish()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fortran_order() {
        // numpy.arange(24).reshape(2, 3, 4).ravel("F")
        let stored = [0, 12, 4, 16, 8, 20, 1, 13, 5, 17, 9, 21, 2, 14, 6, 18, 10, 22, 3, 15, 7, 19, 11, 23];
        let got = last_axis_first(&[2, 3, 4], &stored.map(|v| v as f32));
        assert_eq!(got, (0..24).map(|v| v as f32).collect::<Vec<_>>());
    }
}
