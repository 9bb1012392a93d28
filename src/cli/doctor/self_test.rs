//! A self-test in bounded time: the default model, then as many op cases as there is time for.

use super::report::{Report, Row};
use crate::cli::inspect_verify;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use unet_wgpu::low_level::model::{INPUT, Model};
use unet_wgpu::low_level::session::Backend;
use unet_wgpu::low_level::weights::builtin;
use unet_wgpu::selftest::{Check, Outcome, Selftest, Verdict};
use unet_wgpu::testing::random_input;
use unet_wgpu::{Error, Result};

/// Edge of the default model's input, pixels.
const EDGE: usize = 32;

pub(super) fn add(report: &mut Report, backend: &Backend, seconds: u32) -> Result<()> {
    let start = Instant::now();
    let limit = Duration::from_secs(seconds.into());
    let mut checks = model(backend);
    let mut sink = |check: Check| {
        checks.push(check);
        Ok(())
    };
    let mut run = Selftest { backend, filter: "", sink: &mut sink };
    // Some time is for operations, also where the model's kernels took all of it to compile.
    let left = run.ops_within(limit.saturating_sub(start.elapsed()).max(limit / 5))?;
    let time = start.elapsed().as_secs_f64();
    let failed = failures(&checks);
    let passed = checks.iter().filter(|c| c.verdict.outcome() == Outcome::Passed).count();
    let mut summary = format!("{passed} of {} checks passed in {time:.1} s", checks.len());
    if left > 0 {
        summary += &format!("; {left} were left for `unet selftest`, which runs all");
    }
    let mut rows = vec![Row::new("result", summary)];
    rows.extend(failed.iter().map(|f| Row::new("FAILED", f.as_str())));
    let document = json!({ "passed": passed, "failed": failed, "left": left, "seconds": time });
    report.section("self_test", "Self-test, against plain loops on the CPU", &rows, document)?;
    if let [first, ..] = &failed[..] {
        let more = if failed.len() > 1 { format!(", and {} more", failed.len() - 1) } else { String::new() };
        report.problem(format!(
            "self-test failed: {first}{more}. Results on this device cannot be trusted: update its driver, or report it \
             with the output of `unet selftest`"
        ));
    }
    Ok(())
}

/// The failed checks, each in a line.
fn failures(checks: &[Check]) -> Vec<String> {
    let failed = checks.iter().filter(|c| c.verdict.outcome() == Outcome::Failed);
    let text = |c: &Check| match &c.verdict {
        Verdict::Compared { comparison, tolerance } => {
            format!("{} ({}): differs by {:.2e}, allowed {tolerance:.2e}", c.case, c.check, comparison.max_error)
        }
        Verdict::Failed(reason) | Verdict::Skipped(reason) => format!("{} ({}): {reason}", c.case, c.check),
    };
    failed.map(text).collect()
}

/// The outputs of the default model against the reference.
fn model(backend: &Backend) -> Vec<Check> {
    let Some(builtin) = builtin::BUILTIN.first() else { return Vec::new() };
    let case = format!("{} {EDGE}x{EDGE}", builtin.name);
    let check = |check: String, verdict| Check { case: case.clone(), check, verdict };
    let compared = || -> Result<Vec<Check>> {
        let model = Model::open(builtin.name)?;
        let input = random_input(INPUT, model.architecture.example().with_hw(EDGE, EDGE))?;
        let shape = input.shape()?;
        let graph = model.whole_graph(shape.n, shape.h, shape.w)?;
        let inputs = BTreeMap::from([(INPUT.to_string(), input)]);
        let expected = Backend::Cpu.run(&graph, &inputs, model.stored())?;
        let got = backend.run(&graph, &inputs, model.stored())?;
        let factor = inspect_verify::tolerance(backend.precision());
        let compare = |(name, expected): (&String, _)| {
            let comparison =
                got.get(name).ok_or_else(|| Error::invalid(name.as_str(), "is missing"))?.compare(expected);
            Ok(check(name.clone(), Verdict::of(comparison, factor)))
        };
        expected.iter().map(compare).collect()
    };
    compared().unwrap_or_else(|e| vec![check("run".into(), Verdict::Failed(e.to_string()))])
}

#[cfg(test)]
mod tests {
    use super::*;
    use unet_wgpu::low_level::tensor::Comparison;

    #[test]
    fn failures_are_named() {
        let compared = |max_error| Verdict::Compared {
            comparison: Comparison { max_error, scale: 1.0, index: 0 },
            tolerance: 1e-5,
        };
        let check = |case: &str, verdict| Check { case: case.into(), check: "reference".into(), verdict };
        let checks = [
            check("conv2d/3x3", compared(1e-6)),
            check("pool", compared(0.5)),
            check("gate", Verdict::Failed("device lost".into())),
            check("sum", Verdict::Skipped("none".into())),
        ];
        assert_eq!(
            failures(&checks),
            ["pool (reference): differs by 5.00e-1, allowed 1.00e-5", "gate (reference): device lost"]
        );
    }
}
