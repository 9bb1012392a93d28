//! Nodes that cannot be translated, and the message about them.

use crate::text::excerpt;
use std::collections::HashMap;
use std::fmt::Write;

/// A node that cannot be translated.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Failure {
    /// Its name in the file, or that of its first output.
    pub node: String,
    /// Its operator, with the domain if it is not ONNX's.
    pub op: String,
    /// The reason.
    pub reason: String,
}

pub(super) const UNKNOWN: &str = "the operator is not supported";

impl Failure {
    /// Whether the operator is unknown.
    pub(crate) fn is_of_operator(&self) -> bool {
        self.reason == UNKNOWN
    }
}

/// Maximum number of reasons, and of nodes per reason, in a message; maximum number of characters of a name.
const LISTED: usize = 64;
const MAX_NAME: usize = 200;

/// All failures in one line, grouped by operator and reason.
pub(crate) fn describe(failures: &[Failure]) -> String {
    let mut text = match failures.len() {
        1 => "1 node cannot be translated".to_string(),
        n => format!("{n} nodes cannot be translated"),
    };
    let mut groups: Vec<(&Failure, Vec<&str>)> = Vec::new();
    let mut place = HashMap::new();
    for f in failures {
        let at = *place.entry((&f.op, &f.reason)).or_insert_with(|| {
            groups.push((f, Vec::new()));
            groups.len() - 1
        });
        groups[at].1.push(&f.node);
    }
    for (i, (f, nodes)) in groups.iter().take(LISTED).enumerate() {
        let named: Vec<String> = nodes.iter().take(LISTED).map(|n| short(n)).collect();
        let more = if nodes.len() > LISTED { format!(" and {} more", nodes.len() - LISTED) } else { String::new() };
        let start = if i == 0 { ":" } else { ";" };
        let _ = write!(text, "{start} `{}`{more} ({}): {}", named.join("`, `"), short(&f.op), f.reason);
    }
    if groups.len() > LISTED {
        let _ = write!(text, "; and {} more reasons", groups.len() - LISTED);
    }
    text
}

/// A text from a file for use in a message, without control characters and of bounded length.
fn short(text: &str) -> String {
    excerpt(text, MAX_NAME)
}
