//! ONNX files as networks of this engine: read and translated at run time.

#[allow(missing_docs)] // The schema documents the fields; names are its own.
pub mod proto;

pub mod export;
mod nodes;
