//! The choice of tiles and batch size that fit the device and the memory budget.

use super::assembly::{Assembly, Exact, TilePositions};
use super::blend::{BlendGrid, Blended};
use super::budget::Budget;
use super::fixed_size::fixed_grid;
use super::search::choose;
use crate::error::{Error, Hint, Message, Result};
use crate::graph::{edge_pixels, footprint};
use crate::infer::ensemble::Ensemble;
use crate::infer::options::{Blend, SegmentOptions};
use crate::infer::tile::graph::TileOutputs;
use crate::infer::tile::grid::{TileGrid, TileSpec, Tileability};
use crate::model::{Model, built};
use crate::ops::MaskRule;
use crate::session::{Backend, Excess, PlannedGraph, Planning};
use crate::tensor::{Precision, Shape};
use crate::text::mib;
use std::collections::HashMap;

/// Default side of blended tiles.
const EDGE: usize = 512;

/// A kind of tile, with its batch size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::low_level::infer) struct TileKind {
    /// Rows and columns of its window.
    pub shape: [usize; 2],
    /// Tiles per run.
    pub batch: usize,
    pub outputs: TileOutputs,
    pub exact: bool,
    /// Precision of activations and weights.
    pub precision: Precision,
}

/// An image to divide into tiles.
#[derive(Clone, Copy)]
pub(in crate::low_level::infer) struct CutRequest<'a> {
    pub backend: &'a Backend,
    pub options: &'a SegmentOptions,
    pub outputs: TileOutputs,
    /// Rows and columns of the image.
    pub size: [usize; 2],
    pub budget: &'a Budget<'a>,
}

impl CutRequest<'_> {
    fn kind(&self, shape: [usize; 2], batch: usize) -> TileKind {
        let precision = self.backend.precision();
        TileKind { shape, batch, outputs: self.outputs, exact: self.options.exact, precision }
    }
}

/// How an image is divided, and how its tiles are run.
pub(in crate::low_level::infer) struct TilePlan {
    pub cut: Cut,
    pub kind: TileKind,
    /// Cache size for the source, in bytes.
    pub cache: u64,
    /// Device memory that the host leaves, in bytes.
    pub memory: u64,
}

/// How an image is divided.
pub(in crate::low_level::infer) enum Cut {
    Exact(TileGrid),
    Blended(BlendGrid),
}

impl Cut {
    /// Where the tiles lie.
    pub(crate) fn positions(&self) -> TilePositions {
        match self {
            Self::Exact(grid) => grid.into(),
            Self::Blended(grid) => grid.into(),
        }
    }

    /// Creates the assembly of the tiles. If they are averaged, `rule` decides on `planes` planes.
    pub(crate) fn assembly(&self, rule: MaskRule, planes: usize) -> Box<dyn Assembly + '_> {
        match self {
            Self::Exact(grid) => Box::new(Exact::new(grid)),
            Self::Blended(grid) => Box::new(Blended::new(grid, rule, planes)),
        }
    }
}

/// Why a kind of tile does not fit the device.
#[derive(Clone, Debug)]
enum Obstacle {
    /// The caller's memory limit.
    Memory(Excess),
    /// A device limit, as the parts of an [`Error::Limit`].
    Device { what: String, needed: String, limit: String },
}

impl From<Obstacle> for Error {
    fn from(obstacle: Obstacle) -> Self {
        match obstacle {
            Obstacle::Memory(excess) => excess.into(),
            Obstacle::Device { what, needed, limit } => Self::Limit { what, needed, limit },
        }
    }
}

/// Finds tiles for an ensemble and caches the results: planning takes milliseconds, and images come in series.
#[derive(Debug)]
pub(in crate::low_level::infer) struct TilePlanner {
    pub ensemble: Ensemble,
    /// Obstacles by kind of tile and device memory.
    obstacles: HashMap<(TileKind, u64), Option<Obstacle>>,
    /// Plans of the last kind that was found to fit, from which its sessions are created.
    planned: Option<(TileKind, Vec<PlannedGraph>)>,
    /// Whether the network accepts only one image at a time, as an ONNX file may.
    unbatched: bool,
    /// Device memory that tiles may take at most, since the device had no more, and what the latest took; bytes.
    limit: Option<u64>,
    latest: u64,
}

