//! Values of a run as lines of text.

use std::fmt::Write;
use std::path::Path;

use serde_json::{Number, Value};

use crate::error::{Error, Result};
use crate::io::fs;

/// First line of the CSV file.
pub(super) const CSV_HEADER: &str = "step,split,name,value\n";

/// The data that values were measured on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Split {
    /// Training steps.
    Train,
    /// The validation data.
    Validation,
}

impl Split {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
        }
    }
}

/// Values that were reported together.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    /// Steps done.
    pub step: u64,
    pub split: Split,
    /// By name.
    pub values: Vec<(String, f64)>,
}

impl Row {
    /// Lines of the CSV file; non-finite values are `nan` or `inf`.
    pub(super) fn csv(&self) -> String {
        let mut out = String::new();
        for (name, value) in &self.values {
            let value = Number::from_f64(*value).map_or_else(|| format!("{value}").to_lowercase(), |n| n.to_string());
            // One line per value, whatever the name.
            let mut name: String = name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            if name.contains([',', '"']) {
                name = format!("\"{}\"", name.replace('"', "\"\""));
            }
            let _ = writeln!(out, "{},{},{name},{value}", self.step, self.split.name());
        }
        out
    }

    /// The line of the JSON lines file; non-finite values are `null`.
    pub(super) fn jsonl(&self) -> String {
        let mut out = format!("{{\"step\":{},\"split\":\"{}\"", self.step, self.split.name());
        for (name, value) in &self.values {
            let _ = write!(out, ",{}:{}", Value::from(name.as_str()), Value::from(*value));
        }
        out.push_str("}\n");
        out
    }

    /// Parses a line of the JSON lines file.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let Value::Object(entries) = serde_json::from_str(line).ok()? else { return None };
        let step = entries.get("step")?.as_u64()?;
        let split = entries.get("split")?.as_str()?;
        let split = [Split::Train, Split::Validation].into_iter().find(|s| s.name() == split)?;
        let numbers = entries.into_iter().filter(|(name, _)| name != "step" && name != "split");
        Some(Self { step, split, values: numbers.map(|(k, v)| (k, v.as_f64().unwrap_or(f64::NAN))).collect() })
    }
}

/// The step of a line of the CSV file.
pub(super) fn csv_step(line: &str) -> Option<u64> {
    let (step, rest) = line.split_once(',')?;
    let (split, rest) = rest.split_once(',')?;
    let (_, value) = rest.rsplit_once(',')?;
    let known = split == Split::Train.name() || split == Split::Validation.name();
    value.parse::<f64>().ok().filter(|_| known).and(step.parse().ok())
}

/// The lines of a file up to `step`, without the first `header` lines. A missing file has none.
pub(super) fn lines_until(
    path: &Path,
    header: usize,
    step: u64,
    step_of: impl Fn(&str) -> Option<u64>,
) -> Result<String> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(e) => return Err(Error::io(path, e)),
    };
    let text = String::from_utf8_lossy(&bytes);
    let mut out = String::new();
    for (i, line) in text.split_inclusive('\n').enumerate().skip(header) {
        // A killed process may leave a partial last line.
        let Some(whole) = line.strip_suffix('\n') else { break };
        match step_of(whole) {
            Some(s) if s <= step => out.push_str(line),
            Some(_) => {}
            None => {
                log::warn!("{}: line {} is damaged; dropped with all that follow", path.display(), i + 1);
                break;
            }
        }
    }
    Ok(out)
}
