//! In what order a file has rows, columns and channels of its input.
//!
//! A file does not say it. What says it are the layers: a convolution works on N, C, H, W, so of all orders the one is right
//! from which the first convolution is reached without elements changing places.

use super::Reason;
use super::axes::{Axis, Layout};
use super::parts::Parts;
use super::translate::Failure;
use crate::graph::Graph;

/// What speaks against an order: elements that change places before the first layer that knows rows from channels, and at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Moves {
    before: usize,
    all: usize,
    /// There is no such layer.
    unknown: bool,
}

impl Moves {
    fn of(graph: &Graph) -> Self {
        const KNOWING: [&str; 6] =
            ["conv2d", "conv_transpose2d", "max_pool2d", "avg_pool2d", "pool2d", "instance_norm2d"];
        let moves = |nodes: &[crate::graph::Node]| nodes.iter().filter(|n| n.op.name() == "rearrange").count();
        let nodes = graph.nodes();
        let first = nodes.iter().position(|n| KNOWING.contains(&n.op.name()));
        let before = moves(&nodes[..first.unwrap_or(nodes.len())]);
        Self { before, all: moves(nodes), unknown: first.is_none() }
    }
}

/// Why no order of the input is possible.
pub enum Stuck {
    /// The file's own words.
    Reason(Reason),
    /// The nodes that cannot be translated in the likeliest order.
    Nodes(Vec<Failure>),
}

/// Finds the order of the input, and sets it in `parts`. `translated` translates the parts as they are then, for a size of
/// its choice, and says which size that was.
pub fn find(
    parts: &mut Parts,
    asked: Option<Layout>,
    mut translated: impl FnMut(&Parts) -> Result<(Graph, [usize; 2]), Vec<Failure>>,
) -> Result<[usize; 2], Stuck> {
    let rank = parts.file_dims.len();
    let candidates = match asked {
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
        if let Err(why) = parts.arrange(layout) {
            problem.get_or_insert(Stuck::Reason(why));
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
            if moves.unknown && asked.is_none() && Layout::last_by_dims(&parts.file_dims).is_none() {
                log::warn!(
                    "nothing in the file says the order of its input's axes; {layout} is assumed, `layout=` says it"
                );
            }
            parts.arrange(layout).map(|()| size).map_err(Stuck::Reason)
        }
        (None, Some(problem)) => Err(problem),
        (None, None) => Err(Stuck::Reason(format!("its input has {rank} dimensions; 2 to 4 are supported").into())),
    }
}
