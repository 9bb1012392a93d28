//! Whole images: the same results as the program's.

use super::replay::{Keeper, Replay};
use super::{Event, Reporter};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use unet_wgpu::low_level::infer::{
    BandSink, Coordinates, Ensemble, InstanceSettings, InstanceSink, Instances, OpenOptions, ResultSink, Scale, Writer,
    calibration_of, check_channels, check_writable, is_own_result, open_image, output_path,
};
use unet_wgpu::{Backend, Error, Model, Result, SegmentOptions, Segmenter};

/// Memory for an image on device and host, as the program's default.
const MEMORY: u64 = 2 << 30;

/// Models that stay on the device.
const MODELS: usize = 3;

/// An image to segment.
#[derive(Clone)]
pub struct SegmentJob {
    /// The image's file.
    pub path: PathBuf,
    /// The model.
    pub model: Model,
    /// How instances are found, where it differs from what the model's file says.
    pub settings: InstanceSettings,
}

/// An instance in the table.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Its number in the labels.
    pub id: u32,
    /// Its class.
    pub class: usize,
    /// Pixels.
    pub area: u64,
    /// Column and row.
    pub centroid: [f64; 2],
    /// Means of the image's channels.
    pub means: Vec<f64>,
    /// 0 for a circle.
    pub eccentricity: f64,
}

/// A segmented image.
pub struct Segmented {
    /// The image's file.
    pub path: PathBuf,
    /// Name of the model.
    pub model: String,
    /// Columns and rows.
    pub size: [u32; 2],
    /// The instance of every pixel, from 1; 0 for none. Row by row.
    pub labels: Vec<u32>,
    /// Class names, background first.
    pub classes: Vec<String>,
    /// The instances, by number.
    pub rows: Vec<Row>,
    /// How instances were found, in words.
    pub method: String,
    /// For other settings; nothing for large images, which are segmented again.
    pub replay: Option<Arc<Replay>>,
    options: Model,
}

/// Models on the device, the one used last first.
pub(super) struct Segmenters {
    backend: Backend,
    ready: Vec<Segmenter>,
}

impl Segmenters {
    pub(super) fn new(backend: Backend) -> Self {
        Self { backend, ready: Vec::new() }
    }

    /// The segmenter of a model; models are told apart by name and weights.
    pub(super) fn of(&mut self, model: &Model) -> &mut Segmenter {
        let same = |s: &Segmenter| s.model().name == model.name && std::ptr::eq(s.model().weights(), model.weights());
        let found = self.ready.iter().position(same).map(|i| self.ready.remove(i));
        let segmenter = found.unwrap_or_else(|| Segmenter::new(self.backend.clone(), Ensemble::from(model.clone())));
        self.ready.insert(0, segmenter);
        self.ready.truncate(MODELS);
        &mut self.ready[0]
    }

    pub(super) fn segment(&mut self, job: &SegmentJob, reporter: &Reporter) -> Result<Event> {
        let segmenter = self.of(&job.model);
        let geometry = job.model.metadata.target.is_some_and(|t| t.is_geometry());
        let (keeper, slot) = Keeper::new(geometry);
        let instances = segmenter.instance_options(&job.settings)?.with_memory(MEMORY / 4);
        let options = options(job)?;
        let mut source = open(&job.path, &job.model)?;
        // Without a replay the instances have to be found on the way.
        let (collector, found) = super::replay::Finder::new(instances.clone());
        let sinks: Vec<Box<dyn BandSink>> = vec![Box::new(keeper), Box::new(collector)];
        segmenter.segment_to(&mut *source, &options, sinks, |done| reporter.progress(done))?;
        let replay = slot.lock().unwrap_or_else(PoisonError::into_inner).take().map(Arc::new);
        let found = found.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut found = found.ok_or_else(|| Error::invalid("segmentation", "found no result"))?;
        let (labels, rows) = table(&mut found)?;
        Ok(Event::Segmented(Arc::new(Segmented {
            path: job.path.clone(),
            model: job.model.name.clone(),
            size: [found.width() as u32, found.height() as u32],
            labels,
            classes: job.model.classes(),
            rows,
            method: instances.to_string(),
            replay,
            options: job.model.clone(),
        })))
    }

