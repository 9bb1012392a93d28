//! Reports of a run.
use super::Dataset;
use crate::error::{Error, Result};
use crate::infer::Mask;
use std::io::Write;
use std::path::Path;
/// Files.
pub struct Report {
    file: std::fs::File,
}
impl Report {
    /// New.
    pub fn create(dir: &Path) -> Result<Self> {
        let path = dir.join("metrics.csv");
        Ok(Self { file: std::fs::File::create(&path).map_err(|e| Error::io(&path, e))? })
    }
    /// Goes on.
    pub fn resume(dir: &Path, _step: u64) -> Result<Self> {
        Self::create(dir)
    }
    /// A step.
    pub fn train(&mut self, step: u64, v: &[(&str, f64)]) -> Result<()> {
        let _ = writeln!(self.file, "{step},{v:?}");
        Ok(())
    }
    /// An evaluation.
    pub fn validation(&mut self, step: u64, v: &[(&str, f64)]) -> Result<()> {
        self.train(step, v)
    }
    /// Curves.
    pub fn curves(&self) -> Result<()> {
        Ok(())
    }
    /// Pictures.
    pub fn pictures(&self, _: u64, _: &Dataset, _: &[(usize, Mask)]) -> Result<()> {
        Ok(())
    }
}
