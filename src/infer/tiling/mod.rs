//! Tiles: how an image is divided (`plan`), run (`runner`) and reassembled (`assembly`).
//!
//! `plan::TilePlanner` decides. It gets tile positions from `grid` and `blend`, the size with the least work from
//! `search`, the host's memory use from `budget`, and the device's use by a tile's `graph` from the backend.

pub(super) mod assembly;
pub(super) mod blend;
pub(super) mod budget;
mod fixed_size;
pub(super) mod plan;
pub(super) mod runner;
mod search;
