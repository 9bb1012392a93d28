//! The segmenter: a picture in, class ids (and probabilities) out, in tiles that fit the device.

use super::band::{Band, BandInfo, BandSink, Needs};
use super::blend::{BlendGrid, blended};
use super::budget::{Budget, OF_MEMORY};
use super::choose::choose;
use super::ensemble::{Ensemble, TileOutputs, TileRunner};
use super::fixed::fixed_grid;
use super::image::{Picture, Sample};
use super::mask::{Ids, Mask};
use super::normalise::{ChannelAffine, Collector, Wanted, collect, maps, reads_integers, wanted};
use super::options::{Blend, SegmentOptions};
use super::orient::TilePlace;
use super::output::{SHOWN, STRETCH, joint};
use super::source::{InMemory, PictureSource, SourceInfo};
use super::stream::{Emitter, TileResult, Windows, exact, no_ids, zeros};
use super::tile::{TileGrid, TileSpec};
use crate::error::{Error, Result};
use crate::graph::{Graph, footprint};
use crate::model::Model;
use crate::ops::ImportNchw;
use crate::session::Backend;
use crate::tensor::{Precision, Shape, TensorDesc};
use std::collections::HashMap;

/// A segmented picture.
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
}

/// How a picture was segmented whose rows went to sinks.
#[derive(Clone, Debug, PartialEq)]
pub struct Streamed {
    /// What the picture is.
    pub picture: SourceInfo,
    /// Pixels of every class.
    pub class_pixels: Vec<u64>,
    /// Rows and columns of tiles it took.
    pub tiles: [usize; 2],
    /// Rows and columns of a tile's input, pixels.
    pub tile: [usize; 2],
    /// How activations and weights were stored.
    pub precision: Precision,
    /// Why that is `f32` where the backend is for `f16`: what `f16` could not hold.
    pub fallback: Option<String>,
}

/// A model on a backend, ready for pictures of any size. Tile shapes it has met stay compiled and allocated.
#[derive(Debug)]
pub struct Segmenter {
    backend: Backend,
    ensemble: Ensemble,
    /// What runs one kind of tile. One entry: the next picture is likely of the same size.
    ready: Option<(TileKey, TileRunner)>,
    /// Kinds of tile met so far under a memory budget, with what stands against them: the parts of an [`Error::Limit`].
    /// Planning takes milliseconds, and pictures come in series.
    tried: HashMap<(TileKey, u64), Option<[String; 3]>>,
}

/// A kind of tile: rows and columns of its window, its outputs, exact or not, how numbers are stored.
type TileKey = ([usize; 2], TileOutputs, bool, Precision);

/// How each model's input is normalised, and what is shown black and white.
type Measured = (Vec<Vec<ChannelAffine>>, Option<[f64; 2]>);

/// How a picture is cut.
enum Cut {
    Exact(TileGrid),
    Blended(BlendGrid),
}

impl Segmenter {
    /// A segmenter with a model, or with several as one. Nothing is compiled or allocated yet.
    pub fn new(backend: Backend, models: impl Into<Ensemble>) -> Self {
        Self { backend, ensemble: models.into(), ready: None, tried: HashMap::new() }
    }

    /// The model; of several the first, which agrees with the others in classes and channels.
    pub fn model(&self) -> &Model {
        self.ensemble.first()
    }

    /// Names of the classes that masks hold.
    pub fn classes(&self) -> Vec<String> {
        self.ensemble.classes()
    }

    /// Bytes of device memory held.
    pub fn device_bytes(&self) -> u64 {
        self.ready.as_ref().map_or(0, |r| r.1.device_bytes())
    }

    /// What tiling must know of the models, or why they cannot be tiled.
    pub fn tile_spec(&self) -> Result<Result<TileSpec, String>> {
        self.ensemble.tile_spec(tile_spec)
    }