impl TilePlanner {
    pub(crate) fn new(ensemble: Ensemble) -> Self {
        Self { ensemble, obstacles: HashMap::new(), planned: None, unbatched: false, limit: None, latest: 0 }
    }

    /// Whether the models can be tiled exactly.
    pub(crate) fn tileability(&self) -> Result<Tileability> {
        self.ensemble.tileability(tileability)
    }

    /// Plans the tiles of an image. `others` are the budgets of further images of the same size that run with it, if
    /// each is a single tile.
    pub(crate) fn plan(&mut self, request: &CutRequest, others: &[Budget]) -> Result<TilePlan> {
        let cut = self.cut(request)?;
        let positions = cut.positions();
        let (shape, count) = (positions.shape, positions.len());
        if count > 1 && !others.is_empty() {
            return Err(Error::invalid("images", "several run together only if each is a single tile"));
        }
        let host = others.iter().map(|b| b.host(shape)).sum();
        let batch = self.batch(request, shape, count * (1 + others.len()), host)?;
        let taken = request.budget.host(shape) + host + (batch as u64 - 1) * request.budget.tile(shape);
        let memory = self.limited(request.options.limit().rest().saturating_sub(taken));
        Ok(TilePlan { cut, kind: request.kind(shape, batch), cache: request.budget.cache(shape[0]), memory })
    }

    /// Device memory for tiles, of `bytes` that the caller allows.
    fn limited(&self, bytes: u64) -> u64 {
        self.limit.map_or(bytes, |limit| limit.min(bytes))
    }

    /// After the device ran out of memory for the latest kind of tile: tiles take less from now on. Returns the new limit.
    pub(crate) fn lower_limit(&mut self) -> u64 {
        let limit = self.limited(self.latest) / 4 * 3;
        self.limit = Some(limit);
        limit
    }

    /// Forgets what depends on the device.
    pub(crate) fn forget(&mut self) {
        (self.planned, self.limit) = (None, None);
        self.obstacles.clear();
    }

    /// The plans of a kind of tile: those that showed that it fits, or new ones.
    pub(crate) fn plans(&mut self, backend: &Backend, kind: &TileKind) -> Result<Vec<PlannedGraph>> {
        let known = self.take_planned(kind);
        let plans = match known.is_empty() {
            false => known,
            true => match self.planned(backend, *kind, u64::MAX)? {
                Planned::Fits(plans) => plans,
                Planned::Exceeds(excess) => return Err(excess.into()),
            },
        };
        self.latest = plans.iter().map(|p| p.memory.total()).sum();
        Ok(plans)
    }

    /// Takes the plans of a kind of tile, if it is the last that was found to fit.
    pub(crate) fn take_planned(&mut self, kind: &TileKind) -> Vec<PlannedGraph> {
        self.planned.take().filter(|p| p.0 == *kind).map_or_else(Vec::new, |p| p.1)
    }

