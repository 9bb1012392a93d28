//! The segmenter: takes an image, returns class ids and probabilities, using tiles that fit the device.

mod first_pass;
mod runners;

use super::band::{BandInfo, BandSink, Needs};
use super::channels::ChannelMap;
use super::collected::{Collected, Found};
use super::ensemble::Ensemble;
use super::image::{Image, Sample};
use super::instances::{InstanceMap, InstanceOptions, InstanceSettings};
use super::mask::Mask;
use super::normalise::{ChannelAffine, Collector, StatisticsRequest, collect, maps, reads_integers, requested};
use super::options::{Blend, SegmentOptions};
use super::output::{SHOWN, STRETCH, joint};
use super::resample::Resize;
use super::scale::{Fitted, Scale};
use super::source::{ImageSource, InMemory, SourceInfo, resized};
use super::tile::graph::TileOutputs;
use super::tile::grid::Tileability;
use super::tiling::assembly::{Emitter, ImageInProgress, QueuedTile, RunTiles, TileResult, Windows, run_tiles};
use super::tiling::budget::{Budget, BudgetedImage, check_rows};
use super::tiling::plan::{CutRequest, TileKind, TilePlan, TilePlanner};
use super::tiling::runner::{TileInput, TileOutput};
use crate::error::{Error, Message, Result};
#[cfg(not(target_arch = "wasm32"))]
use crate::gpu::block_on;
use crate::model::Model;
use crate::session::{Backend, Recovery};
use crate::tensor::Precision;
use runners::Runners;

/// A segmented image.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Segmentation {
    /// Class of every pixel.
    pub mask: Mask,
    /// Probability planes `[K, H, W]`, if requested: K = channels of the network.
    pub probabilities: Option<Vec<f32>>,
    /// The instances, if requested: the same as in an instance file.
    pub instances: Option<InstanceMap>,
    /// Rows and columns of tiles used.
    pub tiles: [usize; 2],
    /// Rows and columns of a tile's input in pixels.
    pub tile: [usize; 2],
    /// Precision of activations and weights.
    pub precision: Precision,
    /// Why the precision is `f32` although the backend is for `f16`: the value that exceeded `f16`.
    pub fallback: Option<String>,
    /// Notes for users on how the image was read, each a clause to print after the file name and a colon.
    pub notes: Vec<Message>,
    /// The factors by which the image was resized for the model, across and down.
    pub scale: [f64; 2],
    /// The median diameter of instances in pixels that a first pass found, for [`Scale::AutoDiameter`].
    pub diameter: Option<f64>,
}

/// Result for an image whose rows went to sinks.
#[derive(Clone, Debug, PartialEq)]
pub struct Streamed {
    /// The image's properties.
    pub image: SourceInfo,
    /// Number of pixels of every class.
    pub class_pixels: Vec<u64>,
    /// Rows and columns of tiles used.
    pub tiles: [usize; 2],
    /// Rows and columns of a tile's input in pixels.
    pub tile: [usize; 2],
    /// Number of tiles and orientations per run: at most [`SegmentOptions::batch`].
    pub batch: usize,
    /// Precision of activations and weights.
    pub precision: Precision,
    /// Why the precision is `f32` although the backend is for `f16`: the value that exceeded `f16`.
    pub fallback: Option<String>,
    /// Notes for users on how the image was read, each a clause to print after the file name and a colon.
    pub notes: Vec<Message>,
    /// The factors by which the image was resized for the model, across and down.
    pub scale: [f64; 2],
    /// The median diameter of instances in pixels that a first pass found, for [`Scale::AutoDiameter`].
    pub diameter: Option<f64>,
}

/// An image to segment, with its sinks.
pub struct ImageTask<'a> {
    /// The image.
    pub source: &'a mut dyn ImageSource,
    /// Finished after all rows have been passed to them.
    pub sinks: Vec<Box<dyn BandSink>>,
}

/// An image with its statistics.
struct Prepared<'a> {
    source: &'a mut dyn ImageSource,
    sinks: Vec<&'a mut dyn BandSink>,
    info: BandInfo,
    needs: Needs,
    affines: Vec<Vec<ChannelAffine>>,
    channels: ChannelMap,
    fitted: Fitted,
}

/// A model on a backend, for images of any size. The latest kinds of tiles stay compiled and allocated, as many as fit in
/// [`SegmentOptions::memory`] with the image at hand: images of several sizes in turn prepare nothing anew.
#[derive(Debug)]
pub struct Segmenter {
    backend: Backend,
    planner: TilePlanner,
    runners: Runners,
    recovery: Recovery,
}

