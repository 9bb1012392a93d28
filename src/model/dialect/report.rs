//! How a checkpoint of another program was interpreted.

use crate::error::Message;
use crate::weights::Ignored;
use serde_json::Value;

/// The origin of an option's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Inferred from names and shapes in the file.
    Inferred,
    /// Assumed, with the reason.
    Assumed(String),
    /// Set by the user.
    Set,
}

/// An option of the network.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// Key, as in a checkpoint's config.
    pub key: String,
    /// Its value.
    pub value: Value,
    /// Origin of the value.
    pub origin: Origin,
}

/// A parameter of the file that the network uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matched {
    /// Its name in the file.
    pub key: String,
    /// Its canonical name.
    pub name: String,
}

/// Accounts for every name in a file and every option of the network.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The recognised dialect.
    pub dialect: &'static str,
    /// The common prefix of all names; may be empty.
    pub prefix: String,
    /// Options of the network and of image normalisation.
    pub settings: Vec<Setting>,
    /// Differences from the original program.
    pub notes: Vec<Message>,
    /// Whether the original `forward` ends with a sigmoid that the outputs here lack.
    pub sigmoid: bool,
    /// Parameters that are used.
    pub matched: Vec<Matched>,
    /// Parameters that are not used, and why.
    pub ignored: Vec<Ignored>,
}

impl Report {
    /// An empty report for a kind of file.
    pub fn new(dialect: &'static str) -> Self {
        Self {
            dialect,
            prefix: String::new(),
            settings: Vec::new(),
            notes: Vec::new(),
            sigmoid: false,
            matched: Vec::new(),
            ignored: Vec::new(),
        }
    }

    /// The kind of file, with an article.
    pub fn heading(&self) -> String {
        if self.dialect == "ONNX" { "an ONNX file".into() } else { format!("a checkpoint of {}", self.dialect) }
    }

    /// The assumptions, each as `key=value (reason)`.
    pub fn assumed(&self) -> Vec<String> {
        let one = |s: &Setting| match &s.origin {
            Origin::Assumed(reason) => Some(format!("{}={} ({reason})", s.key, s.shown())),
            Origin::Inferred | Origin::Set => None,
        };
        self.settings.iter().filter_map(one).collect()
    }
}

impl Setting {
    /// The value as it is written in a model setting.
    pub fn shown(&self) -> String {
        match &self.value {
            Value::String(word) => word.clone(),
            Value::Object(o) if o.len() == 1 => {
                o.values().next().and_then(Value::as_str).map_or_else(|| self.value.to_string(), str::to_string)
            }
            value => value.to_string(),
        }
    }
}
