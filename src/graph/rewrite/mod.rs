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
use crate::kernel::Target;

/// A rewrite with its name.
#[derive(Clone, Copy)]
pub struct Rewrite {
    /// File name in `graph/rewrite/`.
    pub name: &'static str,
    /// The function. What it decides by cost, it decides by the target's.
    pub apply: fn(&Graph, &Target) -> Result<Graph>,
}

/// All rewrites, in the order they are applied.
pub const ALL: &[Rewrite] = &[
    Rewrite { name: "fold_batch_norm", apply: |g, _| fold_batch_norm::rewrite(g) },
    Rewrite { name: "fuse_activation", apply: |g, _| fuse_activation::rewrite(g) },
    Rewrite { name: "join_sources", apply: |g, _| join_sources::rewrite(g) },
    Rewrite { name: "commute_resize", apply: commute_resize::rewrite },
    Rewrite { name: "enlarge_sources", apply: |g, _| upsample_sources::rewrite(g) },
    Rewrite { name: "fuse_pool", apply: |g, _| fuse_pool::rewrite(g) },
    Rewrite { name: "fuse_head", apply: |g, _| fuse_head::rewrite(g) },
];

/// Applies every rewrite, for the target that the result is planned for.
pub fn optimise(graph: &Graph, target: &Target) -> Result<Graph> {
    let mut graph = graph.without_dead_nodes();
    for rewrite in ALL {
        graph = (rewrite.apply)(&graph, target)?;
    }
    Ok(graph)
}