/// Normalisation for each model, and the values shown as black and white.
type Measurement = (Vec<Vec<ChannelAffine>>, Option<[f64; 2]>);

impl Segmenter {
    /// Creates a segmenter for a model or an ensemble. Compiles and allocates nothing yet.
    pub fn new(backend: Backend, models: impl Into<Ensemble>) -> Self {
        let planner = TilePlanner::new(models.into());
        Self { backend, planner, runners: Runners::default(), recovery: Recovery::default() }
    }

    /// The model, or the first of an ensemble; all its models agree in classes and channels.
    pub fn model(&self) -> &Model {
        self.planner.ensemble.first()
    }

    /// Class names of masks.
    pub fn classes(&self) -> Vec<String> {
        self.planner.ensemble.classes()
    }

    /// How instances are found with these settings, and the model's own where they leave it open. Fails if the method needs what
    /// the network does not predict.
    pub fn instance_options(&self, settings: &InstanceSettings) -> Result<InstanceOptions> {
        let model = self.model();
        InstanceOptions::of_model(settings, model.metadata.instances.as_ref(), model.metadata.target)
    }

    /// Bytes of device memory in use.
    pub fn device_bytes(&self) -> u64 {
        self.runners.device_bytes()
    }

    /// Whether the models can be tiled exactly.
    pub fn tileability(&self) -> Result<Tileability> {
        self.planner.tileability()
    }

