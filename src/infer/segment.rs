//! The segmenter: a picture in, class ids (and probabilities) out, in tiles that fit the device.

use super::choose::choose;
use super::fixed::fixed_grid;
use super::image::Picture;
use super::normalise::{ChannelAffine, normalise};
use super::output::{Ids, Mask};
use super::tile::{Tile, TileGrid, TileSpec, source_window};
use crate::error::{Error, Result};
use crate::graph::{Graph, footprint};
use crate::model::Model;
use crate::ops::{ExportNchw, ImageIn, ImageInfo, ImportNchw, MaskOut};
use crate::session::{Backend, Executable};
use crate::tensor::{Precision, Shape, TensorDesc};
use std::collections::HashMap;

/// How pictures are segmented.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentOptions {
    /// Also give the probability of every class.
    pub probabilities: bool,
    /// Largest tile edge, input pixels; the planner shrinks it further if it must.
    pub tile: Option<usize>,
    /// Device memory to stay under, bytes.
    pub memory: u64,
    /// The same bits whatever the tiles: only kernels that add up every pixel's sum in the same order wherever the pixel
    /// lies. Without it, Winograd's blocks of 4x4 pixels round differently near the edges of tiles (about 1e-6 in f32, more in f16).
    pub exact: bool,
}

impl Default for SegmentOptions {
    fn default() -> Self {
        Self { probabilities: false, tile: None, memory: 2 << 30, exact: false }
    }
}

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

/// A model on a backend, ready for pictures of any size. Tile shapes it has met stay compiled and allocated.
#[derive(Debug)]
pub struct Segmenter {
    backend: Backend,
    model: Model,
    /// What runs one kind of tile. One entry: the next picture is likely of the same size.
    ready: Option<(TileKey, Executable)>,
    /// Kinds of tile met so far under a memory budget, with what stands against them: the parts of an [`Error::Limit`].
    /// Planning takes milliseconds, and pictures come in series.
    tried: HashMap<(TileKey, u64), Option<[String; 3]>>,
}

/// A kind of tile: rows and columns of its window, with probabilities or not, exact or not, how numbers are stored.
type TileKey = ([usize; 2], bool, bool, Precision);

const WINDOW: &str = "window";
const INFO: &str = "info";
const MASK: &str = "mask";
const PROBABILITY: &str = "probability";

