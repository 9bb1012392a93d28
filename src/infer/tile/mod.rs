//! Where the tiles of an image lie, and the graph that segments one.

pub(crate) mod graph;
pub mod grid;
