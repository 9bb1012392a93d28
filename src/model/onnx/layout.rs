//! Axis order of a file's input.
//!
//! A file does not state it, but it follows from the layers: convolutions work on N, C, H, W, so the right order is the
//! one that reaches the first convolution without permuting elements.

use super::Reason;
use super::axes::Layout;
use super::parts::Parts;
use super::translate::Failure;
use crate::graph::Graph;

/// Cost of an order: permutations before the first layer that distinguishes rows from channels, and in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Moves {
    before: usize,
    all: usize,
    /// No such layer exists.
    unknown: bool,
}

impl Moves {
    fn of(graph: &Graph) -> Self {
        const SPATIAL: [&str; 6] =
            ["conv2d", "conv_transpose2d", "max_pool2d", "avg_pool2d", "pool2d", "instance_norm2d"];
        let moves = |nodes: &[crate::graph::Node]| nodes.iter().filter(|n| n.op.name() == "rearrange").count();
        let nodes = graph.nodes();
        let first = nodes.iter().position(|n| SPATIAL.contains(&n.op.name()));
        let before = moves(&nodes[..first.unwrap_or(nodes.len())]);
        Self { before, all: moves(nodes), unknown: first.is_none() }
    }
}

/// Why no axis order of the input works.
pub(super) enum Stuck {
    /// The input itself is not supported.
    Reason(Reason),
    /// The nodes that cannot be translated in the most likely order.
    Nodes(Vec<Failure>),
}

/// Finds the axis order of the input and sets it in `parts`. `translated` translates the parts for a size of its choice
/// and returns that size.
pub(super) fn find(
    parts: &mut Parts,
    requested: Option<Layout>,
    mut translated: impl FnMut(&Parts) -> Result<(Graph, [usize; 2]), Vec<Failure>>,
) -> Result<[usize; 2], Stuck> {
    let rank = parts.file_dims.len();
    let candidates = match requested {
        Some(layout) if layout.axes().len() == rank => vec![layout],
        Some(layout) => {
            let reason = format!("layout is {layout}, its input `{}` has {rank} dimensions", parts.input);
            return Err(Stuck::Reason(reason.into()));
        }
        None => Layout::of_rank(&parts.file_dims),
    };
    let mut problem: Option<Stuck> = None;
    let mut best: Option<(Moves, Layout, [usize; 2])> = None;
    for layout in candidates {
        if let Err(reason) = parts.arrange(layout) {
            problem.get_or_insert(Stuck::Reason(reason));
            continue;
        }
        match translated(parts) {
            Ok((graph, size)) => {
                let moves = Moves::of(&graph);
                if best.as_ref().is_none_or(|b| moves < b.0) {
                    best = Some((moves, layout, size));
                }
                if moves.all == 0 {
                    break;
                }
            }
            Err(failures) if matches!(problem, None | Some(Stuck::Reason(_))) => problem = Some(Stuck::Nodes(failures)),
            Err(_) => {}
        }
    }
    match (best, problem) {
        (Some((moves, layout, size)), _) => {
            if moves.unknown && requested.is_none() && Layout::last_by_dims(&parts.file_dims).is_none() {
                log::warn!(
                    "the file does not determine the order of its input's axes; {layout} is assumed, set it with `layout=`"
                );
            }
            parts.arrange(layout).map(|()| size).map_err(Stuck::Reason)
        }
        (None, Some(problem)) => Err(problem),
        (None, None) => Err(Stuck::Reason(format!("its input has {rank} dimensions; 2 to 4 are supported").into())),
    }
}
