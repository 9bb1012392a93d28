//! Architectures by the names that configurations and checkpoints use. To add one, implement [`Configured`] in its file
//! and add a line to [`REGISTRY`].

use std::fmt;
use std::str::FromStr;

use serde::de;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::configured::{Configured, ModelCase};
use super::options;
use super::{Architecture, UNet, UNet3Plus, UNetPlusPlus};
use crate::error::{Error, Result};

/// Every architecture.
static REGISTRY: [Entry; 3] = [Entry::of::<UNet>(), Entry::of::<UNetPlusPlus>(), Entry::of::<UNet3Plus>()];

/// An entry of the registry.
struct Entry {
    spellings: &'static [&'static str],
    read: fn(&str, &Value) -> Result<Box<dyn Architecture>>,
    small: fn() -> Value,
    for_training: fn(&mut Map<String, Value>),
    cases: fn() -> Vec<ModelCase>,
}

impl Entry {
    const fn of<T: Configured>() -> Self {
        Self {
            spellings: T::SPELLINGS,
            read: read::<T>,
            small: T::small,
            for_training: T::for_training,
            cases: T::cases,
        }
    }

    fn id(&self) -> &'static str {
        self.spellings.first().copied().unwrap_or_default()
    }
}

/// Reads and checks a config; errors name the architecture `arch`.
fn read<T: Configured>(arch: &str, config: &Value) -> Result<Box<dyn Architecture>> {
    let wrong = |reason: String| Error::invalid(format!("config of {arch}"), reason);
    let none = Map::new();
    let config = match config {
        Value::Null => &none,
        Value::Object(options) => options,
        other => return Err(wrong(format!("{other} is not an object of options"))),
    };
    let network: T = options::read(config).map_err(|e| wrong(e.to_string()))?;
    Ok(Box::new(network.validated()?))
}

/// A registered architecture as a configuration spells it: `unet`, `unetpp` or `unet++`, `unet3p` or `unet3+`.
#[derive(Clone, Copy)]
pub struct ArchitectureId {
    entry: &'static Entry,
    spelling: &'static str,
}

impl ArchitectureId {
    /// Every architecture by its id.
    pub fn all() -> impl Iterator<Item = Self> {
        REGISTRY.iter().map(|entry| Self { entry, spelling: entry.id() })
    }

    /// The id, independent of the spelling.
    pub fn id(self) -> &'static str {
        self.entry.id()
    }

    /// The shortest of its names, as in the papers: `unet++`.
    pub fn short(self) -> &'static str {
        let shortest =
            self.entry.spellings.iter().copied().min_by_key(|s| (s.len(), s.ends_with(char::is_alphanumeric)));
        shortest.unwrap_or(self.spelling)
    }

    /// Builds the network from `config`, as in a checkpoint's metadata. Unknown keys are errors.
    pub fn build(self, config: &Value) -> Result<Box<dyn Architecture>> {
        (self.entry.read)(self.spelling, config)
    }

    /// Configurations that together cover every option, to test.
    pub(crate) fn cases(self) -> Vec<ModelCase> {
        (self.entry.cases)()
    }

    /// The options of a small network to train, as far as they differ from the defaults of [`Self::build`].
    pub fn small(self) -> Value {
        (self.entry.small)()
    }

    /// Builds a network to train: a null `config` means a small default, and options that training needs are added.
    pub fn build_for_training(self, config: &Value) -> Result<Box<dyn Architecture>> {
        let mut config = if config.is_null() { self.small() } else { config.clone() };
        if let Some(options) = config.as_object_mut() {
            (self.entry.for_training)(options);
        }
        self.build(&config)
    }
}

/// U-Net, the first in the registry.
impl Default for ArchitectureId {
    fn default() -> Self {
        let [entry, ..] = &REGISTRY;
        Self { entry, spelling: entry.id() }
    }
}

impl FromStr for ArchitectureId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let find = |entry: &'static Entry| {
            let spelling = entry.spellings.iter().copied().find(|s| *s == text)?;
            Some(Self { entry, spelling })
        };
        REGISTRY.iter().find_map(find).ok_or_else(|| {
            let ids: Vec<&str> = REGISTRY.iter().map(Entry::id).collect();
            Error::invalid("architecture", format!("`{text}` is not one of {}", ids.join(", ")))
        })
    }
}

impl PartialEq for ArchitectureId {
    fn eq(&self, other: &Self) -> bool {
        self.id() == other.id()
    }
}

impl Eq for ArchitectureId {}

impl fmt::Display for ArchitectureId {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.spelling)
    }
}

impl fmt::Debug for ArchitectureId {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        fmt::Debug::fmt(self.spelling, f)
    }
}

impl Serialize for ArchitectureId {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.spelling)
    }
}

impl<'de> Deserialize<'de> for ArchitectureId {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

/// Builds the architecture `arch` from `config`, as in a checkpoint's metadata. Unknown keys are errors.
pub fn parse(arch: &str, config: &Value) -> Result<Box<dyn Architecture>> {
    arch.parse::<ArchitectureId>()?.build(config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn spellings_round_trip_and_aliases_are_equal() {
        let mut all: Vec<&str> = REGISTRY.iter().flat_map(|e| e.spellings).copied().collect();
        for spelling in &all {
            let id: ArchitectureId = spelling.parse().unwrap();
            assert_eq!((id.to_string(), serde_json::to_value(id).unwrap()), (spelling.to_string(), json!(spelling)));
            assert_eq!(
                (id.build(&Value::Null).unwrap().id(), id.id().parse::<ArchitectureId>().unwrap()),
                (id.id(), id)
            );
        }
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count, "duplicate spelling");
        let e = parse("segnet", &Value::Null).unwrap_err().to_string();
        assert!(e.starts_with("architecture: `segnet` is not one of unet, unetpp, unet3p"), "{e}");
    }

    #[test]
    fn training_defaults_are_small_with_exclusive_classes() {
        let of = |arch: &str, config: Value| {
            arch.parse::<ArchitectureId>().unwrap().build_for_training(&config).unwrap().config()
        };
        assert_eq!(of("unet", Value::Null)["padding"], "same");
        assert_eq!(of("unet", json!({}))["padding"], "valid");
        assert_eq!(of("unet3+", json!({ "out_channels": 3 }))["activation"], "softmax");
        assert_eq!(of("unet3+", json!({ "out_channels": 3, "activation": "sigmoid" }))["activation"], "sigmoid");
        assert_eq!(of("unet3p", Value::Null)["activation"], "sigmoid");
    }
}
