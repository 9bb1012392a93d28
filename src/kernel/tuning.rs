//! Kernel choices measured on a device: plain data that [`super::Target`] carries and ops consult first.

use super::{ConvFamily, TensorStorage};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Convolutions that share a choice: one geometry, channels rounded to a power of two, pixels to a power of four.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ConvClass {
    /// Kernel rows and columns.
    pub kernel: [usize; 2],
    /// Stride in rows and columns.
    pub stride: [usize; 2],
    /// Dilation in rows and columns.
    pub dilation: [usize; 2],
    /// Input channels of all sources, rounded up to a power of two.
    pub inputs: usize,
    /// Output channels, rounded up to a power of two.
    pub outputs: usize,
    /// Output pixels of a batch, rounded to a power of four.
    pub pixels: usize,
}

impl ConvClass {
    /// The class of a convolution, given by its own channels and pixels.
    #[must_use]
    pub fn rounded(self) -> Self {
        // Rounded on a log scale: the midpoint between two powers of four is twice the smaller one.
        let log = self.pixels.max(1).ilog2().div_ceil(2);
        let (inputs, outputs) = (self.inputs.next_power_of_two(), self.outputs.next_power_of_two());
        Self { inputs, outputs, pixels: 1 << (2 * log), ..self }
    }
}

/// The fastest kernel family of each measured class of convolutions, and where kernels read tensors from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tuning {
    families: BTreeMap<ConvClass, ConvFamily>,
    storage: Option<TensorStorage>,
}

impl Tuning {
    /// Records a choice and replaces an earlier one.
    pub fn set(&mut self, class: ConvClass, family: ConvFamily) {
        self.families.insert(class, family);
    }

    /// The choice for a class, else for the next larger or smaller size of the same convolution: a network is tuned at
    /// one image size and run at others.
    pub fn family(&self, class: &ConvClass) -> Option<ConvFamily> {
        let sizes = [class.pixels, class.pixels * 4, class.pixels / 4];
        sizes.iter().find_map(|&pixels| self.families.get(&ConvClass { pixels, ..*class })).copied()
    }

    /// Where kernels read tensors from, if not from the default.
    pub fn storage(&self) -> Option<TensorStorage> {
        self.storage
    }

    /// Sets where kernels read tensors from; `None` for the default.
    pub fn set_storage(&mut self, storage: Option<TensorStorage>) {
        self.storage = storage;
    }

    /// All family choices.
    pub fn iter(&self) -> impl Iterator<Item = (&ConvClass, ConvFamily)> {
        self.families.iter().map(|(c, &f)| (c, f))
    }

    /// Adds the choices of `other`, which take precedence.
    pub fn merge(&mut self, other: Self) {
        self.families.extend(other.families);
        self.storage = other.storage.or(self.storage);
    }

    /// Number of family choices.
    pub fn len(&self) -> usize {
        self.families.len()
    }

    /// Whether there are no family choices.
    pub fn is_empty(&self) -> bool {
        self.families.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_and_their_neighbours() {
        let class = |[inputs, outputs]: [usize; 2], pixels| {
            ConvClass { kernel: [3; 2], stride: [1; 2], dilation: [1; 2], inputs, outputs, pixels }.rounded()
        };
        assert_eq!(class([48, 64], 256 * 256), class([64, 33], 250 * 250));
        assert_ne!(class([32, 64], 256 * 256), class([33, 64], 256 * 256));
        assert_eq!(class([1, 1], 0).pixels, 1);
        let mut tuning = Tuning::default();
        tuning.set(class([64, 64], 256 * 256), ConvFamily::Tile);
        assert_eq!(tuning.family(&class([64, 64], 256 * 256)), Some(ConvFamily::Tile));
        assert_eq!(tuning.family(&class([64, 64], 512 * 512)), Some(ConvFamily::Tile), "the next size");
        assert_eq!(tuning.family(&class([64, 64], 1024 * 1024)), None, "too far away");
        assert_eq!(tuning.family(&class([64, 128], 256 * 256)), None);
    }
}
