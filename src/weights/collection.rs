//! Named host tensors.

use std::collections::BTreeMap;
use std::fmt;

use crate::error::{Error, Result};
use crate::tensor::HostTensor;

/// Longer names are not compared in the search for the nearest name: its cost grows with the product of lengths.
const LONGEST_COMPARED: usize = 256;
/// Similarity (0 to 1) below which a name is no help.
const SIMILAR: f64 = 0.4;

/// The parameters of a network by name, in the order of their names.
#[derive(Clone, Default, PartialEq)]
pub struct Weights {
    tensors: BTreeMap<String, HostTensor>,
}

impl Weights {
    /// An empty collection.
    pub fn new() -> Self {
        Self::default()
    }

    /// The tensor called `key`.
    pub fn get(&self, key: &str) -> Option<&HostTensor> {
        self.tensors.get(key)
    }

    /// The tensor called `key`, mutably.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut HostTensor> {
        self.tensors.get_mut(key)
    }

    /// Adds a tensor, and returns the previous one of that name.
    pub fn insert(&mut self, key: impl Into<String>, tensor: HostTensor) -> Option<HostTensor> {
        self.tensors.insert(key.into(), tensor)
    }

    /// Removes a tensor.
    pub fn remove(&mut self, key: &str) -> Option<HostTensor> {
        self.tensors.remove(key)
    }

    /// The names, sorted.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Names and tensors, sorted by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &HostTensor)> {
        self.tensors.iter().map(|(k, t)| (k.as_str(), t))
    }

    /// Number of tensors.
    pub fn len(&self) -> usize {
        self.tensors.len()
    }

    /// Whether there is no tensor.
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    /// Number of elements of all tensors, running statistics included.
    pub fn parameters(&self) -> usize {
        self.tensors.values().map(|t| t.data().len()).sum()
    }

    /// The tensor called `key`, which must have the dimensions `dims`.
    pub fn require(&self, key: &str, dims: &[usize]) -> Result<&HostTensor> {
        let tensor = self
            .get(key)
            .ok_or_else(|| Error::ParameterMissing { key: key.into(), nearest: self.nearest(key).map(Into::into) })?;
        if tensor.dims() != dims {
            let (expected, found) = (dims.to_vec(), tensor.dims().to_vec());
            return Err(Error::ParameterShape { key: key.into(), expected, found });
        }
        Ok(tensor)
    }

    /// The name most similar to `key`, if any is similar.
    pub fn nearest(&self, key: &str) -> Option<&str> {
        nearest(key, self.keys())
    }

    /// Every tensor with elements that are NaN or infinite, and how many it has.
    pub fn non_finite(&self) -> Vec<(String, usize)> {
        let count = |t: &HostTensor| t.data().iter().filter(|v| !v.is_finite()).count();
        self.tensors.iter().map(|(k, t)| (k.clone(), count(t))).filter(|&(_, n)| n > 0).collect()
    }
}

/// The candidate most similar to `word`, if any is similar. The first of equals wins.
pub(super) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let mut best = (SIMILAR, None);
    for candidate in candidates.into_iter().filter(|c| c.len().max(word.len()) <= LONGEST_COMPARED) {
        let score = strsim::normalized_levenshtein(word, candidate);
        if score > best.0 {
            best = (score, Some(candidate));
        }
    }
    best.1
}

impl fmt::Debug for Weights {
    // Names and dimensions only: the elements are millions of numbers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.tensors.iter().map(|(k, t)| (k, t.dims()))).finish()
    }
}

impl FromIterator<(String, HostTensor)> for Weights {
    fn from_iter<I: IntoIterator<Item = (String, HostTensor)>>(tensors: I) -> Self {
        Self { tensors: tensors.into_iter().collect() }
    }
}

impl IntoIterator for Weights {
    type Item = (String, HostTensor);
    type IntoIter = std::collections::btree_map::IntoIter<String, HostTensor>;

    fn into_iter(self) -> Self::IntoIter {
        self.tensors.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights() -> Weights {
        let mut w = Weights::new();
        w.insert("dec.0.conv1.weight", HostTensor::new([2, 1, 1, 1], vec![1.0, f32::NAN]).unwrap());
        w.insert("dec.0.bn1.weight", HostTensor::new([3], vec![1.0, 2.0, f32::INFINITY]).unwrap());
        w.insert("head.bias", HostTensor::new([1], vec![0.5]).unwrap());
        w
    }

    #[test]
    fn a_missing_parameter_names_the_nearest() {
        let e = weights().require("dec.0.conv2.weight", &[1]).unwrap_err().to_string();
        assert_eq!(e, "parameter `dec.0.conv2.weight` is missing (nearest name in the file: `dec.0.conv1.weight`)");
        assert_eq!(weights().require("zzz", &[1]).unwrap_err().to_string(), "parameter `zzz` is missing");
        assert_eq!(Weights::new().nearest("head.bias"), None);
    }

    #[test]
    fn a_wrong_shape_names_both() {
        let e = weights().require("head.bias", &[2, 1]).unwrap_err().to_string();
        assert_eq!(e, "parameter `head.bias`: the network needs shape [2, 1], the file has [1]");
        assert!(weights().require("head.bias", &[1]).is_ok());
    }

    #[test]
    fn counts() {
        let w = weights();
        assert_eq!((w.len(), w.parameters()), (3, 6));
        assert_eq!(w.non_finite(), [("dec.0.bn1.weight".to_string(), 1), ("dec.0.conv1.weight".to_string(), 1)]);
        assert_eq!(w.keys().collect::<Vec<_>>(), ["dec.0.bn1.weight", "dec.0.conv1.weight", "head.bias"]);
        assert!(format!("{w:?}").contains("\"head.bias\": [1]"));
    }
}