    /// Segments an image. `progress` receives a fraction from 0 to 1 and may cancel by returning an error. If a value
    /// of the network exceeds `f16`, the image is segmented again in `f32`; a warning is logged and
    /// [`Segmentation::fallback`] is set.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn segment(
        &mut self,
        image: &Image,
        options: &SegmentOptions,
        progress: impl FnMut(f64) -> Result<()>,
    ) -> Result<Segmentation> {
        block_on(self.segment_async(image, options, progress))
    }

    /// [`Self::segment`] as a future. Dropping it cancels the run; the segmenter stays usable.
    pub async fn segment_async(
        &mut self,
        image: &Image,
        options: &SegmentOptions,
        progress: impl FnMut(f64) -> Result<()>,
    ) -> Result<Segmentation> {
        let instances = options.instances.as_ref().map(|s| self.instance_options(s)).transpose()?;
        let mut collected = Collected { probabilities: options.probabilities, ..Default::default() };
        let mut found = instances.map(Found::new);
        let mut sinks: Vec<&mut dyn BandSink> = vec![&mut collected];
        sinks.extend(found.as_mut().map(|f| f as &mut dyn BandSink));
        let mut source = InMemory::borrowed(image);
        let run = self.stream(&mut source, options, sinks, progress).await?;
        let mask = Mask::new(image.width(), image.height(), run.class_pixels.len(), collected.ids)?;
        let probabilities = options.probabilities.then_some(collected.planes);
        let instances = found.map(|f| f.instances()?.to_map()).transpose()?;
        let Streamed { tiles, tile, precision, fallback, notes, scale, diameter, .. } = run;
        Ok(Segmentation { mask, probabilities, instances, tiles, tile, precision, fallback, notes, scale, diameter })
    }

    /// Segments an image of any size. Rows go to the sinks as they are completed; neither the image nor its results are
    /// ever in memory as a whole. Sinks are finished after the last row. `progress` and `f16` work as in
    /// [`Self::segment`]; the sinks' needs replace [`SegmentOptions::probabilities`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn segment_to(
        &mut self,
        source: &mut dyn ImageSource,
        options: &SegmentOptions,
        sinks: Vec<Box<dyn BandSink>>,
        progress: impl FnMut(f64) -> Result<()>,
    ) -> Result<Streamed> {
        block_on(self.segment_to_async(source, options, sinks, progress))
    }

    /// [`Self::segment_to`] as a future.
    pub async fn segment_to_async(
        &mut self,
        source: &mut dyn ImageSource,
        options: &SegmentOptions,
        mut sinks: Vec<Box<dyn BandSink>>,
        progress: impl FnMut(f64) -> Result<()>,
    ) -> Result<Streamed> {
        let run = self.stream(source, options, borrowed(&mut sinks), progress).await?;
        sinks.into_iter().try_for_each(|s| s.finish())?;
        Ok(run)
    }

    /// Segments images as [`Self::segment_to`] does, each with its own result. With [`SegmentOptions::batch`] above 1,
    /// images of equal size that are a single tile each run together; if that fails, each runs separately.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn segment_several(
        &mut self,
        tasks: Vec<ImageTask>,
        options: &SegmentOptions,
        progress: impl FnMut(f64) -> Result<()>,
    ) -> Vec<Result<Streamed>> {
        block_on(self.segment_several_async(tasks, options, progress))
    }

    /// [`Self::segment_several`] as a future.
    pub async fn segment_several_async(
        &mut self,
        mut tasks: Vec<ImageTask<'_>>,
        options: &SegmentOptions,
        mut progress: impl FnMut(f64) -> Result<()>,
    ) -> Vec<Result<Streamed>> {
        let together = match tasks.len() > 1 && options.batch > 1 {
            true => self.together(&mut tasks, options, &mut progress).await,
            false => None,
        };
        let results = match together {
            Some(all) => all.into_iter().map(Ok).collect(),
            None => {
                let count = tasks.len() as f64;
                let mut each = Vec::with_capacity(tasks.len());
                for (i, task) in tasks.iter_mut().enumerate() {
                    let (source, sinks) = (&mut *task.source, borrowed(&mut task.sinks));
                    each.push(self.stream(source, options, sinks, |part| progress((i as f64 + part) / count)).await);
                }
                each
            }
        };
        let finish = |(task, result): (ImageTask, Result<Streamed>)| {
            let run = result?;
            task.sinks.into_iter().try_for_each(|s| s.finish())?;
            Ok(run)
        };
        tasks.into_iter().zip(results).map(finish).collect()
    }

    /// Runs several images in batches, if they are compatible and nothing fails.
    async fn together(
        &mut self,
        tasks: &mut [ImageTask<'_>],
        options: &SegmentOptions,
        progress: &mut impl FnMut(f64) -> Result<()>,
    ) -> Option<Vec<Streamed>> {
        let first = tasks.first()?.source.info();
        // Estimated diameters differ.
        if tasks.iter().any(|t| t.source.info() != first) || options.scale == Scale::AutoDiameter {
            return None;
        }
        let mut images = Vec::new();
        for task in tasks {
            let fitted = self.fitted(&mut *task.source, options, |_| Ok(())).await.ok()?;
            images.push(self.prepare(&mut *task.source, borrowed(&mut task.sinks), options, fitted).ok()?);
        }
        let backend = self.backend_for(options);
        self.stream_on(&backend, &mut images, options, progress).await.ok()
    }

    fn backend_for(&self, options: &SegmentOptions) -> Backend {
        if options.exact { self.backend.with_deterministic_tiling() } else { self.backend.clone() }
    }

    async fn stream<'a>(
        &mut self,
        source: &'a mut dyn ImageSource,
        options: &SegmentOptions,
        sinks: Vec<&'a mut dyn BandSink>,
        mut progress: impl FnMut(f64) -> Result<()>,
    ) -> Result<Streamed> {
        let fitted = self.fitted(source, options, &mut progress).await?;
        self.stream_fitted(source, options, fitted, sinks, progress).await
    }

    /// Streams an image that is resized as was decided for it.
    async fn stream_fitted<'a>(
        &mut self,
        source: &'a mut dyn ImageSource,
        options: &SegmentOptions,
        fitted: Fitted,
        sinks: Vec<&'a mut dyn BandSink>,
        progress: impl FnMut(f64) -> Result<()>,
    ) -> Result<Streamed> {
        let image = self.prepare(source, sinks, options, fitted)?;
        self.stream_prepared(image, options, progress).await
    }

    async fn stream_prepared(
        &mut self,
        image: Prepared<'_>,
        options: &SegmentOptions,
        mut progress: impl FnMut(f64) -> Result<()>,
    ) -> Result<Streamed> {
        let mut image = [image];
        let mut full: Option<Error> = None;
        let (run, fallback) = loop {
            let backend = self.backend_for(options);
            let work = async |b: &Backend| self.stream_on(b, &mut image, options, &mut progress).await;
            match backend.or_f32_async(work).await {
                Ok(done) => break done,
                Err(e @ Error::OutOfMemory { .. }) => {
                    self.make_room(&e, full.is_none());
                    full = Some(e);
                }
                // No tile is small enough for what the device has.
                Err(e @ Error::Limit { .. }) => return Err(full.map_or(e, |full| full.even_with("the smallest tile"))),
                Err(e) => return Err(e),
            }
        };
        match run.into_iter().next() {
            Some(run) => Ok(Streamed { fallback, ..run }),
            None => Err(Error::invalid("segmenter", "returned no result")),
        }
    }

    fn prepare<'a>(
        &self,
        source: &'a mut dyn ImageSource,
        sinks: Vec<&'a mut dyn BandSink>,
        options: &SegmentOptions,
        fitted: Fitted,
    ) -> Result<Prepared<'a>> {
        if let Some((model, why)) = self.planner.ensemble.models().find_map(|m| Some((m, m.architecture.unfit()?))) {
            let reason = format!("{why}; it cannot segment. `unet run` gives its output");
            return Err(Error::invalid(&model.name, reason));
        }
        let needs = sinks.iter().fold(Needs::default(), |n, s| n.or(s.needs()));
        let map = ChannelMap::of(&source.info(), &source.channel_names(), self.model().architecture.in_channels())?;
        let (affines, contrast) = self.measure(source, fitted.resize, options, needs, &map)?;
        let network = fitted.resize.map(Resize::size);
        let SourceInfo { width, height, channels, .. } = source.info();
        let ensemble = &self.planner.ensemble;
        let (classes, planes, geometry) = (ensemble.classes(), ensemble.planes(), ensemble.geometry());
        let info = BandInfo { width, height, channels, classes, planes, geometry, contrast, network };
        Ok(Prepared { source, sinks, info, needs, affines, channels: map, fitted })
    }

    /// Normalisation for each model, and the values shown as black and white.
    fn measure(
        &self,
        source: &mut dyn ImageSource,
        resize: Option<Resize>,
        options: &SegmentOptions,
        needs: Needs,
        map: &ChannelMap,
    ) -> Result<Measurement> {
        let rules =
            self.planner.ensemble.models().map(|m| options.normalisation.as_ref().unwrap_or(&m.metadata.normalisation));
        let info = source.info();
        let channels = self.model().architecture.in_channels();
        resized(source, resize, |s| check_rows(s, options.limit()))?;
        let input = SourceInfo { channels, ..resized(source, resize, |s| s.info()) };
        let pixels = rules.map(|rule| Ok((rule, Collector::new(input, requested(rule)?))));
        let mut pixels = pixels.collect::<Result<Vec<_>>>()?;
        let shown = if needs.contrast { STRETCH.to_vec() } else { Vec::new() };
        let mut shown = Collector::new(info, StatisticsRequest { percentiles: shown, ..StatisticsRequest::default() });
        let (mut all, mut own) = (Vec::new(), Vec::new());
        for (rule, pixels) in &mut pixels {
            if info.sample == Sample::F32 || reads_integers(rule) {
                all.push((pixels, Some(map)));
            }
        }
        // The overlay shows the image as it is; without resizing one pass serves both.
        if needs.contrast {
            if resize.is_none() { &mut all } else { &mut own }.push((&mut shown, None));
        }
        resized(source, resize, |s| collect(s, &mut all))?;
        collect(source, &mut own)?;
        let contrast = needs.contrast.then(|| {
            let percentiles = (0..info.channels.min(SHOWN)).map(|c| shown.percentiles(c));
            joint(&percentiles.filter_map(|p| <[f64; 2]>::try_from(p).ok()).collect::<Vec<_>>())
        });
        let affines = pixels.iter().map(|(rule, pixels)| maps(pixels, input, rule));
        Ok((affines.collect::<Result<_>>()?, contrast))
    }

    /// Runs one image in tiles, or several images of equal size together if each is a single tile.
    async fn stream_on(
        &mut self,
        backend: &Backend,
        images: &mut [Prepared<'_>],
        options: &SegmentOptions,
        progress: &mut impl FnMut(f64) -> Result<()>,
    ) -> Result<Vec<Streamed>> {
        let Some(plan) = self.plan(backend, images, options)? else { return Ok(Vec::new()) };
        let planes = self.planner.ensemble.planes();
        let (rule, at_once) = loop {
            match self.runner(&plan).await {
                Ok(runner) => break (runner.rule(), runner.tiles_at_once()),
                Err(e) => self.reopen(e)?,
            }
        };
        let (mut in_progress, mut affines) = (Vec::new(), Vec::new());
        for Prepared { source, sinks, info, needs, affines: image_affines, channels, fitted } in images.iter_mut() {
            source.set_cache(plan.cache);
            let resize = fitted.resize;
            let windows = Windows { source: &mut **source, channels, coloured: false, resize };
            let out = Emitter::new(info, *needs, sinks, resize)?;
            in_progress.push(ImageInProgress { windows, out, assembly: plan.cut.assembly(rule, planes) });
            affines.push(&image_affines[..]);
        }
        let mut networks = Networks { segmenter: self, plan: &plan, affines };
        run_tiles(&mut in_progress, at_once, &mut networks, progress).await?;
        let streamed = in_progress.into_iter().map(|o| streamed(o, &plan)).collect::<Vec<_>>();
        let scaled = |(s, p): (Streamed, &Prepared)| {
            let Fitted { factors: scale, diameter, .. } = p.fitted;
            Streamed { scale, diameter, ..s }
        };
        Ok(streamed.into_iter().zip(images.iter()).map(scaled).collect())
    }

    /// Plans the tiles of images that run together; `None` for no images.
    fn plan(
        &mut self,
        backend: &Backend,
        images: &mut [Prepared],
        options: &SegmentOptions,
    ) -> Result<Option<TilePlan>> {
        let needs = images.iter().fold(Needs::default(), |n, p| n.or(p.needs));
        let Needs { probabilities, geometry, .. } = needs;
        let outputs = TileOutputs { probabilities, decision: options.blend == Blend::Gaussian, geometry };
        let (channels, runs) = (self.model().architecture.in_channels(), self.planner.ensemble.runs());
        let Some(first) = images.first().map(|p| &p.info) else { return Ok(None) };
        let size = first.network.unwrap_or([first.height, first.width]);
        let mut budgets = Vec::with_capacity(images.len());
        for Prepared { source, info, needs, fitted, .. } in images {
            let image = BudgetedImage { info, needs: *needs, channels, runs, resize: fitted.resize };
            budgets.push(resized(&mut **source, fitted.resize, |s| Budget::new(s, options, image)));
        }
        let Some((budget, others)) = budgets.split_first() else { return Ok(None) };
        self.planner.plan(&CutRequest { backend, options, outputs, size, budget }, others).map(Some)
    }
}

