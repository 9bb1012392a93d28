//! The kinds of result files. A new one is a file with its [`Writer`] (and [`InstanceWriter`], if it is made of instances)
//! and a line in [`WRITERS`].

use std::fmt::Debug;
use std::io::{Seek, Write};
use std::path::Path;

use super::band::BandSink;
use super::calibration::Calibration;
#[cfg(feature = "bioimage")]
use super::instances::Rois;
use super::instances::{Coco, GeoJson, InstanceSource, Instances, Labels, Table};
use super::output::{MaskWriter, OverlayWriter, ProbabilityFormat, ProbabilityWriter};
use crate::error::{Error, Result};
use crate::io::Output;

/// Every kind of result file, in the order of help texts.
pub static WRITERS: &[&dyn Writer] = &[
    &MaskWriter,
    &OverlayWriter,
    &ProbabilityWriter { name: "prob", format: ProbabilityFormat::Tiff },
    &ProbabilityWriter { name: "prob-npy", format: ProbabilityFormat::Npy },
    &Labels,
    &GeoJson,
    &Coco,
    #[cfg(feature = "bioimage")]
    &Rois,
    &Table,
];

/// A kind of result file.
pub trait Writer: Debug + Sync {
    /// What options call it.
    fn name(&self) -> &'static str;

    /// What it is, in one line for help texts.
    fn about(&self) -> &'static str;

    /// The last part of the names of its files.
    fn suffix(&self) -> &'static str {
        self.name()
    }

    /// Extensions of its files: the usual one first.
    fn extensions(&self) -> &'static [&'static str];

    /// What writes it, with what is known of the image's pixels.
    fn sink(&self, output: Output, calibration: &Calibration) -> Result<ResultSink>;

    /// Whether it shows instances, where those are found, in place of classes.
    fn shows_instances(&self) -> bool {
        false
    }
}

/// What writes a result.
pub enum ResultSink {
    /// Takes rows as they come.
    Rows(Box<dyn BandSink>),
    /// Takes instances when all are known.
    Instances(&'static dyn InstanceWriter),
}

/// A file format of instances.
pub trait InstanceWriter: Debug + Sync {
    /// Whether the samples of the image under each instance are needed.
    fn needs_samples(&self) -> bool {
        false
    }

    /// Writes all instances of an image.
    fn write(&self, out: &mut dyn WriteSeek, instances: &mut Instances, source: &InstanceSource) -> Written;
}

/// A place to write where one can go back.
pub trait WriteSeek: Write + Seek {}

impl<T: Write + Seek + ?Sized> WriteSeek for T {}

/// What an [`InstanceWriter`] gives.
pub type Written = Result<(), WriteFailure>;

/// What stopped a file: writing it, or reading what it is made of.
#[derive(Debug)]
pub enum WriteFailure {
    /// The output.
    Io(std::io::Error),
    /// All else.
    Other(Error),
}

impl From<std::io::Error> for WriteFailure {
    fn from(e: std::io::Error) -> Self {
        Self::Io(e)
    }
}

impl From<serde_json::Error> for WriteFailure {
    fn from(e: serde_json::Error) -> Self {
        Self::Io(e.into())
    }
}

impl dyn Writer {
    /// The kind that options call `name`.
    pub fn named(name: &str) -> Option<&'static dyn Writer> {
        WRITERS.iter().copied().find(|w| w.name() == name)
    }

    /// The extension of its file: that of `out`, if that names a file of this kind, else the usual one.
    pub fn extension(&self, out: Option<&Path>) -> &'static str {
        let asked = out.and_then(Path::extension);
        let own = self.extensions();
        let chosen = asked.and_then(|e| own.iter().copied().find(|own| e.eq_ignore_ascii_case(own)));
        chosen.or(own.first().copied()).unwrap_or_default()
    }
}

impl PartialEq for dyn Writer {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_files_differ() {
        let mut names: Vec<&str> = WRITERS.iter().map(|w| w.name()).collect();
        let mut files: Vec<_> = WRITERS.iter().map(|w| (w.suffix(), w.extension(None))).collect();
        names.sort_unstable();
        files.sort_unstable();
        names.dedup();
        files.dedup();
        assert_eq!((names.len(), files.len()), (WRITERS.len(), WRITERS.len()));
        for w in WRITERS {
            assert!(<dyn Writer>::named(w.name()).is_some_and(|found| found == *w), "{w:?}");
        }
        assert!(<dyn Writer>::named("jpeg").is_none());
    }

    #[test]
    fn extensions_follow_the_output_where_they_may() {
        let of = |name: &str, out: &str| <dyn Writer>::named(name).unwrap().extension(Some(Path::new(out)));
        assert_eq!((of("mask", "a.TIF"), of("mask", "a.tiff"), of("mask", "results")), ("tif", "tiff", "png"));
        assert_eq!((of("overlay", "a.tif"), of("prob", "a.tiff"), of("csv", "a.tif")), ("png", "tif", "csv"));
    }
}
