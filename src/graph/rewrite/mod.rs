//! Exact rewrites: functions from a graph to a cheaper graph that computes the same.
//!
//! Adding one: a file here with a `rewrite` function and a line in [`ALL`]. `tests/gpu/models.rs` then compares every network
//! after it with the network before.

mod commute_resize;
mod fold_batch_norm;
mod fuse_activation;
mod fuse_head;
mod fuse_pool;
pub(super) mod join_sources;
mod upsample_sources;

use super::Graph;
use crate::error::Result;

/// A rewrite with its name.
#[derive(Clone, Copy)]
pub struct Rewrite {
    /// File name in `graph/rewrite/`.
    pub name: &'static str,
    /// The function.
    pub apply: fn(&Graph) -> Result<Graph>,
}

/// All rewrites, in the order they are applied.
pub const ALL: &[Rewrite] = &[
    Rewrite { name: "fold_batch_norm", apply: fold_batch_norm::rewrite },
    Rewrite { name: "fuse_activation", apply: fuse_activation::rewrite },
    Rewrite { name: "join_sources", apply: join_sources::rewrite },
    Rewrite { name: "commute_resize", apply: commute_resize::rewrite },
    Rewrite { name: "enlarge_sources", apply: upsample_sources::rewrite },
    Rewrite { name: "fuse_pool", apply: fuse_pool::rewrite },
    Rewrite { name: "fuse_head", apply: fuse_head::rewrite },
];

/// Applies every rewrite.
pub fn optimise(graph: &Graph) -> Result<Graph> {
    let mut graph = graph.without_dead_nodes();
    for rewrite in ALL {
        graph = (rewrite.apply)(&graph)?;
    }
    Ok(graph)
}
