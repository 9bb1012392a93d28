//! `unet inspect --plan`: the graph before and after rewriting, and its dispatches.

use super::output;
use serde_json::{Value, json};
use std::fmt::Write;
use unet_wgpu::Result;
use unet_wgpu::low_level::graph::{Graph, rewrite};
use unet_wgpu::low_level::kernel::Target;
use unet_wgpu::low_level::plan::{Plan, SlotKind};

/// A row of a table: a node, or a dispatch.
struct Row {
    label: String,
    what: String,
    shape: String,
    macs: u64,
    bytes: u64,
    live: u64,
}

/// The graph after a rewrite.
struct Stage {
    name: &'static str,
    nodes: usize,
    macs: u64,
    bytes: u64,
    live: u64,
}

pub(super) struct Report {
    device: String,
    stages: Vec<Stage>,
    before: Vec<Row>,
    after: Vec<Row>,
    dispatches: Vec<Row>,
    plan: Plan,
}

impl Report {
    /// The plan for `target`, which the report calls `device`.
    pub(super) fn new(graph: &Graph, target: &Target, device: String) -> Result<Self> {
        let mut now = graph.without_dead_nodes();
        let (before, mut stages) = (nodes(&now, target), vec![stage("as written", &now, target)]);
        for r in rewrite::ALL {
            now = (r.apply)(&now, target)?;
            stages.push(stage(r.name, &now, target));
        }
        let plan = Plan::new(&now, target)?;
        let dispatch = |s: &unet_wgpu::low_level::plan::PlannedDispatch| Row {
            label: s.label.clone(),
            what: s.kernel.to_string(),
            shape: s.workgroups.map(|g| g.to_string()).join(" x "),
            macs: s.macs,
            bytes: s.bytes,
            live: plan.live[s.node],
        };
        let dispatches = plan.dispatches.iter().map(dispatch).collect();
        Ok(Self { device, stages, before, after: nodes(&now, target), dispatches, plan })
    }

    /// Tables of at most 120 columns.
    pub(super) fn text(&self) -> String {
        let mut t = format!("\nPlan for {}\n\n", self.device);
        let _ = writeln!(t, "{:<18} {:>6} {:>9} {:>11} {:>11}", "rewrite", "nodes", "GMAC", "moved", "max live");
        for s in &self.stages {
            let (moved, live) = (output::bytes(s.bytes), output::bytes(s.live));
            let gmac = s.macs as f64 / 1e9;
            let _ = writeln!(t, "{:<18} {:>6} {gmac:>9.3} {moved:>11} {live:>11}", s.name, s.nodes);
        }
        table(&mut t, "Before rewriting", ["node", "op", "output"], &self.before);
        table(&mut t, "After rewriting", ["node", "op", "output"], &self.after);
        table(&mut t, "Dispatches", ["node", "kernel", "workgroups"], &self.dispatches);
        let m = &self.plan.memory;
        let _ = write!(
            t,
            "\nMoved: inputs, outputs, parameters and scratch, each counted once. Live: activations and scratch that then exist.\n\
             {} slots of {} in total hold them, at most {} are live at once; {} of weights in kernel layout.",
            self.plan.slots.len(),
            output::bytes(m.slots),
            output::bytes(m.live),
            output::bytes(m.weights),
        );
        t
    }

    pub(super) fn document(&self) -> Value {
        let rows = |rows: &[Row], what: &str, shape: &str| -> Value {
            let row = |r: &Row| {
                json!({
                    "label": r.label, what: r.what, shape: sizes(&r.shape), "macs": r.macs, "bytes": r.bytes,
                    "live_bytes": r.live,
                })
            };
            rows.iter().map(row).collect()
        };
        let stage = |s: &Stage| json!({ "name": s.name, "nodes": s.nodes, "macs": s.macs, "bytes": s.bytes, "live_bytes": s.live });
        json!({
            "device": self.device,
            "rewrites": self.stages.iter().map(stage).collect::<Vec<_>>(),
            "before": rows(&self.before, "op", "output"),
            "after": rows(&self.after, "op", "output"),
            "dispatches": rows(&self.dispatches, "kernel", "workgroups"),
            "slots": self.plan.slots.iter().map(|s| json!({ "bytes": s.bytes, "texture": s.kind != SlotKind::Buffer })).collect::<Vec<_>>(),
        })
    }
}

fn sizes(shape: &str) -> Vec<usize> {
    shape.split(" x ").filter_map(|d| d.parse().ok()).collect()
}

fn nodes(graph: &Graph, target: &Target) -> Vec<Row> {
    let live = Plan::live_bytes(graph, target);
    let row = |(n, live): (&unet_wgpu::low_level::graph::Node, u64)| {
        let s = graph.shape(n.outputs[0]);
        let values = n.inputs.iter().chain(&n.outputs);
        Row {
            label: n.label.clone(),
            what: n.op.name().into(),
            shape: [s.c, s.h, s.w].map(|d| d.to_string()).join(" x "),
            macs: graph.node_macs(n),
            bytes: values.map(|&v| graph.value(v).desc.bytes(target.options.precision)).sum(),
            live,
        }
    };
    graph.nodes().iter().zip(live).map(row).collect()
}

fn stage(name: &'static str, graph: &Graph, target: &Target) -> Stage {
    let rows = nodes(graph, target);
    Stage {
        name,
        nodes: rows.len(),
        macs: graph.macs(),
        bytes: rows.iter().map(|r| r.bytes).sum(),
        live: rows.iter().map(|r| r.live).max().unwrap_or(0),
    }
}

fn table(t: &mut String, title: &str, [label, what, shape]: [&str; 3], rows: &[Row]) {
    let (macs, bytes): (u64, u64) = (rows.iter().map(|r| r.macs).sum(), rows.iter().map(|r| r.bytes).sum());
    let _ =
        writeln!(t, "\n{title}: {} rows, {:.3} GMAC, {} moved", rows.len(), macs as f64 / 1e9, output::bytes(bytes));
    let width = rows.iter().map(|r| r.label.chars().count()).fold(20, usize::max);
    let _ = writeln!(t, "{label:<width$} {shape:>16} {:>9} {:>10} {:>10}  {what}", "MMAC", "moved", "live");
    for r in rows {
        let macs = if r.macs == 0 { String::new() } else { format!("{:.1}", r.macs as f64 / 1e6) };
        let (bytes, live) = (output::bytes(r.bytes), output::bytes(r.live));
        let front = format!("{:<width$} {:>16} {macs:>9} {bytes:>10} {live:>10}  ", r.label, r.shape);
        let indent = front.chars().count();
        let what = wrapped(&r.what, COLUMNS.saturating_sub(indent));
        let _ = writeln!(t, "{front}{}", what.join(&format!("\n{:indent$}  ", "")));
    }
}

const COLUMNS: usize = 120;

/// Breaks text at spaces into lines of at most `width` columns, or two fewer from the second line on.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        let max = width.saturating_sub(if lines.len() > 1 { 2 } else { 0 });
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= max => *line = format!("{line} {word}"),
            _ => lines.push(word.to_string()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::wrapped;

    #[test]
    fn long_names_are_wrapped() {
        assert_eq!(wrapped("a[b=1 c=2 d=3]", 80), ["a[b=1 c=2 d=3]"]);
        assert_eq!(wrapped("a[b=1 c=2 d=3 e=4 f=5]", 10), ["a[b=1 c=2", "d=3 e=4", "f=5]"]);
    }
}