impl Segmenter {
    /// A segmenter. Nothing is compiled or allocated yet.
    pub fn new(backend: Backend, model: Model) -> Self {
        Self { backend, model, ready: None, tried: HashMap::new() }
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Bytes of device memory held.
    pub fn device_bytes(&self) -> u64 {
        self.ready.as_ref().map_or(0, |r| r.1.device_bytes())
    }

    /// What tiling must know of the model, or why it cannot be tiled.
    pub fn tile_spec(&self) -> Result<Result<TileSpec, String>> {
        tile_spec(&self.model)
    }

    /// Segments a picture. `progress` gets a fraction from 0 to 1 and may cancel by returning an error. Where `f16` cannot
    /// hold some value of the network, the picture is segmented again in `f32`, with a warning in the log and
    /// [`Segmentation::fallback`].
    pub fn segment(
        &mut self,
        picture: &Picture,
        options: &SegmentOptions,
        mut progress: impl FnMut(f64) -> Result<()>,
    ) -> Result<Segmentation> {
        let backend = if options.exact { self.backend.position_independent() } else { self.backend.clone() };
        let (result, fallback) = backend.or_f32(|b| self.segment_on(b, picture, options, &mut progress))?;
        Ok(Segmentation { fallback, ..result })
    }

    fn segment_on(
        &mut self,
        backend: &Backend,
        picture: &Picture,
        options: &SegmentOptions,
        progress: &mut impl FnMut(f64) -> Result<()>,
    ) -> Result<Segmentation> {
        let channels = self.model.architecture.in_channels();
        let picture = picture.to_channels(channels)?;
        let affine = normalise(&picture, &self.model.metadata.normalisation)?;
        let grid = self.plan(backend, picture.height(), picture.width(), options)?;
        let shape = [grid.rows.window, grid.columns.window];
        let key = (shape, options.probabilities, options.exact, backend.precision());
        if self.ready.as_ref().is_none_or(|r| r.0 != key) {
            // The old buffers go before the new ones come.
            self.ready = None;
            let graph = tile_graph(&self.model, shape, options.probabilities)?;
            self.ready = Some((key, backend.prepare(&graph, self.model.stored())?));
        }
        let Some((_, executable)) = &mut self.ready else { return Err(Error::invalid("segmenter", "is not ready")) };
        let classes = self.model.classes().len();
        let mut out = Assembly::new(
            &picture,
            classes,
            if options.probabilities { self.model.architecture.out_channels() } else { 0 },
        )?;
        let count = grid.len();
        for (i, tile) in grid.iter().enumerate() {
            let (window, info) = tile_input(&picture, &tile, shape, &affine)?;
            executable.write(WINDOW, &window)?;
            executable.write(INFO, &info)?;
            executable.run(|done, of| progress((i as f64 + done as f64 / of.max(1) as f64) / count as f64))?;
            out.keep_mask(&tile, executable.read(MASK)?.data(), grid.columns.output);
            if options.probabilities {
                out.keep_probabilities(
                    &tile,
                    executable.read(PROBABILITY)?.data(),
                    [grid.rows.output, grid.columns.output],
                );
            }
        }
        out.finish([grid.rows.windows.len(), grid.columns.windows.len()], shape, backend.precision())
    }

    /// The tiles that fit the device and the memory budget with the least work.
    fn plan(&mut self, backend: &Backend, height: usize, width: usize, options: &SegmentOptions) -> Result<TileGrid> {
        let rule = self.model.architecture.size_rule();
        let fixed = self.model.architecture.fixed_size();
        if fixed != [None; 2] {
            let [h, w] =
                [(fixed[0], height), (fixed[1], width)].map(|(n, length)| n.unwrap_or(length.max(rule.minimum)));
            let grid = fixed_grid([height, width], [h, w], tile_spec(&self.model)?, rule.margin)?;
            return self.fits(backend, [h, w], options).map(|()| grid);
        }
        // A network that cannot be tiled still runs on the whole picture: any halo does for a single window.
        let whole_spec = TileSpec { align: rule.step, halo: 0, margin: rule.margin, minimum: rule.minimum };
        let whole = TileGrid::plan(height, width, (usize::MAX >> 1, usize::MAX >> 1), &whole_spec)?;
        let longest = whole.rows.window.max(whole.columns.window);
        let cap = options.tile.unwrap_or(longest);
        let mut problem = None;
        if cap >= longest {
            match self.fits(backend, [whole.rows.window, whole.columns.window], options) {
                Ok(()) => return Ok(whole),
                Err(e @ Error::Limit { .. }) => problem = Some(e),
                Err(e) => return Err(e),
            }
        }
        let spec = tile_spec(&self.model)?.map_err(|why| {
            let first = problem.map_or_else(|| "tiles were asked for".to_string(), |e| e.to_string());
            let what = format!("{width}x{height} picture");
            Error::invalid(what, format!("{first}; and this network cannot be tiled exactly: {why}"))
        })?;
        choose([height, width], cap, &spec, |window| self.fits(backend, window, options))
    }

    /// Whether tiles of `window` rows and columns fit the device and the memory budget.
    fn fits(&mut self, backend: &Backend, window: [usize; 2], options: &SegmentOptions) -> Result<()> {
        let key = ((window, options.probabilities, options.exact, backend.precision()), options.memory);
        if !self.tried.contains_key(&key) {
            let graph = tile_graph(&self.model, window, options.probabilities);
            let problem = match graph.and_then(|g| backend.memory(&g, options.memory)) {
                Ok(_) => None,
                Err(Error::Limit { what, needed, limit }) => Some([what, needed, limit]),
                Err(e) => return Err(e),
            };
            self.tried.insert(key, problem);
        }
        match &self.tried[&key] {
            None => Ok(()),
            Some([what, needed, limit]) => {
                let what = format!("a tile of {}x{} pixels: {what}", window[1], window[0]);
                Err(Error::Limit { what, needed: needed.clone(), limit: limit.clone() })
            }
        }
    }
}

/// What tiling must know of a model, or why it cannot be tiled.
fn tile_spec(model: &Model) -> Result<Result<TileSpec, String>> {
    let rule = model.architecture.size_rule();
    let [h, w] = model.architecture.fixed_size().map(|n| n.unwrap_or(rule.minimum + 4 * rule.step));
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::linear(Shape::new(1, model.architecture.in_channels(), h, w)));
    let x = graph.node("import", ImportNchw, &[x])?;
    let built = model.architecture.build(&mut graph, x)?;
    graph.output(MASK, built.decision);
    let graph = graph.without_dead_nodes();
    let (Some((_, input)), Some((_, output))) = (graph.inputs().next(), graph.outputs().first().cloned()) else {
        return Err(Error::invalid("model", "has no input or output"));
    };
    let mut halo = 0;
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

/// Pixels in, class ids (and probabilities) out, for tiles of one shape.
fn tile_graph(model: &Model, [h, w]: [usize; 2], probabilities: bool) -> Result<Graph> {
    let channels = model.architecture.in_channels();
    let mut graph = Graph::new();
    let window = graph.input(WINDOW, TensorDesc::linear(Shape::new(1, channels, h, w)));
    let info = graph.input(INFO, TensorDesc::linear(Shape::new(1, 1, 1, ImageInfo::len(channels))));
    let x = graph.node("image", ImageIn { height: h, width: w }, &[window, info])?;
    let built = model.architecture.build(&mut graph, x)?;
    let mask = graph.node("mask", MaskOut { rule: built.rule }, &[built.decision])?;
    graph.output(MASK, mask);
    if probabilities {
        let exported = graph.node("export probability", ExportNchw, &[built.probability])?;
        graph.output(PROBABILITY, exported);
    }
    Ok(graph.without_dead_nodes())
}

/// The raw pixels a tile needs, laid out in a window as large as the tile, and where they belong.
fn tile_input(
    picture: &Picture,
    tile: &Tile,
    [h, w]: [usize; 2],
    affine: &[ChannelAffine],
) -> Result<(Vec<f32>, Vec<f32>)> {
    let rows = source_window(tile.y.start, h, picture.height());
    let columns = source_window(tile.x.start, w, picture.width());
    let pixels = picture.window(columns.start, rows.start, columns.len(), rows.len())?;
    let mut window = vec![0.0; picture.channels() * h * w];
    for (i, line) in pixels.chunks_exact(columns.len()).enumerate() {
        let (c, y) = (i / rows.len(), i % rows.len());
        let at = (c * h + y) * w;
        window[at..at + line.len()].copy_from_slice(line);
    }
    let info = ImageInfo {
        tile: [tile.y.start as i64, tile.x.start as i64],
        window: [rows.start, columns.start],
        picture: [picture.height(), picture.width()],
        channels: affine.iter().map(|a| [a.offset, a.scale, a.low, a.high]).collect(),
    };
    Ok((window, info.words()))
}

/// Zeros, or an error where a failed allocation would end the program.
fn zeros<T: Copy + Default>(len: usize) -> Result<Vec<T>> {
    let mut v = Vec::new();
    let error = |_| Error::invalid("picture", format!("its {len} results do not fit in memory"));
    v.try_reserve_exact(len).map_err(error)?;
    v.resize(len, T::default());
    Ok(v)
}

/// The results of all tiles, put together.
struct Assembly {
    width: usize,
    height: usize,
    classes: usize,
    ids: Ids,
    probabilities: Vec<f32>,
}

impl Assembly {
    fn new(picture: &Picture, classes: usize, planes: usize) -> Result<Self> {
        let (width, height) = (picture.width(), picture.height());
        let ids = if classes <= 256 { Ids::U8(zeros(width * height)?) } else { Ids::U16(zeros(width * height)?) };
        let probabilities = zeros((width * height).saturating_mul(planes))?;
        Ok(Self { width, height, classes, ids, probabilities })
    }

