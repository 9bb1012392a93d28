//! Objects from the bands of a segmented picture.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::export::{ObjectFile, Source, write_objects};
use super::{InstanceOptions, Labeller};
use crate::error::{Error, Result};
use crate::infer::mask::Ids;
use crate::infer::{Band, BandInfo, BandSink, Needs};

/// Finds the objects of a picture whose rows come in bands, and writes their files.
#[derive(Debug)]
pub struct ObjectSink {
    options: InstanceOptions,
    picture: String,
    files: Vec<(ObjectFile, PathBuf)>,
    report: Arc<Mutex<Option<ObjectReport>>>,
    state: Option<(Labeller, Source)>,
    planes: Vec<f32>,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectReport {
    /// Number of objects.
    pub count: usize,
    /// Where objects lie that were not split for want of memory.
    pub left_whole: Vec<String>,
}

impl ObjectSink {
    /// A sink that writes `files` of the picture called `picture`.
    pub fn new(options: InstanceOptions, picture: impl Into<String>, files: Vec<(ObjectFile, PathBuf)>) -> Self {
        Self { options, picture: picture.into(), files, report: Arc::default(), state: None, planes: Vec::new() }
    }

    /// Gives what was found, once the sink is finished. Keep it before the sink is handed over.
    pub fn report(&self) -> impl Fn() -> Option<ObjectReport> + use<> {
        let report = self.report.clone();
        move || report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl BandSink for ObjectSink {
    fn needs(&self) -> Needs {
        Needs { pixels: self.files.iter().any(|f| f.0 == ObjectFile::Table), ..Needs::default() }
    }

    fn start(&mut self, info: &BandInfo) -> Result<()> {
        let scratch = &self.options.scratch;
        std::fs::create_dir_all(scratch).map_err(|e| Error::io(scratch, e))?;
        let mut labeller = Labeller::new(info.width, info.height, &self.options)?;
        if self.needs().pixels {
            labeller = labeller.with_samples(info.channels);
        }
        self.state = Some((labeller, Source { picture: self.picture.clone(), classes: info.classes.clone() }));
        Ok(())
    }

    fn band(&mut self, band: &Band) -> Result<()> {
        let needs = self.needs();
        let Some((labeller, _)) = &mut self.state else { return Err(not_started()) };
        for y in 0..band.height {
            let row = y * band.width..(y + 1) * band.width;
            match band.classes {
                Ids::U8(v) => labeller.push_row(v.get(row).unwrap_or_default())?,
                Ids::U16(v) => labeller.push_row(v.get(row).unwrap_or_default())?,
            }
            if let Some(picture) = band.pixels.filter(|_| needs.pixels) {
                picture.window_into(0, y, band.width, 1, &mut self.planes)?;
                labeller.push_samples(&self.planes)?;
            }
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<()> {
        let Some((labeller, source)) = self.state else { return Err(not_started()) };
        let mut instances = labeller.finish()?;
        for (kind, path) in &self.files {
            write_objects(path, *kind, &mut instances, &source)?;
        }
        let report = ObjectReport { count: instances.count(), left_whole: instances.left_whole().to_vec() };
        *self.report.lock().unwrap_or_else(PoisonError::into_inner) = Some(report);
        Ok(())
    }
}

fn not_started() -> Error {
    Error::invalid("objects", "bands were given before the start")
}
