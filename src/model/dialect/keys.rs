//! Names and shapes of a checkpoint, and the prefixes that wrappers add.

use crate::tensor::HostTensor;
use crate::weights::Weights;
use std::collections::BTreeMap;

/// Prefixes of wrappers: DataParallel, torch.compile, Lightning modules and the like.
const PREFIXES: [&str; 7] = ["module.", "_orig_mod.", "model.", "net.", "network.", "unet.", "_model."];
/// Prefixes of the network in training code that stores other networks beside it.
const ROLES: [&str; 4] = ["student.", "generator.", "segmentation_model.", "backbone."];
/// Prefixes of those other modules, none of which is part of the network.
const COMPANIONS: [&str; 10] = [
    "teacher.",
    "discriminator.",
    "critic.",
    "ema.",
    "ema_model.",
    "model_ema.",
    "loss.",
    "criterion.",
    "loss_fn.",
    "metrics.",
];

/// Names and dimensions of tensors.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shapes(BTreeMap<String, Vec<usize>>);

impl Shapes {
    /// Collects the names and dimensions of `tensors`.
    pub fn of<'a>(tensors: impl IntoIterator<Item = (&'a str, &'a [usize])>) -> Self {
        Self(tensors.into_iter().map(|(k, d)| (k.to_string(), d.to_vec())).collect())
    }

    /// Whether a tensor of that name exists.
    pub fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// Whether any name begins with `prefix`.
    pub fn any(&self, prefix: &str) -> bool {
        self.0.range(prefix.to_string()..).next().is_some_and(|(k, _)| k.starts_with(prefix))
    }

    /// A tensor's dimensions.
    pub fn dims(&self, key: &str) -> Option<&[usize]> {
        self.0.get(key).map(Vec::as_slice)
    }

    /// One dimension of a tensor.
    pub fn dim(&self, key: &str, axis: usize) -> Option<usize> {
        self.dims(key)?.get(axis).copied()
    }

    /// The names, sorted.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Number of consecutive indices, starting at `from`, whose `key` exists.
    pub fn count(&self, from: usize, key: impl Fn(usize) -> String) -> usize {
        // The number of names in the file bounds the loop.
        (from..).take_while(|&i| self.has(&key(i))).count()
    }
}

/// Strips common prefixes repeatedly. Returns the prefix, the tensors without it, and the names that lack it.
pub(super) fn without_prefix(weights: Weights) -> (String, Vec<(String, HostTensor)>, Vec<String>) {
    let (mut prefix, mut outside) = (String::new(), Vec::new());
    let mut inner: Vec<(String, HostTensor)> = weights.into_iter().collect();
    while let Some(p) = common_prefix(&inner) {
        let mut stripped = Vec::new();
        for (key, tensor) in inner {
            match key.strip_prefix(p) {
                Some(rest) => stripped.push((rest.to_string(), tensor)),
                None => outside.push(format!("{prefix}{key}")),
            }
        }
        prefix.push_str(p);
        inner = stripped;
    }
    (prefix, inner, outside)
}

/// The next prefix to strip: a wrapper that most names have, or the network's role if all others are companions'.
fn common_prefix(tensors: &[(String, HostTensor)]) -> Option<&'static str> {
    let count = |p: &str| tensors.iter().filter(|(k, _)| k.starts_with(p)).count();
    let alone = |role: &str| {
        let others = |k: &str| COMPANIONS.iter().any(|c| k.starts_with(c));
        count(role) > 0 && tensors.iter().all(|(k, _)| k.starts_with(role) || others(k))
    };
    let wrapper = PREFIXES.into_iter().find(|p| count(p) * 2 > tensors.len());
    wrapper.or_else(|| ROLES.into_iter().find(|r| alone(r)))
}

/// A note on which of several networks in a checkpoint is used.
pub(super) fn companions(prefix: &str, outside: &[String]) -> Option<String> {
    let companion = COMPANIONS.iter().find(|c| outside.iter().any(|k| k.contains(*c)))?;
    let (used, other) = (prefix.trim_end_matches('.'), companion.trim_end_matches('.'));
    Some(format!("it holds `{used}` and `{other}`; `{used}` is used"))
}

/// Splits off a leading number: `3.weight` gives `(3, ".weight")`.
pub(super) fn number(text: &str) -> Option<(usize, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    Some((digits.parse().ok()?, rest))
}

/// Maps the indices of a double convolution in a `Sequential` to names: 0, 1, 3, 4 to `conv1`, `bn1`, `conv2`, `bn2`.
pub(super) fn sequential(text: &str) -> Option<String> {
    let (slot, rest) = number(text)?;
    let part = match slot {
        0 => "conv1",
        1 => "bn1",
        3 => "conv2",
        4 => "bn2",
        _ => return None,
    };
    Some(format!("{part}{rest}"))
}