    /// The tiles with the least work that fit the device and the memory budget.
    fn cut(&mut self, request: &CutRequest) -> Result<Cut> {
        let CutRequest { backend, options, outputs, size: [height, width], budget } = *request;
        let rule = self.ensemble.size_rule();
        let fixed = self.ensemble.first().architecture.fixed_size();
        if fixed != [None; 2] {
            if self.ensemble.transposes() && fixed[0] != fixed[1] {
                return Err(Error::invalid(
                    "tta",
                    "a network of one input size that is not square cannot be rotated by 90 degrees",
                ));
            }
            let min = |length: usize| length.max(rule.minimum);
            let window = [(fixed[0], height), (fixed[1], width)].map(|(n, length)| n.unwrap_or(min(length)));
            self.fits(request, window)?;
            if options.blend == Blend::Gaussian && rule.margin == 0 {
                return Ok(Cut::Blended(BlendGrid::new([height, width], window)));
            }
            return fixed_grid([height, width], window, self.tileability()?, rule.margin).map(Cut::Exact);
        }
        if let Some(cut) = self.tried(request)? {
            return Ok(cut);
        }
        // A network that cannot be tiled still runs on the whole image: for a single window any halo is valid.
        let whole_spec = TileSpec { align: rule.step, halo: 0, margin: rule.margin, minimum: rule.minimum };
        if options.blend == Blend::Gaussian {
            return self.blend(request, &whole_spec).map(Cut::Blended);
        }
        let whole = TileGrid::plan(height, width, (usize::MAX >> 1, usize::MAX >> 1), &whole_spec)?;
        let longest = whole.rows.window.max(whole.columns.window);
        let cap = options.tile.unwrap_or(longest);
        let mut problem = None;
        if cap >= longest {
            match self.fits(request, [whole.rows.window, whole.columns.window]) {
                Ok(()) => return Ok(Cut::Exact(whole)),
                Err(e @ Error::Limit { .. }) => problem = Some(e),
                Err(e) => return Err(e),
            }
        }
        let spec = match self.tileability()? {
            Tileability::Exact(spec) => spec,
            Tileability::Impossible(why) => {
                let first = problem.map_or_else(|| "tiles were requested".to_string(), |e| e.to_string());
                let what = format!("{width}x{height} image");
                let way = match rule.margin {
                    0 => Message::from("with `")
                        .then(Hint::BlendGaussian)
                        .then("` it is tiled as nnU-Net does it, which is not the whole image's result"),
                    _ => "use a smaller image or allow more memory".into(),
                };
                let reason = format!("{first}; and this network cannot be tiled exactly: {why}; ");
                return Err(Error::invalid(what, Message::from(reason).then(way)));
            }
        };
        // The device's bytes per tile pixel determine the weight of a band's row against it.
        let smallest = spec.smallest_tile()?;
        let mut min = 0;
        for graph in self.ensemble.tile_graphs([smallest; 2], outputs, 1)? {
            let memory = backend.memory(&graph, u64::MAX)?;
            min += memory.slots + memory.io;
        }
        let pixel = min / (smallest * smallest).max(1) as u64;
        let bytes = |[h, w]: [usize; 2]| u128::from(pixel) * h as u128 * w as u128 + u128::from(budget.host([h, w]));
        choose([height, width], cap, &spec, bytes, |window| self.fits(request, window)).map(Cut::Exact)
    }

    /// The division for a network without a size rule: the whole image, or blended tiles of a size that it accepts.
    /// `None` for all other networks.
    fn tried(&mut self, request: &CutRequest) -> Result<Option<Cut>> {
        let CutRequest { options, size: [height, width], .. } = *request;
        let (margin, network) = (self.ensemble.size_rule().margin, self.ensemble.first().architecture.clone());
        let blended = options.blend == Blend::Gaussian && margin == 0;
        let max = if blended { options.tile.unwrap_or(EDGE) } else { usize::MAX };
        if network.ruled() {
            return Ok(None);
        }
        let window = network.tried_size([height.min(max), width.min(max)])?;
        let why = "no rule was found for its sizes".to_string();
        let [h, w] = window;
        if !blended && (options.blend == Blend::Gaussian || options.tile.is_some_and(|tile| tile < h.max(w))) {
            let what = format!("{width}x{height} image");
            let reason =
                format!("this network cannot be tiled exactly: {why}; the whole image is a tile of {w}x{h} pixels");
            return Err(Error::invalid(what, reason));
        }
        self.fits(request, window)?;
        if blended {
            return Ok(Some(Cut::Blended(BlendGrid::new([height, width], window))));
        }
        fixed_grid([height, width], window, Tileability::Impossible(why), margin).map(Cut::Exact).map(Some)
    }

