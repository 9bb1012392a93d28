//! The segmenter: an image in, class ids (and probabilities) out, in tiles that fit the device.

use super::band::{BandInfo, BandSink, Needs};
use super::blend::Blended;
use super::budget::{Budget, check_rows};
use super::channels::ChannelMap;
use super::collected::Collected;
use super::ensemble::Ensemble;
use super::fit::{Cut, Fit, TileKey};
use super::image::{Image, Sample};
use super::mask::Mask;
use super::normalise::{ChannelAffine, Collector, StatisticsRequest, collect, maps, reads_integers, requested};
use super::options::{Blend, SegmentOptions};
use super::output::{SHOWN, STRETCH, joint};
use super::runner::{TileInput, TileOutput, TileRunner};
use super::source::{ImageSource, InMemory, SourceInfo};
use super::stream::{Assembly, Emitter, Exact, ImageInProgress, QueuedTile, RunTiles, TileResult, Windows, run_tiles};
use super::tile::TileSpec;
use super::tile_graph::TileOutputs;
use crate::error::{Error, Message, Result};
#[cfg(not(target_arch = "wasm32"))]
use crate::gpu::block_on;
use crate::model::Model;
use crate::session::Backend;
use crate::tensor::Precision;

/// A segmented image.
#[derive(Clone, Debug, PartialEq)]
pub struct Segmentation {
    /// Class of every pixel.
    pub mask: Mask,
    /// Probability planes `[K, H, W]`, if asked for: K = channels of the network.
    pub probabilities: Option<Vec<f32>>,
    /// Rows and columns of tiles it took.
    pub tiles: [usize; 2],
    /// Rows and columns of a tile's input, pixels.
    pub tile: [usize; 2],
    /// How activations and weights were stored.
    pub precision: Precision,
    /// Why that is `f32` where the backend is for `f16`: what `f16` could not hold.
    pub fallback: Option<String>,
    /// What users should know of the way the image was read, each a clause that follows its name and a colon.
    pub notes: Vec<Message>,
}

/// How an image was segmented whose rows went to sinks.
#[derive(Clone, Debug, PartialEq)]
pub struct Streamed {
    /// What the image is.
    pub image: SourceInfo,
    /// Pixels of every class.
    pub class_pixels: Vec<u64>,
    /// Rows and columns of tiles it took.
    pub tiles: [usize; 2],
    /// Rows and columns of a tile's input, pixels.
    pub tile: [usize; 2],
    /// Tiles and orientations of them that a run took: at most [`SegmentOptions::batch`].
    pub batch: usize,
    /// How activations and weights were stored.
    pub precision: Precision,
    /// Why that is `f32` where the backend is for `f16`: what `f16` could not hold.
    pub fallback: Option<String>,
    /// What users should know of the way the image was read, each a clause that follows its name and a colon.
    pub notes: Vec<Message>,
}

/// An image to segment, and what takes its rows.
pub struct ImageTask<'a> {
    /// The image.
    pub source: &'a mut dyn ImageSource,
    /// Finished once all rows went through.
    pub sinks: Vec<Box<dyn BandSink>>,
}

/// An image that is measured.
struct Prepared<'a> {
    source: &'a mut dyn ImageSource,
    sinks: Vec<&'a mut dyn BandSink>,
    info: BandInfo,
    needs: Needs,
    affines: Vec<Vec<ChannelAffine>>,
    channels: ChannelMap,
}

/// A model on a backend, ready for images of any size. Tile shapes it has met stay compiled and allocated.
#[derive(Debug)]
pub struct Segmenter {
    backend: Backend,
    fit: Fit,
    /// What runs one kind of tile. One entry: the next image is likely of the same size.
    ready: Option<(TileKey, TileRunner)>,
}

/// How each model's input is normalised, and what is shown black and white.
type Measurement = (Vec<Vec<ChannelAffine>>, Option<[f64; 2]>);

impl Segmenter {
    /// A segmenter with a model, or with several as one. Nothing is compiled or allocated yet.
    pub fn new(backend: Backend, models: impl Into<Ensemble>) -> Self {
        Self { backend, fit: Fit::new(models.into()), ready: None }
    }

    /// The model; of several the first, which agrees with the others in classes and channels.
    pub fn model(&self) -> &Model {
        self.fit.ensemble.first()
    }

    /// Names of the classes that masks hold.
    pub fn classes(&self) -> Vec<String> {
        self.fit.ensemble.classes()
    }

    /// Bytes of device memory held.
    pub fn device_bytes(&self) -> u64 {
        self.ready.as_ref().map_or(0, |r| r.1.device_bytes())
    }

    /// What tiling must know of the models, or why they cannot be tiled.
    pub fn tile_spec(&self) -> Result<Result<TileSpec, String>> {
        self.fit.tile_spec()
    }