    /// Segments a picture. `progress` gets a fraction from 0 to 1 and may cancel by returning an error. Where `f16` cannot
    /// hold some value of the network, the picture is segmented again in `f32`, with a warning in the log and
    /// [`Segmentation::fallback`].
    pub fn segment(
        &mut self,
        picture: &Picture,
        options: &SegmentOptions,
        progress: impl FnMut(f64) -> Result<()>,
    ) -> Result<Segmentation> {
        let mut collected = Collected { probabilities: options.probabilities, ..Default::default() };
        let mut source = InMemory::borrowed(picture);
        let run = self.stream(&mut source, options, &mut [&mut collected], progress)?;
        let mask = Mask::new(picture.width(), picture.height(), run.class_pixels.len(), collected.ids)?;
        let probabilities = options.probabilities.then_some(collected.planes);
        let Streamed { tiles, tile, precision, fallback, .. } = run;
        Ok(Segmentation { mask, probabilities, tiles, tile, precision, fallback })
    }

    /// Segments a picture of any size: its rows go to the sinks as they become complete, and neither the picture nor its
    /// results are ever in memory as a whole. Sinks are finished once all rows went through. `progress` and `f16` are as in
    /// [`Self::segment`]; [`SegmentOptions::probabilities`] is what sinks say.
    pub fn segment_to(
        &mut self,
        source: &mut dyn PictureSource,
        options: &SegmentOptions,
        mut sinks: Vec<Box<dyn BandSink>>,
        progress: impl FnMut(f64) -> Result<()>,
    ) -> Result<Streamed> {
        let run = {
            let mut borrowed: Vec<&mut dyn BandSink> =
                sinks.iter_mut().map(|s| &mut **s as &mut dyn BandSink).collect();
            self.stream(source, options, &mut borrowed, progress)?
        };
        sinks.into_iter().try_for_each(|s| s.finish())?;
        Ok(run)
    }

    fn stream(
        &mut self,
        source: &mut dyn PictureSource,
        options: &SegmentOptions,
        sinks: &mut [&mut dyn BandSink],
        mut progress: impl FnMut(f64) -> Result<()>,
    ) -> Result<Streamed> {
        let needs = sinks.iter().fold(Needs::default(), |n, s| n.or(s.needs()));
        let (affines, contrast) = self.measure(source, options, needs)?;
        let SourceInfo { width, height, channels, .. } = source.info();
        let (classes, planes) = (self.ensemble.classes(), self.ensemble.planes());
        let info = BandInfo { width, height, channels, classes, planes, contrast };
        let backend = if options.exact { self.backend.position_independent() } else { self.backend.clone() };
        let run =
            |b: &Backend| self.stream_on(b, source, options, &affines, (&info, needs, &mut *sinks), &mut progress);
        let (run, fallback) = backend.or_f32(run)?;
        Ok(Streamed { fallback, ..run })
    }

