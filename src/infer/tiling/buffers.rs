//! Memory for rows of results.

use crate::error::{Error, Result};
use crate::infer::mask::Ids;

/// Zeros, or an error instead of an abort if memory does not suffice.
pub(in crate::low_level::infer) fn zeros<T: Copy + Default>(len: usize) -> Result<Vec<T>> {
    let mut v = Vec::new();
    let error = |_| Error::invalid("image", format!("its {len} results do not fit in memory"));
    v.try_reserve_exact(len).map_err(error)?;
    v.resize(len, T::default());
    Ok(v)
}

/// Bytes per class id.
pub(in crate::low_level::infer) fn id_bytes(classes: usize) -> u64 {
    if classes <= 256 { 1 } else { 2 }
}

/// Class ids of `len` pixels, all 0.
pub(in crate::low_level::infer) fn no_ids(classes: usize, len: usize) -> Result<Ids> {
    Ok(if classes <= 256 { Ids::U8(zeros(len)?) } else { Ids::U16(zeros(len)?) })
}