    /// Segments an image. `progress` gets a fraction from 0 to 1 and may cancel by returning an error. Where `f16` cannot
    /// hold some value of the network, the image is segmented again in `f32`, with a warning in the log and
    /// [`Segmentation::fallback`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn segment(
        &mut self,
        image: &Image,
        options: &SegmentOptions,
        progress: impl FnMut(f64) -> Result<()>,
    ) -> Result<Segmentation> {
        block_on(self.segment_async(image, options, progress))
    }

    /// [`Self::segment`] as a future. Dropped before its end it is a cancelled run: the segmenter stays usable.
    pub async fn segment_async(
        &mut self,
        image: &Image,
        options: &SegmentOptions,
        progress: impl FnMut(f64) -> Result<()>,
    ) -> Result<Segmentation> {
        let mut collected = Collected { probabilities: options.probabilities, ..Default::default() };
        let mut source = InMemory::borrowed(image);
        let run = self.stream(&mut source, options, vec![&mut collected], progress).await?;
        let mask = Mask::new(image.width(), image.height(), run.class_pixels.len(), collected.ids)?;
        let probabilities = options.probabilities.then_some(collected.planes);
        let Streamed { tiles, tile, precision, fallback, notes, .. } = run;
        Ok(Segmentation { mask, probabilities, tiles, tile, precision, fallback, notes })
    }

    /// Segments an image of any size: its rows go to the sinks as they become complete, and neither the image nor its
    /// results are ever in memory as a whole. Sinks are finished once all rows went through. `progress` and `f16` are as in
    /// [`Self::segment`]; [`SegmentOptions::probabilities`] is what sinks say.
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
    /// images of one size that are a single tile each are run together; where that fails, each is done alone.
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

    /// Several images in batches, if they suit each other and nothing goes wrong.
    async fn together(
        &mut self,
        tasks: &mut [ImageTask<'_>],
        options: &SegmentOptions,
        progress: &mut impl FnMut(f64) -> Result<()>,
    ) -> Option<Vec<Streamed>> {
        let first = tasks.first()?.source.info();
        if tasks.iter().any(|t| t.source.info() != first) {
            return None;
        }
        let mut images = Vec::new();
        for task in tasks {
            images.push(self.prepare(&mut *task.source, borrowed(&mut task.sinks), options).ok()?);
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
        let mut image = [self.prepare(source, sinks, options)?];
        let backend = self.backend_for(options);
        let work = async |b: &Backend| self.stream_on(b, &mut image, options, &mut progress).await;
        let (run, fallback) = backend.or_f32_async(work).await?;
        match run.into_iter().next() {
            Some(run) => Ok(Streamed { fallback, ..run }),
            None => Err(Error::invalid("segmenter", "gave nothing")),
        }
    }

    fn prepare<'a>(
        &self,
        source: &'a mut dyn ImageSource,
        sinks: Vec<&'a mut dyn BandSink>,
        options: &SegmentOptions,
    ) -> Result<Prepared<'a>> {
        if let Some((model, why)) = self.fit.ensemble.models().find_map(|m| Some((m, m.architecture.unfit()?))) {
            let reason = format!("{why}; it cannot segment. `unet run` gives its output");
            return Err(Error::invalid(&model.name, reason));
        }
        let needs = sinks.iter().fold(Needs::default(), |n, s| n.or(s.needs()));
        let map = ChannelMap::of(&source.info(), &source.channel_names(), self.model().architecture.in_channels())?;
        let (affines, contrast) = self.measure(source, options, needs, &map)?;
        let SourceInfo { width, height, channels, .. } = source.info();
        let (classes, planes) = (self.fit.ensemble.classes(), self.fit.ensemble.planes());
        let info = BandInfo { width, height, channels, classes, planes, contrast };
        Ok(Prepared { source, sinks, info, needs, affines, channels: map })
    }

    /// How pixels are normalised, for each model, and what is shown black and white.
    fn measure(
        &self,
        source: &mut dyn ImageSource,
        options: &SegmentOptions,
        needs: Needs,
        map: &ChannelMap,
    ) -> Result<Measurement> {
        let rules =
            self.fit.ensemble.models().map(|m| options.normalisation.as_ref().unwrap_or(&m.metadata.normalisation));
        let info = source.info();
        let channels = self.model().architecture.in_channels();
        check_rows(&*source, options.memory)?;
        let input = SourceInfo { channels, ..info };
        let pixels = rules.map(|rule| Ok((rule, Collector::new(input, requested(rule)?))));
        let mut pixels = pixels.collect::<Result<Vec<_>>>()?;
        let shown = if needs.contrast { STRETCH.to_vec() } else { Vec::new() };
        let mut shown = Collector::new(info, StatisticsRequest { percentiles: shown, ..StatisticsRequest::default() });
        let mut all = Vec::new();
        for (rule, pixels) in &mut pixels {
            if info.sample == Sample::F32 || reads_integers(rule) {
                all.push((pixels, Some(map)));
            }
        }
        if needs.contrast {
            all.push((&mut shown, None));
        }
        collect(source, &mut all)?;
        let contrast = needs.contrast.then(|| {
            let percentiles = (0..info.channels.min(SHOWN)).map(|c| shown.percentiles(c));
            joint(&percentiles.filter_map(|p| <[f64; 2]>::try_from(p).ok()).collect::<Vec<_>>())
        });
        let affines = pixels.iter().map(|(rule, pixels)| maps(pixels, input, rule));
        Ok((affines.collect::<Result<_>>()?, contrast))
    }

    /// Runs one image in tiles; or several of one size, together, if each is a single tile.
    async fn stream_on(
        &mut self,
        backend: &Backend,
        images: &mut [Prepared<'_>],
        options: &SegmentOptions,
        progress: &mut impl FnMut(f64) -> Result<()>,
    ) -> Result<Vec<Streamed>> {
        let needs = images.iter().fold(Needs::default(), |n, p| n.or(p.needs));
        let outputs = TileOutputs { probabilities: needs.probabilities, decision: options.blend == Blend::Gaussian };
        let channels = self.model().architecture.in_channels();
        let infos: Vec<BandInfo> = images.iter().map(|p| p.info.clone()).collect();
        let budget = |(p, info): (&Prepared, _)| {
            Budget::new(&*p.source, options, (channels, info, p.needs), self.fit.ensemble.runs())
        };
        let budgets: Vec<Budget> = images.iter().zip(&infos).map(budget).collect();
        let (Some(info), Some((budget, others))) = (infos.first(), budgets.split_first()) else {
            return Ok(Vec::new());
        };
        let cut = self.fit.plan(backend, info, options, outputs, budget)?;
        let (shape, tiles) = match &cut {
            Cut::Exact(g) => ([g.rows.window, g.columns.window], [g.rows.windows.len(), g.columns.windows.len()]),
            Cut::Blended(g) => ([g.rows.tile, g.columns.tile], [g.rows.starts.len(), g.columns.starts.len()]),
        };
        let count = tiles[0] * tiles[1];
        if count > 1 && images.len() > 1 {
            return Err(Error::invalid("pictures", "several are run together as single tiles only"));
        }
        let others = others.iter().map(|b| b.host(shape)).sum();
        let key = TileKey { shape, outputs, exact: options.exact, precision: backend.precision(), batch: 1 };
        let batch = self.fit.batch(backend, key, count * images.len(), options, (budget, others))?;
        let key = TileKey { batch, ..key };
        if self.ready.as_ref().is_none_or(|r| r.0 != key) {
            // The old buffers go before the new ones come.
            self.ready = None;
            let runner = TileRunner::new_async(backend, &self.fit.ensemble, shape, outputs, batch).await?;
            self.ready = Some((key, runner));
        }
        let Some((_, runner)) = &mut self.ready else { return Err(Error::invalid("segmenter", "is not ready")) };
        let rule = (runner.rule(), self.fit.ensemble.planes());
        let (keep, at_once) = (budget.cache(shape[0]), runner.tiles_at_once());
        let (mut ongoing, mut affines) = (Vec::new(), Vec::new());
        for (Prepared { source, sinks, needs, affines: own, channels, .. }, info) in images.iter_mut().zip(&infos) {
            source.set_cache(keep);
            let assembly: Box<dyn Assembly> = match &cut {
                Cut::Exact(grid) => Box::new(Exact::new(grid)),
                Cut::Blended(grid) => Box::new(Blended::new(grid, rule.0, rule.1)),
            };
            let windows = Windows { source: &mut **source, channels, coloured: false };
            ongoing.push(ImageInProgress { windows, out: Emitter::new(info, *needs, sinks)?, assembly });
            affines.push(&own[..]);
        }
        let mut networks = Networks { runner, affines };
        run_tiles(&mut ongoing, at_once, &mut networks, progress).await?;
        let done = |ImageInProgress { windows, out, .. }: ImageInProgress| {
            let (class_pixels, image, precision) = (out.counts, windows.source.info(), backend.precision());
            let mut notes = windows.source.notes();
            notes.extend(windows.channels.note(windows.coloured).cloned());
            Streamed { image, class_pixels, tiles, tile: shape, batch, precision, fallback: None, notes }
        };
        Ok(ongoing.into_iter().map(done).collect())
    }
}

/// Networks that tiles go through, and how each image is normalised for them.
struct Networks<'a> {
    runner: &'a mut TileRunner,
    affines: Vec<&'a [Vec<ChannelAffine>]>,
}

impl RunTiles for Networks<'_> {
    async fn run(
        &mut self,
        waiting: &[QueuedTile],
        progress: impl FnMut(f64) -> Result<()>,
    ) -> Result<Vec<TileResult>> {
        let affines = |w: &QueuedTile| self.affines.get(w.image).copied().unwrap_or_default();
        let tiles = waiting.iter().map(|w| TileInput { place: &w.place, pixels: &w.pixels, affines: affines(w) });
        let tiles: Vec<TileInput> = tiles.collect();
        let results = self.runner.run_async(&tiles, progress).await?.into_iter();
        let result = |TileOutput { mask, decision: mut planes, probabilities }| {
            planes.extend(probabilities);
            TileResult { mask, planes }
        };
        Ok(results.map(result).collect())
    }
}

fn borrowed(sinks: &mut [Box<dyn BandSink>]) -> Vec<&mut dyn BandSink> {
    sinks.iter_mut().map(|s| &mut **s as &mut dyn BandSink).collect()
}

#[cfg(test)]
mod tests;
