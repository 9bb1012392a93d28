//! Images of `unet segment`: opening them, and running them through the network, alone or several in a batch.

use super::scale::ScaleArgs;
use super::segment_jobs::{Job, Save};
use super::{Common, instances, output};
use indicatif::{ProgressBar, ProgressStyle};
use std::path::Path;
use std::time::Instant;
use unet_wgpu::low_level::infer::{
    BandSink, Coordinates, Held, HoldSink, ImageSource, ImageTask, InstanceOptions, InstanceReport, OpenOptions,
    Output, ResultSink, Scale, SegmentOptions, Segmenter, Streamed, calibration_of, check_channels, open_image,
    page_count,
};
use unet_wgpu::low_level::weights::TrainedScale;
use unet_wgpu::{Error, Result};

/// Queued images that are decoded whole take at most the memory divided by this.
const QUEUE_SHARE: u64 = 4;

/// How images are segmented.
pub(super) struct Work<'a> {
    pub read: OpenOptions,
    /// Channels that the network takes.
    pub network: usize,
    pub instances: &'a InstanceOptions,
    /// Whether overlays show single instances.
    pub overlay: bool,
    pub coordinates: Coordinates,
    /// Limit in bytes, instances included.
    pub memory: u64,
    /// Whether pages are counted, for a note on those that are not read.
    pub counts_pages: bool,
    pub level: usize,
    /// How large the model sees what images show.
    pub scale: &'a ScaleArgs,
    /// The scale that the model was trained at.
    pub trained: Option<TrainedScale>,
    pub options: SegmentOptions,
}

/// A queued image.
pub(super) struct OpenJob<'a> {
    pub job: &'a Job<'a>,
    /// Its number among all images, from 1.
    pub number: usize,
    /// Pages of its file, if they are counted.
    pub pages: usize,
    source: Box<dyn ImageSource>,
    sinks: Vec<Box<dyn BandSink>>,
    pub instances: Option<Box<dyn Fn() -> Option<InstanceReport> + Send>>,
    /// Micrometres, where they are known.
    pub pixel: Option<[f64; 2]>,
    pub scale: Scale,
    /// Milliseconds that opening took.
    pub opening: f64,
}

/// An image that has been through the network.
pub(super) struct Segmented<'a> {
    pub opened: OpenJob<'a>,
    /// Its results, if they are still to be written.
    pub held: Held,
}

impl OpenJob<'_> {
    /// Whether it can run in a batch with the queued images.
    pub(super) fn joins(&self, group: &[OpenJob], memory: u64) -> bool {
        let held: u64 = group.iter().chain([self]).map(|o| o.source.held_bytes()).sum();
        let alike = |first: &OpenJob| first.source.info() == self.source.info() && first.scale == self.scale;
        group.first().is_none_or(|first| alike(first) && held <= memory / QUEUE_SHARE)
    }
}