    /// Overlapping tiles with the requested side, or otherwise the largest side up to 512 pixels that fits.
    fn blend(&mut self, request: &CutRequest, spec: &TileSpec) -> Result<BlendGrid> {
        if spec.margin > 0 {
            let reason = match self.tileability()? {
                Tileability::Exact(_) => {
                    "a network without padding is tiled exactly; there is nothing to blend".to_string()
                }
                Tileability::Impossible(why) => format!(
                    "a network without padding leaves nothing to blend; without blending, it runs on the whole image: {why}"
                ),
            };
            return Err(Error::invalid("blend gaussian", reason));
        }
        let mut edge = spec.largest_within(request.options.tile.unwrap_or(EDGE)).max(spec.minimum);
        loop {
            let mut window = [0; 2];
            for (w, length) in window.iter_mut().zip(request.size) {
                *w = edge.min(spec.whole(length)?);
            }
            match self.fits(request, window) {
                Ok(()) => return Ok(BlendGrid::new(request.size, window)),
                Err(Error::Limit { .. }) if edge > spec.minimum => {
                    edge = spec.largest_within(edge * 3 / 4).max(spec.minimum);
                }
                Err(e) => return Err(e),
            }
        }
    }

    /// Checks that tiles of `window` rows and columns fit the device and the memory budget.
    fn fits(&mut self, request: &CutRequest, window: [usize; 2]) -> Result<()> {
        let (budget, name) = (request.budget, tile_name(window));
        // The device gets what the host does not need.
        let memory = self.limited(budget.device(window, &name)?);
        match self.on_device(request.backend, request.kind(window, 1), memory)? {
            None => Ok(()),
            // Users know the total limit, not the device's remainder.
            Some(Obstacle::Memory(excess)) => {
                let limit = match self.limit {
                    Some(limit) if limit == excess.limit => format!("{} that the device was found to have", mib(limit)),
                    _ => budget.shared(window),
                };
                let what = format!("{name}: the network");
                Err(Error::Limit { what, needed: excess.needed(), limit })
            }
            Some(Obstacle::Device { what, needed, limit }) => {
                Err(Error::Limit { what: format!("{name}: {what}"), needed, limit })
            }
        }
    }

    /// Why tiles of a kind do not fit the device; `None` if they do.
    fn on_device(&mut self, backend: &Backend, kind: TileKind, memory: u64) -> Result<Option<Obstacle>> {
        if let Some(known) = self.obstacles.get(&(kind, memory)) {
            return Ok(known.clone());
        }
        let obstacle = match self.planned(backend, kind, memory) {
            Ok(Planned::Fits(plans)) => {
                self.planned = Some((kind, plans));
                None
            }
            Ok(Planned::Exceeds(excess)) => Some(Obstacle::Memory(excess)),
            Err(Error::Limit { what, needed, limit }) => Some(Obstacle::Device { what, needed, limit }),
            Err(e) => return Err(e),
        };
        self.obstacles.insert((kind, memory), obstacle.clone());
        Ok(obstacle)
    }

    /// Plans all graphs of a kind of tile.
    fn planned(&self, backend: &Backend, kind: TileKind, memory: u64) -> Result<Planned> {
        // Each session reduces the memory for the next.
        let (mut left, mut plans) = (memory, Vec::new());
        for graph in self.ensemble.tile_graphs(kind.shape, kind.outputs, kind.batch)? {
            match backend.plan(&graph, left)? {
                Planning::Fits(plan) => {
                    left -= plan.memory.total();
                    plans.push(*plan);
                }
                Planning::Exceeds(excess) => return Ok(Planned::Exceeds(excess)),
            }
        }
        Ok(Planned::Fits(plans))
    }

