//! Finds instances in the bands of a segmented image.

use std::sync::{Arc, Mutex, PoisonError};

use super::shown::Shown;
use super::write_instances;
use crate::error::{Error, Result};
use crate::infer::calibration::Calibration;
use crate::infer::instances::foreground::Foreground;
use crate::infer::instances::{ConnectedComponents, Coordinates, InstanceOptions, InstanceSource as Source};
use crate::infer::writer::InstanceWriter;
use crate::infer::{Band, BandInfo, BandSink, Needs};
use crate::io::{Output, make_folder};

/// Finds the instances of an image that arrives in bands, and writes their files.
#[derive(Debug)]
pub struct InstanceSink {
    options: InstanceOptions,
    image: String,
    calibration: Calibration,
    coordinates: Coordinates,
    page: usize,
    files: Vec<(&'static dyn InstanceWriter, Output)>,
    report: Arc<Mutex<Option<InstanceReport>>>,
    overlay: Option<Output>,
    state: Option<(ConnectedComponents, Source, Foreground)>,
    /// Whether the image is resized for the network, which computes the rows of instances then.
    resized: bool,
    shown: Option<Shown>,
}

/// Result of an [`InstanceSink`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstanceReport {
    /// Number of instances.
    pub count: usize,
    /// Positions of instances that were not split for lack of memory.
    pub left_whole: Vec<String>,
}

impl InstanceSink {
    /// A sink that writes `files` for the image called `image`.
    pub fn new<O: Into<Output>>(
        options: InstanceOptions,
        image: impl Into<String>,
        files: Vec<(&'static dyn InstanceWriter, O)>,
    ) -> Self {
        let files = files.into_iter().map(|(writer, output)| (writer, output.into())).collect();
        let (calibration, coordinates) = (Calibration::default(), Coordinates::Pixel);
        Self {
            options,
            image: image.into(),
            calibration,
            coordinates,
            page: 0,
            files,
            report: Arc::default(),
            overlay: None,
            state: None,
            resized: false,
            shown: None,
        }
    }

    /// Adds the image's calibration: lengths in micrometres, and world coordinates on request.
    #[must_use]
    pub fn with_calibration(self, calibration: Calibration, coordinates: Coordinates) -> Self {
        Self { calibration, coordinates, ..self }
    }

    /// The page of the image in its file, counted from 0.
    #[must_use]
    pub fn with_page(self, page: usize) -> Self {
        Self { page, ..self }
    }

    /// Also draws the instances over the image as a PNG file, each in its own colour, so that touching ones are
    /// separated by a line. The image is stored in a temporary file meanwhile, three bytes per pixel.
    #[must_use]
    pub fn with_overlay(self, output: impl Into<Output>) -> Self {
        Self { overlay: Some(output.into()), ..self }
    }

    /// Whether samples are needed for the instances' means.
    fn measures(&self) -> bool {
        self.files.iter().any(|f| f.0.needs_samples())
    }

    /// A function that returns the report once the sink has finished. Get it before handing over the sink.
    pub fn report(&self) -> impl Fn() -> Option<InstanceReport> + use<> {
        let report = self.report.clone();
        move || report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl BandSink for InstanceSink {
    fn needs(&self) -> Needs {
        let overlay = self.overlay.is_some();
        Needs {
            probabilities: self.options.needs_probabilities(),
            geometry: self.options.needs_geometry(),
            pixels: overlay || self.measures(),
            contrast: overlay,
        }
    }

    fn start(&mut self, info: &BandInfo) -> Result<()> {
        let scratch = &self.options.scratch;
        make_folder(scratch).map_err(|e| Error::io(scratch, e))?;
        let (mut components_of_rows, foreground) = ConnectedComponents::of_bands(info, &self.options)?;
        if self.measures() {
            components_of_rows = components_of_rows.with_samples(info.channels);
        }
        self.shown = match (&self.overlay, info.contrast) {
            (None, _) => None,
            (Some(_), Some(contrast)) => Some(Shown::new(scratch, contrast)),
            (Some(output), None) => return Err(Error::file(output.name(), "no contrast was given")),
        };
        let source = Source {
            image: self.image.clone(),
            classes: info.classes.clone(),
            calibration: self.calibration.clone(),
            coordinates: self.coordinates,
            page: self.page,
        };
        self.resized = info.network.is_some();
        self.state = Some((components_of_rows, source, foreground));
        Ok(())
    }

    fn band(&mut self, band: &Band) -> Result<()> {
        let measures = self.measures();
        if let (Some(shown), Some(image)) = (&mut self.shown, band.pixels) {
            shown.push(image)?;
        }
        let Some((components_of_rows, _, foreground)) = &mut self.state else { return Err(not_started()) };
        let samples = band.pixels.filter(|_| measures);
        match self.resized {
            false => components_of_rows.push_band(band, *foreground, samples),
            true => samples.map_or(Ok(()), |image| components_of_rows.push_image(image)),
        }
    }

    fn network_band(&mut self, band: &Band) -> Result<()> {
        let Some((components_of_rows, _, foreground)) = &mut self.state else { return Err(not_started()) };
        components_of_rows.push_band(band, *foreground, None)
    }

    fn finish(self: Box<Self>) -> Result<()> {
        let Some((components_of_rows, source, _)) = self.state else { return Err(not_started()) };
        let mut instances = components_of_rows.finish()?;
        for (writer, output) in &self.files {
            write_instances(output.clone(), *writer, &mut instances, &source)?;
        }
        if let (Some(shown), Some(output)) = (self.shown, &self.overlay) {
            shown.write(output, &mut instances)?;
        }
        let report = InstanceReport { count: instances.count(), left_whole: instances.left_whole().to_vec() };
        *self.report.lock().unwrap_or_else(PoisonError::into_inner) = Some(report);
        Ok(())
    }
}

fn not_started() -> Error {
    Error::invalid("objects", "bands were written before the start")
}
