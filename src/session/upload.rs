//! Weights on their way to the device.

use super::memory::{Place, Weights};
use super::overflow::halves;
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::plan::Plan;
use crate::tensor::{HostTensor, Precision};

/// Packs weights and writes those that are not shared.
pub(super) fn weights(
    gpu: &Gpu,
    plan: &Plan,
    to: &Weights,
    shared: &[Option<Place>],
    values: &[Option<HostTensor>],
) -> Result<()> {
    for (i, w) in plan.weights.iter().enumerate().filter(|(i, _)| shared[*i].is_none()) {
        let name = || w.from.first().and_then(|&v| plan.parameter_name(v)).unwrap_or("a table").to_string();
        let from: Option<Vec<&HostTensor>> = w.from.iter().map(|v| values[v.index()].as_ref()).collect();
        let from = from.ok_or_else(|| Error::invalid("weights", "a packed value is not a parameter"))?;
        let packed = w.packing.pack(w.len, &from)?;
        if packed.len() != w.len {
            let reason = format!("packed into {} elements, planned {}", packed.len(), w.len);
            return Err(Error::op(format!("weights of {:?}", name()), reason));
        }
        match w.precision {
            Precision::F32 => to.write(gpu, i, packed),
            Precision::F16 => to.write_halves(gpu, i, &halves(&packed, name)?),
        }
    }
    Ok(())
}