    /// How pixels are normalised, for each model, and what is shown black and white.
    fn measure(&self, source: &mut dyn PictureSource, options: &SegmentOptions, needs: Needs) -> Result<Measured> {
        let rules = self.ensemble.models().map(|m| options.normalisation.as_ref().unwrap_or(&m.metadata.normalisation));
        let info = source.info();
        let channels = self.model().architecture.in_channels();
        check_rows(&*source, options.memory)?;
        // Refused before any pixel is read, if it does not fit the network.
        source.read(0, 0, 1, 1)?.to_channels(channels)?;
        let input = SourceInfo { channels, ..info };
        let pixels = rules.map(|rule| Ok((rule, Collector::new(input, wanted(rule)?))));
        let mut pixels = pixels.collect::<Result<Vec<_>>>()?;
        let shown = if needs.contrast { STRETCH.to_vec() } else { Vec::new() };
        let mut shown = Collector::new(info, Wanted { percentiles: shown, ..Wanted::default() });
        let mut all = Vec::new();
        for (rule, pixels) in &mut pixels {
            if info.sample == Sample::F32 || reads_integers(rule) {
                all.push((pixels, Some(channels)));
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

    fn stream_on(
        &mut self,
        backend: &Backend,
        source: &mut dyn PictureSource,
        options: &SegmentOptions,
        affines: &[Vec<ChannelAffine>],
        (info, needs, sinks): (&BandInfo, Needs, &mut [&mut dyn BandSink]),
        progress: &mut dyn FnMut(f64) -> Result<()>,
    ) -> Result<Streamed> {
        let outputs = TileOutputs { probabilities: needs.probabilities, decision: options.blend == Blend::Gaussian };
        let channels = self.model().architecture.in_channels();
        let budget = Budget::new(&*source, options, (channels, info, needs), self.ensemble.runs());
        let cut = self.plan(backend, info, options, outputs, &budget)?;
        let (shape, tiles) = match &cut {
            Cut::Exact(g) => ([g.rows.window, g.columns.window], [g.rows.windows.len(), g.columns.windows.len()]),
            Cut::Blended(g) => ([g.rows.tile, g.columns.tile], [g.rows.starts.len(), g.columns.starts.len()]),
        };
        source.keep(budget.cache(shape[0]));
        let key = (shape, outputs, options.exact, backend.precision());
        if self.ready.as_ref().is_none_or(|r| r.0 != key) {
            // The old buffers go before the new ones come.
            self.ready = None;
            self.ready = Some((key, TileRunner::new(backend, &self.ensemble, shape, outputs)?));
        }
        let Some((_, runner)) = &mut self.ready else { return Err(Error::invalid("segmenter", "is not ready")) };
        let rule = (runner.rule(), self.ensemble.planes());
        let mut run = |place: &TilePlace, pixels: &[f32], progress: &mut dyn FnMut(f64) -> Result<()>| {
            runner.run(place, pixels, affines, progress)?;
            let (mask, mut planes) = (runner.mask().to_vec(), runner.decision().to_vec());
            planes.extend(runner.probabilities());
            Ok(TileResult { mask, planes })
        };
        let mut windows = Windows { source, channels };
        let mut out = Emitter::new(info, needs, sinks)?;
        match &cut {
            Cut::Exact(grid) => exact(&mut windows, grid, &mut out, &mut run, progress)?,
            Cut::Blended(grid) => blended(&mut windows, grid, rule, &mut out, &mut run, progress)?,
        }
        let class_pixels = out.counts;
        let (picture, precision) = (windows.source.info(), backend.precision());
        Ok(Streamed { picture, class_pixels, tiles, tile: shape, precision, fallback: None })
    }

    /// The tiles that fit the device and the memory budget with the least work.
    fn plan(
        &mut self,
        backend: &Backend,
        info: &BandInfo,
        options: &SegmentOptions,
        outputs: TileOutputs,
        budget: &Budget,
    ) -> Result<Cut> {
        let (height, width) = (info.height, info.width);
        let rule = self.ensemble.size_rule();
        let fixed = self.model().architecture.fixed_size();
        if fixed != [None; 2] {
            if self.ensemble.turns() && fixed[0] != fixed[1] {
                return Err(Error::invalid("tta", "a network of one input size that is not square cannot be turned"));
            }
            let least = |length: usize| length.max(rule.minimum);
            let window = [(fixed[0], height), (fixed[1], width)].map(|(n, length)| n.unwrap_or(least(length)));
            self.fits(backend, window, options, outputs, budget)?;
            if options.blend == Blend::Gaussian && rule.margin == 0 {
                return Ok(Cut::Blended(BlendGrid::new([height, width], window)));
            }
            return fixed_grid([height, width], window, self.tile_spec()?, rule.margin).map(Cut::Exact);
        }
        // A network that cannot be tiled still runs on the whole picture: any halo does for a single window.
        let whole_spec = TileSpec { align: rule.step, halo: 0, margin: rule.margin, minimum: rule.minimum };
        if options.blend == Blend::Gaussian {
            return self
                .plan_blend(backend, [height, width], options, &whole_spec, (outputs, budget))
                .map(Cut::Blended);
        }
        let whole = TileGrid::plan(height, width, (usize::MAX >> 1, usize::MAX >> 1), &whole_spec)?;
        let longest = whole.rows.window.max(whole.columns.window);
        let cap = options.tile.unwrap_or(longest);
        let mut problem = None;
        let fits = |segmenter: &mut Self, window| segmenter.fits(backend, window, options, outputs, budget);
        if cap >= longest {
            match fits(self, [whole.rows.window, whole.columns.window]) {
                Ok(()) => return Ok(Cut::Exact(whole)),
                Err(e @ Error::Limit { .. }) => problem = Some(e),
                Err(e) => return Err(e),
            }
        }
        let spec = self.tile_spec()?.map_err(|why| {
            let first = problem.map_or_else(|| "tiles were asked for".to_string(), |e| e.to_string());
            let what = format!("{width}x{height} picture");
            let way = "with `--blend gaussian` it is tiled as nnU-Net does it, which is not the whole picture's result";
            Error::invalid(what, format!("{first}; and this network cannot be tiled exactly: {why}; {way}"))
        })?;
        // What a pixel of a tile takes on the device decides how much a row of the band weighs against it.
        let smallest = spec.smallest_tile()?;
        let mut least = 0;
        for graph in self.ensemble.tile_graphs([smallest; 2], outputs)? {
            let memory = backend.memory(&graph, u64::MAX)?;
            least += memory.slots + memory.ports;
        }
        let pixel = least / (smallest * smallest).max(1) as u64;
        let bytes = |[h, w]: [usize; 2]| u128::from(pixel) * h as u128 * w as u128 + u128::from(budget.host([h, w]));
        choose([height, width], cap, &spec, bytes, |window| fits(self, window)).map(Cut::Exact)
    }

    /// Overlapping tiles: of the edge asked for, or else the largest up to 512 pixels that fit.
    fn plan_blend(
        &mut self,
        backend: &Backend,
        size: [usize; 2],
        options: &SegmentOptions,
        spec: &TileSpec,
        (outputs, budget): (TileOutputs, &Budget),
    ) -> Result<BlendGrid> {
        /// Edge of tiles, where none is asked for.
        const EDGE: usize = 512;
        if spec.margin > 0 {
            let reason = "a network without padding is tiled exactly; there is nothing to blend";
            return Err(Error::invalid("blend gaussian", reason));
        }
        let mut edge = spec.largest_within(options.tile.unwrap_or(EDGE)).max(spec.minimum);
        loop {
            let mut window = [0; 2];
            for (w, length) in window.iter_mut().zip(size) {
                *w = edge.min(spec.whole(length)?);
            }
            match self.fits(backend, window, options, outputs, budget) {
                Ok(()) => return Ok(BlendGrid::new(size, window)),
                Err(Error::Limit { .. }) if edge > spec.minimum => {
                    edge = spec.largest_within(edge * 3 / 4).max(spec.minimum);
                }
                Err(e) => return Err(e),
            }
        }
    }

    /// Whether tiles of `window` rows and columns fit the device and the memory budget.
    fn fits(
        &mut self,
        backend: &Backend,
        window: [usize; 2],
        options: &SegmentOptions,
        outputs: TileOutputs,
        budget: &Budget,
    ) -> Result<()> {
        let name = format!("a tile of {}x{} pixels", window[1], window[0]);
        // What the host does not need is the device's.
        let memory = budget.device(window).map_err(|[what, needed, limit]| Error::Limit {
            what: format!("{name}: {what}"),
            needed,
            limit,
        })?;
        let key = ((window, outputs, options.exact, backend.precision()), memory);
        if !self.tried.contains_key(&key) {
            // What one session takes the next cannot have.
            let all = self.ensemble.tile_graphs(window, outputs)?;
            let fit = |left: u64, graph: &Graph| Ok(left - backend.memory(graph, left)?.total());
            let problem = match all.iter().try_fold(memory, fit) {
                Ok(_) => None,
                Err(Error::Limit { what, needed, limit }) => Some([what, needed, limit]),
                Err(e) => return Err(e),
            };
            self.tried.insert(key, problem);
        }
        match self.tried.get(&key).cloned().flatten() {
            None => Ok(()),
            Some([what, needed, limit]) => {
                // The user knows the whole of it, not what is left for the device.
                let limit = if limit.ends_with(OF_MEMORY) { budget.shared(window) } else { limit };
                Err(Error::Limit { what: format!("{name}: {what}"), needed, limit })
            }
        }
    }
}

/// What tiling must know of a model, or why it cannot be tiled.
/// Fails if not even a row of the picture, with the pieces that its file is decoded in, can be in memory: statistics are
/// gathered row by row.
fn check_rows(source: &dyn PictureSource, memory: u64) -> Result<()> {
    let least = source.info().row_bytes().saturating_add(source.held_bytes());
    if least <= memory {
        return Ok(());
    }
    let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / (1u64 << 20) as f64);
    Err(Error::Limit {
        what: "a row of the picture, in the pieces that its file is decoded in,".into(),
        needed: mib(least),
        limit: format!("{} {OF_MEMORY}", mib(memory)),
    })
}

fn tile_spec(model: &Model) -> Result<Result<TileSpec, String>> {
    // One rule for both axes: it does not matter which is which.
    let architecture = model.architecture.unturned().unwrap_or_else(|| model.architecture.clone());
    let rule = architecture.size_rule();
    let [h, w] = architecture.fixed_size().map(|n| n.unwrap_or(rule.minimum + 4 * rule.step));
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::linear(Shape::new(1, architecture.in_channels(), h, w)));
    let x = graph.node("import", ImportNchw, &[x])?;
    let built = architecture.build(&mut graph, x)?;
    graph.output("decision", built.decision);
    let graph = graph.without_dead_nodes();
    let (Some((_, input)), Some((_, output))) = (graph.inputs().next(), graph.outputs().first().cloned()) else {
        return Err(Error::invalid("model", "has no input or output"));
    };
    let untrusted = architecture.untrusted();
    let mut halo = untrusted[0].max(untrusted[1]).next_multiple_of(rule.step);
    for axis in 0..2 {
        match footprint(&graph, input, output, axis) {
            Ok(f) if f.align > rule.step || !rule.step.is_multiple_of(f.align) => {
                return Err(Error::invalid("model", format!("alignment {} does not divide {}", f.align, rule.step)));
            }
            // Without padding every output pixel of a window is right, however near its edge.
            Ok(_) if rule.margin > 0 => {}
            // Kept regions begin and end at multiples of `align`, as the footprint's blocks do.
            Ok(f) => halo = halo.max(f.before.max(f.after).next_multiple_of(rule.step)),
            Err(why) => return Ok(Err(why)),
        }
    }
    Ok(Ok(TileSpec { align: rule.step, halo, margin: rule.margin, minimum: rule.minimum }))
}

/// All rows, put together in memory.
struct Collected {
    probabilities: bool,
    width: usize,
    height: usize,
    ids: Ids,
    planes: Vec<f32>,
}

impl Default for Collected {
    fn default() -> Self {
        Self { probabilities: false, width: 0, height: 0, ids: Ids::U8(Vec::new()), planes: Vec::new() }
    }
}

impl BandSink for Collected {
    fn needs(&self) -> Needs {
        Needs { probabilities: self.probabilities, ..Needs::default() }
    }

    fn start(&mut self, info: &BandInfo) -> Result<()> {
        (self.width, self.height) = (info.width, info.height);
        let pixels = info.width * info.height;
        self.ids = no_ids(info.classes.len(), pixels)?;
        self.planes = zeros(if self.probabilities { pixels.saturating_mul(info.planes) } else { 0 })?;
        Ok(())
    }

    fn band(&mut self, band: &Band) -> Result<()> {
        fn copy<T: Copy>(to: &mut [T], at: usize, from: &[T]) {
            if let Some(to) = to.get_mut(at..at + from.len()) {
                to.copy_from_slice(from);
            }
        }
        let at = band.first * self.width;
        match (&mut self.ids, band.classes) {
            (Ids::U8(to), Ids::U8(from)) => copy(to, at, from),
            (Ids::U16(to), Ids::U16(from)) => copy(to, at, from),
            _ => return Err(Error::invalid("band", "has ids of another size")),
        }
        let planes = band.probabilities.unwrap_or_default().chunks_exact((band.height * band.width).max(1));
        for (c, plane) in planes.enumerate() {
            copy(&mut self.planes, (c * self.height) * self.width + at, plane);
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
