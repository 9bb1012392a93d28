//! Fixtures of kind `checkpoint`: another program's file. The inferred network must be the one it was made from, with
//! PyTorch's outputs.

use super::manifest::under;
use super::model_fixtures::{Fixture, compare_outputs};
use super::{CaseFile, Entry, FixtureError, FixtureResult, Selftest};
use crate::error::{Error, Result};
use crate::model::{self, Model, parse};
use crate::weights::load_bytes;
use serde_json::Value;

impl Selftest<'_> {
    pub(super) fn checkpoint_fixture(&mut self, entry: &Entry, files: &[CaseFile]) -> FixtureResult {
        let fixture = read(entry, files).map_err(FixtureError::invalid)?;
        compare_outputs(self, entry, &fixture)
    }
}

/// The network as inferred from the checkpoint alone.
fn read(entry: &Entry, files: &[CaseFile]) -> Result<Fixture> {
    let wrong = |reason: String| Error::invalid(&entry.name, reason);
    let mut tensors = entry.tensors(files)?;
    let inside = format!("{}.ckpt.", entry.name);
    let file = files.iter().find(|f| f.name.starts_with(&inside));
    let file = file.ok_or_else(|| wrong(format!("the manifest lists no file `{inside}*`")))?;
    let checkpoint = load_bytes(&file.bytes, &file.path)?;
    let tensor_count = checkpoint.weights.len();
    let model = Model::new(&file.name, checkpoint)?;
    let report = model.import().ok_or_else(|| wrong("has metadata, so nothing was inferred".into()))?;
    // The network it was made from; options that the manifest does not mention have their defaults.
    let field = |key: &str| entry.config.get(key).cloned().unwrap_or_default();
    let made = match entry.config.as_object() {
        Some(made) => made.iter().filter(|(k, _)| *k != "arch").map(|(k, v)| (k.clone(), v.clone())).collect(),
        None => return Err(wrong("no `config` to compare with".into())),
    };
    let arch = field("arch").as_str().unwrap_or_default().to_string();
    let expected = parse(&arch, &Value::Object(made))?.config();
    let got = model.architecture.config();
    if (model.architecture.id(), &got) != (arch.as_str(), &expected) {
        return Err(wrong(format!("understood as {} {got}, it is {arch} {expected}", model.architecture.id())));
    }
    let counters = report.ignored.iter().filter(|i| i.key.ends_with("num_batches_tracked")).count();
    if report.matched.len() + counters != tensor_count || entry.keys.is_some_and(|n| n != tensor_count) {
        let (n, m) = (report.matched.len(), tensor_count);
        return Err(wrong(format!("of {m} tensors {n} are parameters and {counters} counters")));
    }
    let input = tensors.remove(model::INPUT).ok_or_else(|| wrong("no tensor `input`".into()))?;
    let expected = under(&tensors, "out/");
    if expected.is_empty() {
        return Err(wrong("no tensor `out/..` to compare with".into()));
    }
    let (weights, config) = (model.weights().clone(), model.architecture.config());
    Ok(Fixture { arch, config, weights, input, expected })
}
