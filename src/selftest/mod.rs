//! The self-test: every kernel of this adapter against its CPU reference, and fixtures made by PyTorch.
//!
//! `unet selftest` prints what happens here; `cargo test` runs the same code. A check passes, fails or is skipped for a
//! stated reason. What is not understood fails: nothing is ever left out silently.

mod augment_fixtures;
mod checkpoint_fixtures;
mod host_fixtures;
mod loss_fixtures;
mod manifest;
mod model_fixtures;
mod onnx_fixtures;
mod op_fixtures;
mod train_fixtures;

pub use manifest::{CaseFile, Entry, Manifest};

use crate::error::{Error, Result};
use crate::ops::registry;
use crate::session::Backend;
use crate::tensor::{Comparison, HostTensor};
use crate::testing::{OP_TOLERANCE, check_case, tolerance};

/// One line of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// The case: an op's case or a fixture.
    pub case: String,
    /// What of the case: `reference`, or the fixture's tensor.
    pub check: String,
    /// What came out.
    pub verdict: Verdict,
}

/// What came out of a check.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Numbers were compared.
    Compared {
        /// The largest difference.
        comparison: Comparison,
        /// The largest difference allowed.
        tolerance: f32,
    },
    /// It came to no comparison.
    Failed(String),
    /// It cannot be checked yet, or not here.
    Skipped(String),
}

/// [`Verdict`] in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Within the tolerance.
    Passed,
    /// Outside of it, or no comparison.
    Failed,
    /// Not checked.
    Skipped,
}

impl Verdict {
    /// The verdict on a comparison that may itself have failed.
    pub fn of(comparison: Result<Comparison>, factor: f32) -> Self {
        match comparison {
            Ok(comparison) => Self::Compared { comparison, tolerance: comparison.tolerance(factor) },
            Err(e) => Self::Failed(e.to_string()),
        }
    }

    /// The same with a difference that is always allowed.
    pub fn within(comparison: Result<Comparison>, factor: f32, floor: f32) -> Self {
        match Self::of(comparison, factor) {
            Self::Compared { comparison, tolerance } => Self::Compared { comparison, tolerance: tolerance.max(floor) },
            other => other,
        }
    }

    /// The verdict in one word.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Compared { comparison, tolerance } if comparison.max_error <= *tolerance => Outcome::Passed,
            Self::Compared { .. } | Self::Failed(_) => Outcome::Failed,
            Self::Skipped(_) => Outcome::Skipped,
        }
    }
}

/// Where checks go, one at a time; an error stops the run.
pub type Sink<'a> = &'a mut dyn FnMut(Check) -> Result<()>;

/// A run of the self-test.
pub struct Selftest<'a> {
    /// What is tested.
    pub backend: &'a Backend,
    /// Only cases whose name holds this text, upper or lower case; all if empty.
    pub filter: &'a str,
    /// Where checks go.
    pub sink: Sink<'a>,
}

impl Selftest<'_> {
    fn wants(&self, case: &str) -> bool {
        case.to_lowercase().contains(&self.filter.to_lowercase())
    }

    fn report(&mut self, case: &str, check: &str, verdict: Verdict) -> Result<()> {
        (self.sink)(Check { case: case.into(), check: check.into(), verdict })
    }

    fn skip(&mut self, case: &str, check: &str, reason: &str) -> Result<()> {
        self.report(case, check, Verdict::Skipped(reason.into()))
    }

    /// Every registered op case on the GPU against its reference.
    pub fn ops(&mut self) -> Result<()> {
        let cases: Vec<_> = registry().into_iter().filter(|c| self.wants(&c.name)).collect();
        match self.backend {
            Backend::Gpu(gpu) => cases.iter().try_for_each(|case| {
                let outcome = tolerance(gpu.target(), case).and_then(|t| Ok((check_case(gpu, case)?, t)));
                let verdict = match outcome {
                    Ok((comparison, tolerance)) => Verdict::of(Ok(comparison), tolerance),
                    Err(e) => Verdict::of(Err(e), OP_TOLERANCE),
                };
                self.report(&case.name, "reference", verdict)
            }),
            Backend::Cpu if cases.is_empty() => Ok(()),
            Backend::Cpu => self.skip(
                "every op",
                &count(cases.len(), "case"),
                "cpu is the reference that devices are compared with",
            ),
        }
    }

    /// Every fixture of a folder.
    pub fn fixtures(&mut self, manifest: &Manifest) -> Result<()> {
        for entry in &manifest.cases {
            if !op_fixtures::names(entry).unwrap_or(vec![entry.name.clone()]).iter().any(|name| self.wants(name)) {
                continue;
            }
            let files = match entry.read_files(&manifest.dir) {
                Ok(files) => files,
                Err(e) => {
                    self.report(&entry.name, "files", Verdict::Failed(e.to_string()))?;
                    continue;
                }
            };
            if let Err(reason) = self.fixture(entry, &files)? {
                self.report(&entry.name, &entry.kind, Verdict::Failed(reason))?;
            }
        }
        Ok(())
    }

    /// One fixture. The outer error stops the run, the inner one is the fixture's.
    fn fixture(&mut self, entry: &Entry, files: &[CaseFile]) -> Result<Result<(), String>> {
        match entry.kind.as_str() {
            "ops" => self.op_fixtures(entry, files),
            "model" => match entry.mode() {
                "eval" => self.model_fixture(entry, files),
                "train" => match self.model_fixture(entry, files)? {
                    Ok(()) => self.train_fixture(entry, files),
                    wrong => Ok(wrong),
                },
                mode => Ok(Err(format!("unknown mode `{mode}`"))),
            },
            "weightmap" | "metrics" => self.host_fixture(entry, files),
            "losses" => self.loss_fixture(entry, files),
            "augment" => self.augment_fixture(entry, files),
            "checkpoint" => self.checkpoint_fixture(entry, files),
            "onnx" => self.onnx_fixture(entry, files),
            kind => Ok(Err(format!("unknown kind `{kind}`"))),
        }
    }
}

/// `1 case`, `2 cases`.
fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// Compares what was computed with a fixture's tensor: dimensions (those of size 1 aside, which formats write in
/// different ways), then elements.
fn compare(got: &HostTensor, expected: &HostTensor) -> Result<Comparison> {
    let squeezed = |t: &HostTensor| t.dims().iter().copied().filter(|&d| d != 1).collect::<Vec<_>>();
    if squeezed(got) != squeezed(expected) {
        let reason = format!("got dimensions {:?}, the fixture has {:?}", got.dims(), expected.dims());
        return Err(Error::invalid("shape", reason));
    }
    got.compare(expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn infinite_and_missing_numbers_fail() {
        let verdict = |max_error| {
            let comparison = Comparison { max_error, scale: 1.0, index: 0 };
            Verdict::of(Ok(comparison), 1e-5).outcome()
        };
        assert_eq!(verdict(1e-6), Outcome::Passed);
        assert_eq!(verdict(1e-4), Outcome::Failed);
        assert_eq!(verdict(f32::INFINITY), Outcome::Failed);
        assert_eq!(verdict(f32::NAN), Outcome::Failed);
        assert_eq!(Verdict::of(Err(Error::Cancelled), 1.0).outcome(), Outcome::Failed);
    }

    #[test]
    fn shapes_are_compared() {
        let t = |dims: &[usize]| HostTensor::new(dims, vec![0.0; 6]).unwrap();
        assert!(compare(&t(&[2, 3, 1, 1]), &t(&[2, 3])).is_ok());
        assert!(compare(&t(&[2, 3]), &t(&[3, 2])).unwrap_err().to_string().contains("[3, 2]"));
    }
}
