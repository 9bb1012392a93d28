//! `unet selftest`

use super::{Common, output};
use clap::Args;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;
use unet_wgpu::low_level::session::Backend;
use unet_wgpu::selftest::{self, Check, Manifest, Outcome, Verdict};
use unet_wgpu::{Error, Result};

/// Check every kernel of a device against the CPU reference, and against fixtures
#[derive(Args)]
#[command(after_help = "\
Every kernel runs on small inputs and is compared with plain loops on the CPU that sum in double precision. \
With --fixtures, whole networks are compared with PyTorch's results.

Examples:
  unet selftest                               every kernel
  unet selftest --filter conv2d               only cases with `conv2d` in their name
  unet selftest --fixtures assets/fixtures    fixtures too
  unet selftest --device cpu --fixtures assets/fixtures

Exit code: 1 if any check fails.")]
pub(super) struct Selftest {
    /// Folder of fixtures with a manifest.json
    #[arg(long, value_name = "DIR")]
    fixtures: Option<PathBuf>,
    /// Run only cases whose name contains this text
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    filter: String,
}

const CASE_WIDTH: usize = 58;
const CHECK_WIDTH: usize = 20;

impl Selftest {
    pub(super) fn run(&self, common: &Common) -> Result<ExitCode> {
        // Read first, so that a mistyped folder fails at once.
        let fixtures = self.fixtures.as_deref().map(Manifest::read).transpose()?;
        let backend = common.backend()?;
        let mut checks = Vec::new();
        let mut sink = |check: Check| {
            if !common.json {
                if checks.is_empty() {
                    output::line(&row("case", "check", "max error", "tolerance", "verdict"))?;
                }
                output::line(&table_row(&check))?;
            }
            checks.push(check);
            Ok(())
        };
        let mut run = selftest::Selftest { backend: &backend, filter: &self.filter, sink: &mut sink };
        run.ops()?;
        if let Some(manifest) = &fixtures {
            run.fixtures(manifest)?;
        }
        if checks.is_empty() {
            return Err(Error::invalid("--filter", format!("no case has `{}` in its name", self.filter)));
        }
        let count = |outcome| checks.iter().filter(|c| c.verdict.outcome() == outcome).count();
        let [passed, failed, skipped] = [Outcome::Passed, Outcome::Failed, Outcome::Skipped].map(count);
        if common.json {
            output::json(&json!({
                "device": backend.describe(),
                "precision": backend.precision().name(),
                "passed": passed,
                "failed": failed,
                "skipped": skipped,
                "checks": checks.iter().map(json_check).collect::<Vec<_>>(),
            }))?;
        } else {
            output::line(&format!("\n{passed} passed, {failed} failed, {skipped} skipped"))?;
        }
        if matches!(backend, Backend::Cpu) && fixtures.is_none() {
            common.note("note: `--device cpu` can only be compared with fixtures; name them with `--fixtures DIR`");
        }
        Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn row(case: &str, check: &str, error: &str, tolerance: &str, verdict: &str) -> String {
    format!("{case:<CASE_WIDTH$} {check:<CHECK_WIDTH$} {error:>10} {tolerance:>10}  {verdict}")
}

fn table_row(c: &Check) -> String {
    match &c.verdict {
        Verdict::Compared { comparison, tolerance } => {
            let verdict = match c.verdict.outcome() {
                Outcome::Passed => "ok".to_string(),
                _ => format!("FAILED at element {}, largest value {:e}", comparison.index, comparison.scale),
            };
            let (error, tolerance) = (format!("{:.2e}", comparison.max_error), format!("{tolerance:.2e}"));
            row(&c.case, &c.check, &error, &tolerance, &verdict)
        }
        Verdict::Failed(reason) => row(&c.case, &c.check, "-", "-", &format!("FAILED: {reason}")),
        Verdict::Skipped(reason) => row(&c.case, &c.check, "-", "-", &format!("skipped: {reason}")),
    }
}

fn json_check(c: &Check) -> Value {
    let verdict = match c.verdict.outcome() {
        Outcome::Passed => "passed",
        Outcome::Failed => "failed",
        Outcome::Skipped => "skipped",
    };
    let mut object = json!({ "case": c.case, "check": c.check, "verdict": verdict });
    match &c.verdict {
        Verdict::Compared { comparison, tolerance } => {
            // An infinite error (a NaN on the device) has no number in JSON: null.
            object["max_error"] = json!(comparison.max_error);
            object["tolerance"] = json!(tolerance);
            object["scale"] = json!(comparison.scale);
            object["index"] = json!(comparison.index);
        }
        Verdict::Failed(reason) | Verdict::Skipped(reason) => object["reason"] = json!(reason),
    }
    object
}
