//! Which tiles, and how many at a time, fit the device and the memory budget.

use super::band::BandInfo;
use super::blend::BlendGrid;
use super::budget::{Budget, OF_MEMORY};
use super::choose::choose;
use super::ensemble::Ensemble;
use super::fixed::fixed_grid;
use super::options::{Blend, SegmentOptions};
use super::tile::{TileGrid, TileSpec};
use super::tile_graph::TileOutputs;
use crate::error::{Error, Hint, Message, Result};
use crate::graph::{Graph, footprint};
use crate::model::{Model, built};
use crate::session::Backend;
use crate::tensor::{Precision, Shape};
use std::collections::HashMap;

/// Edge of blended tiles, where none is asked for.
const EDGE: usize = 512;

/// A kind of tile, and how many of it are run together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct TileKey {
    /// Rows and columns of its window.
    pub shape: [usize; 2],
    /// Tiles a run.
    pub batch: usize,
    pub outputs: TileOutputs,
    pub exact: bool,
    /// How numbers are stored.
    pub precision: Precision,
}

/// Finds tiles for an ensemble, and keeps what it has found: planning takes milliseconds, and images come in series.
#[derive(Debug)]
pub(super) struct Fit {
    pub ensemble: Ensemble,
    /// By kind of tile and the memory that the device may take: what stands against it, the parts of an [`Error::Limit`].
    sizes: HashMap<(TileKey, u64), Option<[String; 3]>>,
    /// The network takes one image at a time, as an ONNX file may.
    unbatched: bool,
}

/// How an image is cut.
pub(super) enum Cut {
    Exact(TileGrid),
    Blended(BlendGrid),
}

impl Fit {
    pub fn new(ensemble: Ensemble) -> Self {
        Self { ensemble, sizes: HashMap::new(), unbatched: false }
    }

    /// What tiling must know of the models, or why they cannot be tiled.
    pub fn tile_spec(&self) -> Result<Result<TileSpec, String>> {
        self.ensemble.tile_spec(tile_spec)
    }

