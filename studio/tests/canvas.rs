//! The canvas on a device: colours at screen positions, labels, contrast, large images.

#[path = "canvas/app.rs"]
mod app;
#[path = "canvas/colours.rs"]
mod colours;
#[path = "canvas/input.rs"]
mod input;
#[path = "canvas/labels.rs"]
mod labels;
#[path = "canvas/large.rs"]
mod large;
#[path = "canvas/limits.rs"]
mod limits;
#[path = "canvas/pictures.rs"]
mod pictures;