    /// Batch size for `tiles` tiles of a shape, counting orientations: at most the requested one, no larger than needed
    /// for equally full runs, and halved until memory suffices. `others` are host bytes for other images of the batch.
    fn batch(&mut self, request: &CutRequest, shape: [usize; 2], tiles: usize, others: u64) -> Result<usize> {
        let CutRequest { backend, options, budget, .. } = *request;
        let runs = tiles * self.ensemble.runs_together(shape);
        let even = |max: usize| runs.div_ceil(runs.div_ceil(max.max(1)).max(1)).max(1);
        let mut batch = if self.unbatched { 1 } else { even(options.batch) };
        loop {
            let host = budget.host(shape) + others + (batch as u64 - 1) * budget.tile(shape);
            let obstacle = match options.limit().rest().checked_sub(host) {
                Some(memory) => self.on_device(backend, request.kind(shape, batch), self.limited(memory)),
                None => {
                    Ok(Some(Obstacle::Memory(Excess { needed: host, at_least: true, limit: options.limit().rest() })))
                }
            };
            match obstacle {
                Ok(None) => return Ok(batch),
                // A single image was already found to fit.
                Ok(Some(_)) if batch == 1 && others == 0 => return Ok(1),
                Ok(Some(obstacle)) if batch == 1 => return Err(obstacle.into()),
                Ok(Some(_)) => batch = even(batch / 2),
                Err(e) if batch > 1 => {
                    log::warn!("this network takes no batches: {e}");
                    (self.unbatched, batch) = (true, 1);
                }
                Err(e) => return Err(e),
            }
        }
    }
}

/// Result of planning all graphs of a kind of tile.
enum Planned {
    Fits(Vec<PlannedGraph>),
    Exceeds(Excess),
}

fn tile_name([rows, columns]: [usize; 2]) -> String {
    format!("a tile of {columns}x{rows} pixels")
}

/// Whether a model can be tiled exactly.
fn tileability(model: &Model) -> Result<Tileability> {
    if !model.architecture.ruled() {
        return Ok(Tileability::Impossible("no rule was found for its sizes".into()));
    }
    // One rule for both axes: their order does not matter.
    let architecture = model.architecture.untransposed().unwrap_or_else(|| model.architecture.clone());
    let rule = architecture.size_rule();
    let [h, w] = architecture.fixed_size().map(|n| n.unwrap_or(rule.minimum + 4 * rule.step));
    let (mut graph, built) = built(&*architecture, Shape::new(1, architecture.in_channels(), h, w))?;
    graph.output("decision", built.decision);
    let graph = graph.without_dead_nodes();
    let (Some((_, input)), Some((_, output))) = (graph.inputs().next(), graph.outputs().first().cloned()) else {
        return Err(Error::invalid("model", "has no input or output"));
    };
    let invalid_margin = architecture.invalid_margin();
    let mut halo = invalid_margin[0].max(invalid_margin[1]).next_multiple_of(rule.step);
    for axis in 0..2 {
        match footprint(&graph, input, output, axis) {
            Ok(f) if f.align > rule.step || !rule.step.is_multiple_of(f.align) => {
                return Err(Error::invalid("model", format!("alignment {} does not divide {}", f.align, rule.step)));
            }
            // Without padding every output pixel of a window is valid, however close to its edge, unless some op pads after all.
            Ok(f) if rule.margin > 0 => match edge_pixels(&graph, output, f.align, axis) {
                Ok([before, after]) => halo = halo.max(before.max(after).next_multiple_of(rule.step)),
                Err(why) => return Ok(Tileability::Impossible(why)),
            },
            // Valid regions begin and end at multiples of `align`, as the footprint's blocks do.
            Ok(f) => halo = halo.max(f.before.max(f.after).next_multiple_of(rule.step)),
            Err(why) => return Ok(Tileability::Impossible(why)),
        }
    }
    Ok(Tileability::Exact(TileSpec { align: rule.step, halo, margin: rule.margin, minimum: rule.minimum }))
}