/// The result of an image after its last row.
fn streamed(ImageInProgress { windows, out, .. }: ImageInProgress, plan: &TilePlan) -> Streamed {
    let TileKind { shape, batch, precision, .. } = plan.kind;
    let (class_pixels, image, positions) = (out.counts, windows.source.info(), plan.cut.positions());
    let tiles = [positions.rows.len(), positions.columns.len()];
    let mut notes = windows.source.notes();
    notes.extend(windows.channels.note(windows.coloured).cloned());
    let (scale, diameter) = ([1.0; 2], None);
    Streamed { image, class_pixels, tiles, tile: shape, batch, precision, fallback: None, notes, scale, diameter }
}

/// The networks for tiles, with each image's normalisation.
struct Networks<'a> {
    segmenter: &'a mut Segmenter,
    plan: &'a TilePlan,
    affines: Vec<&'a [Vec<ChannelAffine>]>,
}

impl RunTiles for Networks<'_> {
    async fn run(
        &mut self,
        queued: &[QueuedTile],
        mut progress: impl FnMut(f64) -> Result<()>,
    ) -> Result<Vec<TileResult>> {
        let affines = |w: &QueuedTile| self.affines.get(w.image).copied().unwrap_or_default();
        let tiles = queued.iter().map(|w| TileInput { place: &w.place, pixels: &w.pixels, affines: affines(w) });
        let tiles: Vec<TileInput> = tiles.collect();
        let results = loop {
            let outcome = match self.segmenter.runner(self.plan).await {
                Ok(runner) => runner.run_async(&tiles, &mut progress).await,
                Err(e) => Err(e),
            };
            match outcome {
                Ok(results) => break results,
                // Nothing of these tiles has been used yet: they are run again on another device.
                Err(e) => self.segmenter.reopen(e)?,
            }
        };
        self.segmenter.recovery.progressed();
        let result = |TileOutput { mask, decision: mut planes, probabilities, geometry }| {
            planes.extend(probabilities);
            planes.extend(geometry);
            TileResult { mask, planes }
        };
        Ok(results.into_iter().map(result).collect())
    }
}

fn borrowed(sinks: &mut [Box<dyn BandSink>]) -> Vec<&mut dyn BandSink> {
    sinks.iter_mut().map(|s| &mut **s as &mut dyn BandSink).collect()
}

#[cfg(test)]
mod scale_tests;
#[cfg(test)]
mod tests;
