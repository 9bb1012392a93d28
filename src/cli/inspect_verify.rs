//! `unet inspect --verify`: a model on the device against the CPU reference, and against a known result.

use super::{Common, tensors};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use unet_wgpu::low_level::model::{INPUT, Model};
use unet_wgpu::low_level::session::Backend;
use unet_wgpu::low_level::tensor::{Comparison, HostTensor, Precision};
use unet_wgpu::testing::random_input;
use unet_wgpu::{Error, Result};

/// Tolerance between two programs that both sum in `f32`, relative to the largest value.
const F32: f32 = 1e-4;
/// The same for a device that stores `f16`.
const F16: f32 = 5e-3;

/// Largest difference between a model on a device and the reference, relative to the largest value.
pub(super) fn tolerance(precision: Precision) -> f32 {
    if precision == Precision::F16 { F16 } else { F32 }
}

/// One comparison.
struct Row {
    output: String,
    with: &'static str,
    comparison: Comparison,
}

pub(super) struct Report {
    device: String,
    input: String,
    factor: f32,
    rows: Vec<Row>,
}

/// What is compared.
pub(super) struct Verify<'a> {
    pub model: &'a Model,
    /// File of the input; without one, noise of `size`.
    pub input: Option<&'a Path>,
    /// File of the expected outputs.
    pub expected: Option<&'a Path>,
    pub size: Option<[usize; 2]>,
    /// Largest difference allowed, relative to the largest value.
    pub tolerance: Option<f32>,
}

impl Verify<'_> {
    pub(super) fn run(&self, common: &Common) -> Result<Report> {
        let network = &*self.model.architecture;
        let (input, from) = match self.input {
            Some(path) => {
                let mut tensors = tensors::read(path, INPUT)?;
                let x = tensors.remove(INPUT).ok_or_else(|| Error::file(path, format!("has no tensor `{INPUT}`")))?;
                (x, path.display().to_string())
            }
            None => {
                let min = network.example();
                let [h, w] = self.size.unwrap_or([min.h, min.w]);
                (random_input(INPUT, min.with_hw(h, w))?, "noise".to_string())
            }
        };
        let order = names(self.model)?;
        let expected = self.expected.map(|path| expected_outputs(path, &order)).transpose()?;
        self.compare(common, input, from, expected)
    }

    /// Compares the outputs for `input`; `expected` holds known outputs by name, `from` describes the input.
    pub(super) fn compare(
        &self,
        common: &Common,
        input: HostTensor,
        from: String,
        expected: Option<BTreeMap<String, HostTensor>>,
    ) -> Result<Report> {
        let network = &*self.model.architecture;
        let shape = input.shape()?;
        if shape.c != network.in_channels() || shape.is_empty() {
            let reason = format!("shape {:?}: the network takes [N, {}, H, W]", input.dims(), network.in_channels());
            return Err(Error::invalid(from, reason));
        }
        let graph = self.model.whole_graph(shape.n, shape.h, shape.w)?;
        let order: Vec<String> = graph.outputs().iter().map(|o| o.0.clone()).collect();
        let backend = common.backend()?;
        let cpu = matches!(backend, Backend::Cpu);
        if cpu && expected.is_none() {
            let reason = "would compare the CPU reference with itself; give --expected, or use a GPU";
            return Err(Error::invalid("--device cpu", reason));
        }
        let inputs = BTreeMap::from([(INPUT.to_string(), input)]);
        let (got, _) = backend.or_f32(|b| b.run(&graph, &inputs, self.model.stored()))?;
        let mut rows = Vec::new();
        let mut compare = |with: &'static str, name: &str, got: &HostTensor, expected: &HostTensor| -> Result<()> {
            let comparison = got.compare(expected).map_err(|e| Error::invalid(name, e.message()))?;
            rows.push(Row { output: name.into(), with, comparison });
            Ok(())
        };
        if !cpu {
            let reference = Backend::Cpu.run(&graph, &inputs, self.model.stored())?;
            order.iter().try_for_each(|name| compare("reference", name, &got[name], &reference[name]))?;
        }
        let mut own = network.output_dims(shape)?;
        for (name, expected) in expected.iter().flatten() {
            let y = got.get(name).ok_or_else(|| Error::invalid(name, "is not one of the outputs"))?;
            // In the dimensions of the network's file, or as N, C, H, W.
            match own.remove(name).filter(|dims| dims == expected.dims()) {
                Some(dims) => compare("expected", name, &y.clone().reshaped(dims)?, expected)?,
                None => compare("expected", name, y, expected)?,
            }
        }
        let factor = self.tolerance.unwrap_or(tolerance(backend.precision()));
        Ok(Report { device: backend.describe(), input: format!("{from} {shape}"), factor, rows })
    }
}

/// The network's outputs, in order.
fn names(model: &Model) -> Result<Vec<String>> {
    let min = model.architecture.size_rule().minimum;
    let graph = model.whole_graph(1, min, min)?;
    Ok(graph.outputs().iter().map(|o| o.0.clone()).collect())
}

/// The expected outputs by name; a `.npy` is the first output.
fn expected_outputs(path: &Path, order: &[String]) -> Result<BTreeMap<String, HostTensor>> {
    let first = order.first().map(String::as_str).unwrap_or_default();
    let tensors = tensors::read(path, first)?;
    if let Some(name) = tensors.keys().find(|k| !order.contains(k)) {
        return Err(Error::file(path, format!("tensor `{name}` is not one of the outputs {}", order.join(", "))));
    }
    Ok(tensors)
}

impl Report {
    pub(super) fn passed(&self) -> bool {
        self.rows.iter().all(|r| r.comparison.within(self.factor))
    }

    pub(super) fn text(&self) -> String {
        let mut t = format!("\nVerified on {}, input {}\n\n", self.device, self.input);
        let _ = writeln!(t, "{:<22} {:<10} {:>10} {:>10}", "output", "against", "max error", "allowed");
        for r in &self.rows {
            let (c, allowed) = (&r.comparison, r.comparison.tolerance(self.factor));
            let verdict = if c.within(self.factor) { "ok".into() } else { format!("TOO LARGE at element {}", c.index) };
            let (output, with) = (&r.output, r.with);
            let _ = writeln!(t, "{output:<22} {with:<10} {:>10.2e} {allowed:>10.2e}  {verdict}", c.max_error);
        }
        t.truncate(t.trim_end().len());
        t
    }

    pub(super) fn document(&self) -> Value {
        let row = |r: &Row| {
            json!({
                "output": r.output, "against": r.with, "max_error": r.comparison.max_error,
                "scale": r.comparison.scale, "allowed": r.comparison.tolerance(self.factor),
            })
        };
        let rows: Vec<Value> = self.rows.iter().map(row).collect();
        json!({ "device": self.device, "input": self.input, "passed": self.passed(), "checks": rows })
    }
}
