//! Tests that need no GPU: the house rules, every shader through naga, the parsers. One program, linked once.

mod calibration;
mod docs;
mod hostile;
mod layering;
mod loops;
mod onnx_forms;
mod onnx_layouts;
mod shaders;
