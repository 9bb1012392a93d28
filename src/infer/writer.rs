//! What a kind of result file must do.

use std::fmt::Debug;
use std::io::{Seek, Write};
use std::path::Path;

use super::band::BandSink;
use super::calibration::Calibration;
use super::instances::{InstanceSource, Instances};
use crate::error::{Error, Result};
use crate::io::Output;

/// A kind of result file.
pub trait Writer: Debug + Sync {
    /// Option name.
    fn name(&self) -> &'static str;

    /// One-line description for help texts.
    fn about(&self) -> &'static str;

    /// Suffix of its file names.
    fn suffix(&self) -> &'static str {
        self.name()
    }

    /// File extensions, the default first.
    fn extensions(&self) -> &'static [&'static str];

    /// Creates the sink for a result of an image with this calibration.
    fn sink(&self, output: Output, calibration: &Calibration) -> Result<ResultSink>;

    /// Whether it is made of instances.
    fn finds_instances(&self) -> bool {
        false
    }

    /// Whether it gives coordinates in the image's reference system on request.
    fn has_coordinates(&self) -> bool {
        false
    }

    /// Whether the result is a folder.
    fn is_folder(&self) -> bool {
        false
    }

    /// Whether it shows instances instead of classes, if instances are found.
    fn shows_instances(&self) -> bool {
        false
    }
}

/// The sink of a result.
pub enum ResultSink {
    /// Receives rows as they are computed.
    Rows(Box<dyn BandSink>),
    /// Receives all instances at the end.
    Instances(&'static dyn InstanceWriter),
}

/// A file format of instances.
pub trait InstanceWriter: Debug + Sync {
    /// Whether it needs the image's samples in each instance.
    fn needs_samples(&self) -> bool {
        false
    }

    /// Whether the result is a folder, which [`Self::write_folder`] writes.
    fn is_folder(&self) -> bool {
        false
    }

    /// Writes all instances of an image into a folder, which appears when it is complete.
    fn write_folder(&self, folder: &Path, _instances: &mut Instances, _source: &InstanceSource) -> Result<()> {
        Err(Error::file(folder, "results of this kind are files"))
    }

    /// Writes all instances of an image.
    fn write(&self, out: &mut dyn WriteSeek, instances: &mut Instances, source: &InstanceSource) -> Written;
}

/// A seekable writer.
pub trait WriteSeek: Write + Seek {}

impl<T: Write + Seek + ?Sized> WriteSeek for T {}

/// Result of an [`InstanceWriter`].
pub type Written = Result<(), WriteFailure>;

/// Why a file failed: the output, or reading what it is made of.
#[derive(Debug)]
pub enum WriteFailure {
    /// Writing the output.
    Io(std::io::Error),
    /// Anything else.
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
    /// The extension of its file: that of `out` if it suits this kind, otherwise the default.
    pub fn extension(&self, out: Option<&Path>) -> &'static str {
        let requested = out.and_then(Path::extension);
        let supported = self.extensions();
        let matching = requested.and_then(|e| supported.iter().copied().find(|s| e.eq_ignore_ascii_case(s)));
        matching.or(supported.first().copied()).unwrap_or_default()
    }
}

impl PartialEq for dyn Writer {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}
