//! Conditions in shaders: `#ifdef` and its like, and the constant that most of them ask for.

use super::KernelKey;

/// Constant that makes a kernel store activations and weights as f16: see `shaders/lib/storage.wgsl`.
pub const F16: &str = "F16";

/// Whether the conditions around a line keep it; `open` tracks them. False for the conditionals themselves.
pub(super) fn is_active(line: &str, key: &KernelKey, open: &mut Vec<bool>) -> bool {
    let mut words = line.split_whitespace();
    match (words.next(), words.next()) {
        (Some(directive @ ("#ifdef" | "#ifndef")), Some(name)) => {
            open.push(key.value(name).is_some() == (directive == "#ifdef"));
            false
        }
        (Some("#else"), _) => {
            open.last_mut().into_iter().for_each(|top| *top = !*top);
            false
        }
        (Some("#endif"), _) => {
            open.pop();
            false
        }
        _ => open.iter().all(|&b| b),
    }
}
