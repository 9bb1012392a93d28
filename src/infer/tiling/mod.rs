//! Tiles: how an image is divided (`plan`), run (`runner`) and reassembled (`assembly`).
//!
//! `plan::TilePlanner` decides. It gets tile positions from `grid` and `blend`, the size with the least work from
//! `search`, the host's memory use from `budget`, and the device's use by a tile's `graph` from the backend.
//! `restored` brings rows back to the size of an image that is resized for the network.

pub(super) mod assembly;
pub(super) mod blend;
pub(super) mod budget;
pub(super) mod buffers;
mod fixed_size;
pub(super) mod plan;
pub(super) mod restored;
pub(super) mod runner;
mod search;