impl Work<'_> {
    /// Opens an image that takes at most `memory` bytes.
    pub(super) fn open<'a>(&self, job: &'a Job<'a>, number: usize, memory: u64) -> Result<OpenJob<'a>> {
        let start = Instant::now();
        job.check_stack()?;
        let open = OpenOptions { page: job.page, level: self.level, memory: Some(memory), ..self.read.clone() };
        let source = open_image(job.input, &open)?;
        check_channels(job.input, &*source, self.network)?;
        let calibration = calibration_of(job.input, &open, self.scale.pixel_size)?;
        job.begin_stack(&calibration)?;
        let pixel = calibration.pixel.as_ref().map(|p| [p.x, p.y].map(short));
        let scale = self.scale.of(pixel, self.trained);
        let sink = |(save, output): (Save, Output)| Ok((save, output.clone(), save.sink(output, &calibration)?));
        let created: Vec<_> = job.places().into_iter().map(sink).collect::<Result<_>>()?;
        let (mut sinks, mut files, mut overlay) = (Vec::new(), Vec::new(), None);
        for (save, output, sink) in created {
            match sink {
                ResultSink::Instances(writer) => files.push((writer, output)),
                ResultSink::Rows(_) if self.overlay && save.shows_instances() => overlay = Some(output),
                ResultSink::Rows(sink) => sinks.push(sink),
            }
        }
        let pages = if self.counts_pages { page_count(job.input).unwrap_or(1) } else { 1 };
        let mut opened = OpenJob { job, number, pages, source, sinks, instances: None, pixel, scale, opening: 0.0 };
        if !files.is_empty() || overlay.is_some() {
            // Temporary files lie beside results.
            let result = files.first().map(|f| &f.1).or(overlay.as_ref());
            let folder = result.and_then(|f| f.name().parent()).filter(|p| !p.as_os_str().is_empty());
            // A missing folder `labels` is not made for them.
            let in_folder = files.first().is_some_and(|f| f.0.is_folder());
            let folder =
                folder.and_then(|f| f.ancestors().find(|f| !in_folder || f.is_dir())).unwrap_or(Path::new("."));
            let options = self.instances.clone().with_scratch(folder.to_path_buf());
            let sink = instances::sink(options, job.input, files, (calibration, self.coordinates))?;
            let mut sink = sink.with_page(job.page);
            if let Some(output) = overlay {
                sink = sink.with_overlay(output);
            }
            opened.instances = Some(Box::new(sink.report()));
            opened.sinks.push(Box::new(sink));
        }
        opened.opening = output::ms(start);
        Ok(opened)
    }

    /// Segments images as a batch. Of each, `limit` bytes of results are held to be written later; if they are more, they are
    /// written at once.
    pub(super) fn segment<'a>(
        &self,
        segmenter: &mut Segmenter,
        group: Vec<OpenJob<'a>>,
        limit: u64,
        mut progress: impl FnMut(f64),
    ) -> Vec<(Segmented<'a>, Result<Streamed>)> {
        let Some(first) = group.first() else { return Vec::new() };
        // A quarter of the memory is for instances.
        let reserved = if first.instances.is_some() { self.memory / 4 } else { 0 };
        let options = self.options.clone().with_memory(self.memory).with_reserved(reserved).with_scale(first.scale);
        let (mut images, mut sinks) = (Vec::with_capacity(group.len()), Vec::with_capacity(group.len()));
        for mut opened in group {
            let own = std::mem::take(&mut opened.sinks);
            let hold = HoldSink::new(own, limit);
            images.push(Segmented { opened, held: hold.held() });
            sinks.push(vec![Box::new(hold) as Box<dyn BandSink>]);
        }
        let images_and_sinks = images.iter_mut().zip(sinks);
        let tasks = images_and_sinks.map(|(image, sinks)| ImageTask { source: &mut *image.opened.source, sinks });
        let results = segmenter.segment_several(tasks.collect(), &options, |done| {
            progress(done);
            Ok(())
        });
        images.into_iter().zip(results).collect()
    }
}

/// A number to 9 significant digits, without the noise of binary fractions.
pub(super) fn short(v: f64) -> f64 {
    format!("{v:.8e}").parse().unwrap_or(v)
}

/// Adds the image's path to an error that does not name it.
pub(super) fn about(input: &Path, e: Error) -> Error {
    match e {
        Error::Io { .. } | Error::File { .. } | Error::Cancelled | Error::DeviceLost(_) => e,
        e => Error::file(input, e.message()),
    }
}

pub(super) fn progress_bar(common: &Common, input: &Path, number: usize, of: usize) -> ProgressBar {
    if common.quiet {
        return ProgressBar::hidden();
    }
    // Hidden by itself where stderr is not a terminal.
    let bar = ProgressBar::new(1000);
    let style = ProgressStyle::with_template("{msg} [{bar:30}] {percent:>3} % {elapsed} (about {eta} left)");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
    let name = input.file_name().unwrap_or_default().to_string_lossy();
    bar.set_message(if of > 1 { format!("{number}/{of} {name}") } else { name.into_owned() });
    bar
}
