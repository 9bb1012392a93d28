//! Floats in files as their bits: JSON has no infinity, and decimals are not read back exactly by every reader.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Writes the bits of each element.
pub(crate) fn serialize<S: Serializer>(elements: &[f32], serializer: S) -> Result<S::Ok, S::Error> {
    elements.iter().map(|v| v.to_bits()).collect::<Vec<u32>>().serialize(serializer)
}

/// Reads elements from their bits.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f32>, D::Error> {
    Ok(Vec::<u32>::deserialize(deserializer)?.into_iter().map(f32::from_bits).collect())
}
