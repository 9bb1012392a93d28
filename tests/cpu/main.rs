//! Tests that need no GPU: project rules, every shader through naga, parsers. One binary, linked once.

mod calibration;
mod circles;
mod decoding;
mod docs;
mod hostile;
mod layering;
mod loops;
mod onnx_forms;
mod onnx_layouts;
mod rustfmt;
mod shaders;
mod sources;
