//! Tiles: how an image is cut ([`plan`]), run ([`runner`]) and put together again ([`assembly`]).
//!
//! [`plan::TilePlanner`] decides. It asks [`grid`] and [`blend`] where tiles of a size lie, [`search`] for the size of the least
//! work, [`budget`] for what the host holds meanwhile, and the backend for what a tile's [`graph`] takes on the device.

pub(super) mod assembly;
pub(super) mod blend;
pub(super) mod budget;
mod fixed_size;
pub(super) mod graph;
pub mod grid;
pub(super) mod plan;
pub(super) mod runner;
mod search;
