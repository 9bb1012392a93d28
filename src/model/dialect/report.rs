//! What became of a checkpoint of another program.

use crate::error::Message;
use crate::weights::Ignored;
use serde_json::Value;

/// Where an option's value is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Names and shapes of the file.
    Inferred,
    /// The dialect's own code, and why.
    Assumed(String),
    /// The user.
    Set,
}

/// An option of the network.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// As in a checkpoint's config.
    pub key: String,
    /// Its value.
    pub value: Value,
    /// Where the value is from.
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
    /// Whose names they are.
    pub dialect: &'static str,
    /// What all names began with; may be empty.
    pub prefix: String,
    /// Options of the network and of its images.
    pub settings: Vec<Setting>,
    /// What differs from the original program.
    pub notes: Vec<Message>,
    /// Whether the original program's forward ends with a sigmoid that the outputs here do not have.
    pub sigmoid: bool,
    /// Parameters that are used.
    pub matched: Vec<Matched>,
    /// What is not used, and why.
    pub ignored: Vec<Ignored>,
}

impl Report {
    /// Of a kind of file of which nothing is to be said yet.
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

    /// What the file is, with an article.
    pub fn heading(&self) -> String {
        if self.dialect == "ONNX" { "an ONNX file".into() } else { format!("a checkpoint of {}", self.dialect) }
    }

    /// What was assumed: `key=value (why)` each.
    pub fn assumed(&self) -> Vec<String> {
        let one = |s: &Setting| match &s.origin {
            Origin::Assumed(why) => Some(format!("{}={} ({why})", s.key, s.shown())),
            Origin::Inferred | Origin::Set => None,
        };
        self.settings.iter().filter_map(one).collect()
    }
}

impl Setting {
    /// The value as a setting of the model has it.
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
