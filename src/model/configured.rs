//! What the registry needs of an architecture.

use super::Architecture;
use crate::error::Result;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

/// An architecture's config, as the registry needs it.
pub(crate) trait Configured: Architecture + DeserializeOwned + 'static {
    /// The id first, then its aliases.
    const SPELLINGS: &'static [&'static str];

    /// Checks every value.
    fn validated(self) -> Result<Self>;

    /// Default options of a network to train: smaller than the paper's.
    fn small() -> Value {
        json!({ "width": 16 })
    }

    /// Adds the options that training needs, unless `options` sets them.
    fn for_training(_options: &mut Map<String, Value>) {}
}
