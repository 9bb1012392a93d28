//! What an architecture of the registry says of itself: its names, its options, and configurations to test.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::Architecture;
use crate::error::Result;

/// A configuration to test, and the shape `[N, C, H, W]` of a small input.
pub(crate) type ModelCase = (Value, [usize; 4]);

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

    /// Configurations that together cover every option.
    fn cases() -> Vec<ModelCase>;
}

/// The methods of [`Architecture`] that are the same for all configs: names, channels and the config itself.
macro_rules! described {
    ($name:literal) => {
        fn id(&self) -> &'static str {
            Self::SPELLINGS[0]
        }

        fn name(&self) -> &'static str {
            $name
        }

        fn in_channels(&self) -> usize {
            self.in_channels
        }

        fn out_channels(&self) -> usize {
            self.out_channels
        }

        fn config(&self) -> serde_json::Value {
            serde_json::to_value(self).unwrap_or_default()
        }
    };
}

pub(crate) use described;