    fn keep_mask(&mut self, tile: &Tile, from: &[f32], stride: usize) {
        for (row, y) in tile.y.keep.clone().enumerate() {
            let start = (tile.y.offset + row) * stride + tile.x.offset;
            let line = &from[start..start + tile.x.keep.len()];
            let at = y * self.width + tile.x.keep.start;
            match &mut self.ids {
                Ids::U8(ids) => ids[at..at + line.len()].iter_mut().zip(line).for_each(|(id, &v)| *id = v as u8),
                Ids::U16(ids) => ids[at..at + line.len()].iter_mut().zip(line).for_each(|(id, &v)| *id = v as u16),
            }
        }
    }

    fn keep_probabilities(&mut self, tile: &Tile, from: &[f32], [h, w]: [usize; 2]) {
        let planes = from.len() / (h * w);
        for (c, (row, y)) in (0..planes).flat_map(|c| tile.y.keep.clone().enumerate().map(move |r| (c, r))) {
            let start = (c * h + tile.y.offset + row) * w + tile.x.offset;
            let line = &from[start..start + tile.x.keep.len()];
            let at = (c * self.height + y) * self.width + tile.x.keep.start;
            self.probabilities[at..at + line.len()].copy_from_slice(line);
        }
    }

    fn finish(self, tiles: [usize; 2], tile: [usize; 2], precision: Precision) -> Result<Segmentation> {
        let mask = Mask::new(self.width, self.height, self.classes, self.ids)?;
        let probabilities = (!self.probabilities.is_empty()).then_some(self.probabilities);
        Ok(Segmentation { mask, probabilities, tiles, tile, precision, fallback: None })
    }
}
