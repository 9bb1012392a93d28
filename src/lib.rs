//! U-Net, U-Net++ and U-Net 3+ on any GPU.
pub mod error;
pub mod infer;
pub mod kernel;
pub mod ops;
pub mod tensor;
pub mod weights;
