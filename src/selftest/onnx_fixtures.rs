//! Fixtures of kind `onnx`: a file written by PyTorch's exporter, and PyTorch's outputs for one or two inputs.

use super::manifest::under;
use super::{CaseFile, Entry, FixtureError, FixtureResult, Selftest, Verdict, compare};
use crate::error::{Error, Result};
use crate::model::onnx::{OnnxNetwork, OnnxOptions, parse};
use crate::model::{INPUT, whole_graph};
use crate::tensor::HostTensor;
use crate::testing::network_tolerance;
use crate::weights::Weights;
use std::collections::BTreeMap;

/// Input name and output prefix of each run: at the exported input size, and at another size.
const RUNS: [(&str, &str); 2] = [("input", "out/"), ("input_b", "out_b/")];

impl Selftest<'_> {
    /// Every output for every input.
    pub(super) fn onnx_fixture(&mut self, entry: &Entry, files: &[CaseFile]) -> FixtureResult {
        let (network, weights, tensors) = read(entry, files).map_err(FixtureError::invalid)?;
        let mut compared = 0;
        for (input, prefix) in RUNS {
            let expected = under(&tensors, prefix);
            let Some(x) = tensors.get(input).filter(|_| !expected.is_empty()) else { continue };
            let mut got = self.run_network(&network, &weights, x).map_err(FixtureError::invalid)?;
            for (name, expected) in &expected {
                let got = got.remove(name).ok_or_else(|| {
                    let there = got.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
                    Error::invalid(format!("output `{name}`"), format!("the network has none; it has: {there}"))
                });
                let factor = network_tolerance(self.backend.precision());
                let verdict = Verdict::of(got.and_then(|got| compare(&got, expected)), factor);
                self.report(&entry.name, &format!("{prefix}{name}"), verdict)?;
                compared += 1;
            }
        }
        match compared {
            0 => Err(FixtureError::invalid("no tensor to compare with")),
            _ => Ok(()),
        }
    }

    fn run_network(
        &self,
        network: &OnnxNetwork,
        weights: &Weights,
        x: &HostTensor,
    ) -> Result<BTreeMap<String, HostTensor>> {
        let s = x.shape()?;
        let graph = whole_graph(network, s.n, s.h, s.w)?;
        let inputs = BTreeMap::from([(INPUT.to_string(), x.clone())]);
        self.backend.run(&graph, &inputs, |key, dims| weights.require(key, dims).cloned())
    }
}

fn read(entry: &Entry, files: &[CaseFile]) -> Result<(OnnxNetwork, Weights, Weights)> {
    let tensors = entry.tensors(files)?;
    let name = format!("{}.onnx", entry.name);
    let file = files.iter().find(|f| f.name == name);
    let file = file.ok_or_else(|| Error::invalid(&entry.name, format!("the manifest lists no file `{name}`")))?;
    let (network, _, weights) = parse(&file.bytes, &file.path, &OnnxOptions::default())?;
    Ok((network, weights, tensors))
}
