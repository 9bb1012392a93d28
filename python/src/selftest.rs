//! Every kernel of a device against the CPU reference.

use pyo3::prelude::*;
use serde_json::{Value, json};
use unet_wgpu::selftest::{Check, Outcome, Selftest, Verdict};
use unet_wgpu::{Backend, Error};

use crate::device;
use crate::work::{self, Observer};

fn document(check: &Check) -> Value {
    let verdict = match check.verdict.outcome() {
        Outcome::Passed => "passed",
        Outcome::Failed => "failed",
        Outcome::Skipped => "skipped",
    };
    let mut object = json!({ "case": check.case, "check": check.check, "verdict": verdict });
    match &check.verdict {
        Verdict::Compared { comparison, tolerance } => {
            object["max_error"] = json!(comparison.max_error);
            object["tolerance"] = json!(tolerance);
        }
        Verdict::Failed(reason) | Verdict::Skipped(reason) => object["reason"] = json!(reason),
    }
    object
}

/// Runs the checks whose name contains `filter`; returns a JSON document.
#[pyfunction]
#[pyo3(signature = (device, *, filter))]
pub(crate) fn selftest(py: Python<'_>, device: String, filter: String) -> PyResult<String> {
    work::run(py, Observer::None, move |progress| {
        let backend = device::open(&device, "f32")?;
        if matches!(backend, Backend::Cpu) {
            return Err(Error::invalid("device `cpu`", "is the reference itself; name a GPU"));
        }
        let mut checks = Vec::new();
        let mut sink = |check: Check| {
            checks.push(check);
            progress.report(0.0)
        };
        Selftest { backend: &backend, filter: &filter, sink: &mut sink }.ops()?;
        if checks.is_empty() {
            return Err(Error::invalid("filter", format!("no case has `{filter}` in its name")));
        }
        let count = |outcome| checks.iter().filter(|c| c.verdict.outcome() == outcome).count();
        Ok(json!({
            "device": backend.describe(),
            "passed": count(Outcome::Passed),
            "failed": count(Outcome::Failed),
            "skipped": count(Outcome::Skipped),
            "checks": checks.iter().map(document).collect::<Vec<_>>(),
        })
        .to_string())
    })
}