    /// The tiles that fit the device and the memory budget with the least work.
    pub fn plan(
        &mut self,
        backend: &Backend,
        info: &BandInfo,
        options: &SegmentOptions,
        outputs: TileOutputs,
        budget: &Budget,
    ) -> Result<Cut> {
        let (height, width) = (info.height, info.width);
        let rule = self.ensemble.size_rule();
        let fixed = self.ensemble.first().architecture.fixed_size();
        if fixed != [None; 2] {
            if self.ensemble.transposes() && fixed[0] != fixed[1] {
                return Err(Error::invalid("tta", "a network of one input size that is not square cannot be turned"));
            }
            let min = |length: usize| length.max(rule.minimum);
            let window = [(fixed[0], height), (fixed[1], width)].map(|(n, length)| n.unwrap_or(min(length)));
            self.fits(backend, window, options, outputs, budget)?;
            if options.blend == Blend::Gaussian && rule.margin == 0 {
                return Ok(Cut::Blended(BlendGrid::new([height, width], window)));
            }
            return fixed_grid([height, width], window, self.tile_spec()?, rule.margin).map(Cut::Exact);
        }
        if let Some(cut) = self.tried(backend, [height, width], options, outputs, budget)? {
            return Ok(cut);
        }
        // A network that cannot be tiled still runs on the whole image: any halo does for a single window.
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
        let fits = |fit: &mut Self, window| fit.fits(backend, window, options, outputs, budget);
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
            let way = match rule.margin {
                0 => Message::from("with `")
                    .then(Hint::BlendGaussian)
                    .then("` it is tiled as nnU-Net does it, which is not the whole image's result"),
                _ => "a smaller image, or more memory, is what helps".into(),
            };
            let reason = format!("{first}; and this network cannot be tiled exactly: {why}; ");
            Error::invalid(what, Message::from(reason).then(way))
        })?;
        // What a pixel of a tile takes on the device decides how much a row of the band weighs against it.
        let smallest = spec.smallest_tile()?;
        let mut min = 0;
        for graph in self.ensemble.tile_graphs([smallest; 2], outputs, 1)? {
            let memory = backend.memory(&graph, u64::MAX)?;
            min += memory.slots + memory.io;
        }
        let pixel = min / (smallest * smallest).max(1) as u64;
        let bytes = |[h, w]: [usize; 2]| u128::from(pixel) * h as u128 * w as u128 + u128::from(budget.host([h, w]));
        choose([height, width], cap, &spec, bytes, |window| fits(self, window)).map(Cut::Exact)
    }

    /// How an image is cut for a network for whose sizes no rule was found: it runs on the whole image, or on blended
    /// tiles of a size that it takes. `None` for all others.
    fn tried(
        &mut self,
        backend: &Backend,
        [height, width]: [usize; 2],
        options: &SegmentOptions,
        outputs: TileOutputs,
        budget: &Budget,
    ) -> Result<Option<Cut>> {
        let (margin, network) = (self.ensemble.size_rule().margin, self.ensemble.first().architecture.clone());
        let blended = options.blend == Blend::Gaussian && margin == 0;
        let max = if blended { options.tile.unwrap_or(EDGE) } else { usize::MAX };
        if network.ruled() {
            return Ok(None);
        }
        let window = network.tried_size([height.min(max), width.min(max)])?;
        let why = "for its sizes no rule was found".to_string();
        let [h, w] = window;
        if !blended && (options.blend == Blend::Gaussian || options.tile.is_some_and(|tile| tile < h.max(w))) {
            let what = format!("{width}x{height} image");
            let reason =
                format!("this network cannot be tiled exactly: {why}; the whole image is a tile of {w}x{h} pixels");
            return Err(Error::invalid(what, reason));
        }
        self.fits(backend, window, options, outputs, budget)?;
        if blended {
            return Ok(Some(Cut::Blended(BlendGrid::new([height, width], window))));
        }
        fixed_grid([height, width], window, Err(why), margin).map(Cut::Exact).map(Some)
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
        if spec.margin > 0 {
            let reason = match self.tile_spec()? {
                Ok(_) => "a network without padding is tiled exactly; there is nothing to blend".to_string(),
                Err(why) => format!(
                    "a network without padding leaves nothing to blend; without it, it runs on the whole image: {why}"
                ),
            };
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
        let key = TileKey { shape: window, batch: 1, outputs, exact: options.exact, precision: backend.precision() };
        match self.on_device(backend, key, memory)? {
            None => Ok(()),
            Some([what, needed, limit]) => {
                // The user knows the whole of it, not what is left for the device.
                let limit = if limit.ends_with(OF_MEMORY) { budget.shared(window) } else { limit };
                Err(Error::Limit { what: format!("{name}: {what}"), needed, limit })
            }
        }
    }

    /// What stands against a kind of tile on the device, if anything does: the parts of an [`Error::Limit`].
    fn on_device(&mut self, backend: &Backend, key: TileKey, memory: u64) -> Result<Option<[String; 3]>> {
        if let Some(known) = self.sizes.get(&(key, memory)) {
            return Ok(known.clone());
        }
        // What one session takes the next cannot have.
        let all = self.ensemble.tile_graphs(key.shape, key.outputs, key.batch)?;
        let fit = |left: u64, graph: &Graph| Ok(left - backend.memory(graph, left)?.total());
        let problem = match all.iter().try_fold(memory, fit) {
            Ok(_) => None,
            Err(Error::Limit { what, needed, limit }) => Some([what, needed, limit]),
            Err(e) => return Err(e),
        };
        self.sizes.insert((key, memory), problem.clone());
        Ok(problem)
    }

    /// How many of `tiles` tiles of a kind, and of their orientations, one run takes: at most what is asked for, no more
    /// than make the runs equally full, and half as many where memory does not hold them. `others` are bytes that other
    /// images of the batch take on the host.
    pub fn batch(
        &mut self,
        backend: &Backend,
        key: TileKey,
        tiles: usize,
        options: &SegmentOptions,
        (budget, others): (&Budget, u64),
    ) -> Result<usize> {
        let runs = tiles * self.ensemble.runs_together(key.shape);
        let even = |max: usize| runs.div_ceil(runs.div_ceil(max.max(1)).max(1)).max(1);
        let mut batch = if self.unbatched { 1 } else { even(options.batch) };
        loop {
            let host = budget.host(key.shape) + others + (batch as u64 - 1) * budget.tile(key.shape);
            let problem = match options.memory.checked_sub(host) {
                Some(memory) => self.on_device(backend, TileKey { batch, ..key }, memory),
                None => Ok(Some([String::new(), String::new(), String::new()])),
            };
            match problem {
                Ok(None) => return Ok(batch),
                // An image alone was seen to fit.
                Ok(Some(_)) if batch == 1 && others == 0 => return Ok(1),
                Ok(Some([what, needed, limit])) if batch == 1 => return Err(Error::Limit { what, needed, limit }),
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

/// What tiling must know of a model, or why it cannot be tiled.
fn tile_spec(model: &Model) -> Result<Result<TileSpec, String>> {
    if !model.architecture.ruled() {
        return Ok(Err("for its sizes no rule was found".into()));
    }
    // One rule for both axes: it does not matter which is which.
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
            // Without padding every output pixel of a window is right, however near its edge.
            Ok(_) if rule.margin > 0 => {}
            // Kept regions begin and end at multiples of `align`, as the footprint's blocks do.
            Ok(f) => halo = halo.max(f.before.max(f.after).next_multiple_of(rule.step)),
            Err(why) => return Ok(Err(why)),
        }
    }
    Ok(Ok(TileSpec { align: rule.step, halo, margin: rule.margin, minimum: rule.minimum }))
}
