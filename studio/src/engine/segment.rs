//! Whole images: the same results as the program's.

use super::model::{ModelFile, Models};
use super::replay::{Finder, Keeper, Replay};
use super::reporter::Reporter;
use super::{Event, SelectedChannels, wire_settings};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use unet_wgpu::low_level::infer::{
    BandSink, Coordinates, Ensemble, InstanceOptions, InstanceSettings, InstanceSink, Instances, OpenOptions,
    ResultSink, Scale, Writer, calibration_of, check_channels, check_writable, is_own_result, open_image, output_path,
};
use unet_wgpu::low_level::io::fs;
use unet_wgpu::{Backend, Error, Model, Result, SegmentOptions, Segmenter};

/// Memory for an image on device and host, as the program's default.
const MEMORY: u64 = 2 << 30;

/// Models that stay on the device.
const MODELS: usize = 3;

/// Images whose network outputs are kept: the one at hand, and the one it is compared with.
const KEPT: usize = 2;

/// An image to segment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SegmentJob {
    /// The image's file.
    pub path: PathBuf,
    /// The model.
    pub model: ModelFile,
    /// How instances are found, where it differs from what the model's file says.
    #[serde(with = "wire_settings")]
    pub settings: InstanceSettings,
    /// What the network gets of the image.
    pub channels: SelectedChannels,
}

/// An instance in the table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Segmented {
    /// Tells what the network said about it.
    pub id: u64,
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
}

/// What a network said about an image, for other settings of instances.
struct Said {
    id: u64,
    model: Model,
    channels: SelectedChannels,
    replay: Replay,
}

/// Models on the device, the one used last first, and what they said.
pub(super) struct Segmenters {
    backend: Backend,
    models: Models,
    ready: Vec<Segmenter>,
    /// The latest last.
    said: Vec<Said>,
    next: u64,
}

impl Segmenters {
    pub(super) fn new(backend: Backend, models: Models) -> Self {
        Self { backend, models, ready: Vec::new(), said: Vec::new(), next: 0 }
    }

    /// A model.
    pub(super) async fn model(&self, file: &ModelFile) -> Result<Model> {
        self.models.get(file).await
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

    pub(super) async fn segment(&mut self, job: &SegmentJob, reporter: &Reporter) -> Result<Event> {
        let model = self.model(&job.model).await?;
        let segmenter = self.of(&model);
        let geometry = model.metadata.target.is_some_and(|t| t.is_geometry());
        let (keeper, slot) = Keeper::new(geometry);
        let instances = segmenter.instance_options(&job.settings)?.with_memory(MEMORY / 4);
        let options = options(job, &model)?;
        let mut source = open(job, &model)?;
        // Without a replay the instances have to be found on the way.
        let (collector, found) = Finder::new(instances.clone());
        let sinks: Vec<Box<dyn BandSink>> = vec![Box::new(keeper), Box::new(collector)];
        segmenter.segment_to_async(&mut *source, &options, sinks, |done| reporter.progress(done)).await?;
        let replay = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        let found = found.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut found = found.ok_or_else(|| Error::invalid("segmentation", "found no result"))?;
        self.next += 1;
        let result = segmented(self.next, job, &model, &mut found, instances.to_string())?;
        if let Some(replay) = replay {
            self.said.push(Said { id: self.next, model, channels: job.channels.clone(), replay });
            let old = self.said.len().saturating_sub(KEPT);
            self.said.drain(..old);
        }
        Ok(Event::Segmented(Arc::new(result)))
    }

    /// Finds instances again, by other settings: without the network, if what it said is still kept.
    pub(super) async fn again(&mut self, of: u64, job: &SegmentJob, reporter: &Reporter) -> Result<Event> {
        let known = |said: &&Said| said.id == of && said.channels == job.channels;
        let Some(said) = self.said.iter().find(known) else { return self.segment(job, reporter).await };
        let metadata = &said.model.metadata;
        let options = InstanceOptions::of_model(&job.settings, metadata.instances.as_ref(), metadata.target)?;
        let mut found = said.replay.instances(&options)?;
        Ok(Event::Segmented(Arc::new(segmented(of, job, &said.model, &mut found, options.to_string())?)))
    }

    /// Writes results as the program does, into a folder.
    pub(super) async fn export(
        &mut self,
        job: &SegmentJob,
        kinds: &[String],
        folder: &Path,
        reporter: &Reporter,
    ) -> Result<Event> {
        let model = self.model(&job.model).await?;
        let segmenter = self.of(&model);
        let instances = segmenter.instance_options(&job.settings)?.with_memory(MEMORY / 4);
        let mut source = open(job, &model)?;
        let calibration = calibration_of(&job.path, &OpenOptions::default(), None)?;
        let (mut sinks, mut files, mut overlay, mut written) = (Vec::new(), Vec::new(), None, Vec::new());
        for kind in kinds {
            let unknown = || Error::invalid(kind, "is no kind of result");
            let writer = <dyn Writer>::named(kind).ok_or_else(unknown)?;
            let path = output_path(Some(folder), &job.path, writer.suffix(), writer.extension(None), true)?;
            check_writable(&path)?;
            if fs::is_file(&path) && !is_own_result(&path)? {
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
        let options = options(job, &model)?;
        segmenter.segment_to_async(&mut *source, &options, sinks, |done| reporter.progress(done)).await?;
        Ok(Event::Exported(written))
    }
}

/// As the program's: instances keep a quarter of the memory for themselves, and an image whose pixel size is known is resized to
/// that of a model that states one.
fn options(job: &SegmentJob, model: &Model) -> Result<SegmentOptions> {
    let pixel = calibration_of(&job.path, &OpenOptions::default(), None)?.pixel.map(|p| [p.x, p.y]);
    let states = model.metadata.scale.is_some_and(|s| s.pixel_size.is_some());
    let scale = pixel.filter(|_| states).map_or(Scale::default(), Scale::PixelSize);
    let options = SegmentOptions::default().with_memory(MEMORY - MEMORY / 4).with_scale(scale);
    Ok(options.with_instances(Some(job.settings.clone())))
}

fn open(job: &SegmentJob, model: &Model) -> Result<Box<dyn unet_wgpu::low_level::infer::ImageSource>> {
    let channels = job.channels.clone();
    let source = open_image(&job.path, &OpenOptions { channels, memory: Some(MEMORY), ..OpenOptions::default() })?;
    check_channels(&job.path, &*source, model.architecture.in_channels())?;
    Ok(source)
}

/// A result as the window shows it.
fn segmented(id: u64, job: &SegmentJob, model: &Model, found: &mut Instances, method: String) -> Result<Segmented> {
    let (labels, rows) = table(found)?;
    let size = [found.width() as u32, found.height() as u32];
    Ok(Segmented {
        id,
        path: job.path.clone(),
        model: model.name.clone(),
        size,
        labels,
        classes: model.classes(),
        rows,
        method,
    })
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
