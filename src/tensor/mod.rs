//! Tensors as plain data: shapes, the device layout, and tensors in host memory.

mod desc;
mod host;
mod layout;
mod precision;

pub use desc::{Layout, MAX_ELEMENTS, MAX_INDEXED, Shape, TensorDesc};
pub use host::{Comparison, HostTensor};
pub use layout::{BlockedLayout, HALO, LANES};
pub use precision::Precision;
