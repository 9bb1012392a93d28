//! Tensors as plain data: shapes, the device layout, and tensors in host memory.

pub(crate) mod bits;
mod desc;
mod host;
mod layout;
mod precision;
mod shape;
pub(crate) mod shared;

pub use desc::{Layout, MAX_ELEMENTS, MAX_INDEXED, TensorDesc};
pub use host::{Comparison, HostTensor};
pub use layout::{BlockedLayout, HALO, LANES};
pub use precision::Precision;
pub use shape::Shape;