    /// Writes results as the program does, into a folder.
    pub(super) fn export(
        &mut self,
        job: &SegmentJob,
        kinds: &[&'static str],
        folder: &Path,
        reporter: &Reporter,
    ) -> Result<Event> {
        let segmenter = self.of(&job.model);
        let instances = segmenter.instance_options(&job.settings)?.with_memory(MEMORY / 4);
        let mut source = open(&job.path, &job.model)?;
        let calibration = calibration_of(&job.path, &OpenOptions::default(), None)?;
        let (mut sinks, mut files, mut overlay, mut written) = (Vec::new(), Vec::new(), None, Vec::new());
        for kind in kinds {
            let unknown = || Error::invalid(*kind, "is no kind of result");
            let writer = <dyn Writer>::named(kind).ok_or_else(unknown)?;
            let path = output_path(Some(folder), &job.path, writer.suffix(), writer.extension(None), true)?;
            check_writable(&path)?;
            if path.is_file() && !is_own_result(&path)? {
                return Err(Error::file(&path, "exists and is no result of this program"));
            }
            match writer.sink((&path).into(), &calibration)? {
                ResultSink::Instances(writer) => files.push((writer, path.clone())),
                ResultSink::Rows(_) if writer.shows_instances() => overlay = Some(path.clone()),
                ResultSink::Rows(sink) => sinks.push(sink),
            }
            written.push(path);
        }
        if !files.is_empty() || overlay.is_some() {
            let options = instances.with_scratch(folder.into());
            let name = job.path.file_name().unwrap_or_default().to_string_lossy();
            let mut sink = InstanceSink::new(options, name, files).with_calibration(calibration, Coordinates::Pixel);
            if let Some(path) = overlay {
                sink = sink.with_overlay(path);
            }
            sinks.push(Box::new(sink));
        }
        let options = options(job)?;
        segmenter.segment_to(&mut *source, &options, sinks, |done| reporter.progress(done))?;
        Ok(Event::Exported(written))
    }
}

/// As the program's: instances keep a quarter of the memory for themselves, and an image whose pixel size is known is resized to
/// that of a model that states one.
fn options(job: &SegmentJob) -> Result<SegmentOptions> {
    let pixel = calibration_of(&job.path, &OpenOptions::default(), None)?.pixel.map(|p| [p.x, p.y]);
    let states = job.model.metadata.scale.is_some_and(|s| s.pixel_size.is_some());
    let scale = pixel.filter(|_| states).map_or(Scale::default(), Scale::PixelSize);
    let options = SegmentOptions::default().with_memory(MEMORY - MEMORY / 4).with_scale(scale);
    Ok(options.with_instances(Some(job.settings.clone())))
}

fn open(path: &Path, model: &Model) -> Result<Box<dyn unet_wgpu::low_level::infer::ImageSource>> {
    let source = open_image(path, &OpenOptions { memory: Some(MEMORY), ..OpenOptions::default() })?;
    check_channels(path, &*source, model.architecture.in_channels())?;
    Ok(source)
}

/// Finds instances again, by other settings. Fails for an image whose network outputs are not kept.
pub(super) fn again(from: &Segmented, settings: &InstanceSettings) -> Result<Event> {
    use unet_wgpu::low_level::infer::InstanceOptions;
    let missing = || Error::invalid("instances", "this image is too large to find them again; segment it anew");
    let replay = from.replay.as_ref().ok_or_else(missing)?;
    let metadata = &from.options.metadata;
    let options = InstanceOptions::of_model(settings, metadata.instances.as_ref(), metadata.target)?;
    let mut found = replay.instances(&options)?;
    let (labels, rows) = table(&mut found)?;
    Ok(Event::Segmented(Arc::new(Segmented {
        path: from.path.clone(),
        model: from.model.clone(),
        size: from.size,
        labels,
        classes: from.classes.clone(),
        rows,
        method: options.to_string(),
        replay: from.replay.clone(),
        options: from.options.clone(),
    })))
}

fn table(found: &mut Instances) -> Result<(Vec<u32>, Vec<Row>)> {
    let labels = found.to_map()?.labels.into_labels();
    let mut rows = Vec::with_capacity(found.count());
    found.instances(|instance| {
        rows.push(Row {
            id: instance.number(),
            class: instance.class(),
            area: instance.area(),
            centroid: instance.centroid(),
            means: instance.means(),
            eccentricity: instance.eccentricity(),
        });
        Ok(())
    })?;
    Ok((labels, rows))
}
