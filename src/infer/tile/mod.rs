//! Where the tiles of an image lie, and the graph that segments one.

pub(super) mod graph;
pub mod grid;
