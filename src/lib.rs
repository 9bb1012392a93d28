//! U-Net, U-Net++ and U-Net 3+ on any GPU.
#![warn(missing_docs)]

pub mod error;
pub mod gpu;
pub mod graph;
pub mod infer;
pub mod kernel;
pub mod model;
pub mod ops;
pub mod plan;
#[doc(hidden)]
pub mod selftest;
pub mod session;
pub mod tensor;
#[doc(hidden)]
pub mod testing;
pub mod weights;
