//! Runs tiles: an [`Ensemble`]'s networks, ready for tiles of one shape, so many a run.
//!
//! A batch is tiles and their orientations, of one or several images. Every kernel treats the images of a batch alone,
//! so results do not depend on who else is in it. Probabilities of several runs are added on the host, in `f32` and in a
//! fixed order.

use super::ensemble::Ensemble;
use super::normalise::ChannelAffine;
use super::orient::{Orientation, TilePlace};
use super::tile_graph::{DECISION, INFO, MASK, PROBABILITY, TileOutputs, WINDOW, tile_graph};
use crate::error::{Error, Result};
#[cfg(not(target_arch = "wasm32"))]
use crate::gpu::block_on;
use crate::ops::{ImageInfo, MaskRule};
use crate::session::{Backend, Executable};
use crate::tensor::HostTensor;

/// A tile to run.
#[derive(Clone, Copy, Debug)]
pub struct TileInput<'a> {
    /// Where it lies.
    pub place: &'a TilePlace,
    /// The raw samples of the place's rows and columns, planar (channel, row, column).
    pub pixels: &'a [f32],
    /// How its image is normalised, for each model.
    pub affines: &'a [Vec<ChannelAffine>],
}

/// What the networks make of a tile; empty what is not asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TileOutput {
    /// Class ids, `[H, W]` of the network's output; empty where the decision is asked for.
    pub mask: Vec<f32>,
    /// What classes are decided on, `[K, H, W]`.
    pub decision: Vec<f32>,
    /// Probabilities, `[K, H, W]`.
    pub probabilities: Vec<f32>,
}

/// The networks of an [`Ensemble`], ready for tiles of one shape.
#[derive(Debug)]
pub struct TileRunner {
    tile: [usize; 2],
    margin: usize,
    batch: usize,
    groups: Vec<Vec<Orientation>>,
    /// For each model a session for each of `groups`.
    members: Vec<Vec<Executable>>,
    rule: MaskRule,
    outputs: TileOutputs,
}

impl TileRunner {
    /// Compiles and allocates what tiles of `tile` rows and columns need, `batch` of them or of their orientations a run.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn new(
        backend: &Backend,
        ensemble: &Ensemble,
        tile: [usize; 2],
        outputs: TileOutputs,
        batch: usize,
    ) -> Result<Self> {
        block_on(Self::new_async(backend, ensemble, tile, outputs, batch))
    }

    /// [`Self::new`] as a future.
    pub async fn new_async(
        backend: &Backend,
        ensemble: &Ensemble,
        tile: [usize; 2],
        outputs: TileOutputs,
        batch: usize,
    ) -> Result<Self> {
        let (request, groups, batch) = (ensemble.request(outputs), ensemble.groups(tile), batch.max(1));
        let mut rule = MaskRule::Argmax;
        let mut members = Vec::new();
        for model in ensemble.models() {
            let mut sessions = Vec::new();
            for by in groups.iter().filter_map(|g| g.first()) {
                let (graph, own) = tile_graph(model, (batch, by.size(tile)), request, ensemble.planes())?;
                rule = own;
                sessions.push(backend.prepare_async(&graph, model.stored()).await?);
            }
            members.push(sessions);
        }
        Ok(Self { tile, margin: ensemble.size_rule().margin, batch, groups, members, rule, outputs })
    }

    /// Bytes of device memory held.
    pub fn device_bytes(&self) -> u64 {
        self.members.iter().flatten().map(Executable::device_bytes).sum()
    }

    /// Tiles, or orientations of tiles, that one run takes.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Tiles that fill the batch.
    pub fn tiles_at_once(&self) -> usize {
        self.batch.div_ceil(self.groups.first().map_or(1, Vec::len).max(1))
    }

    /// How what classes are decided on becomes classes.
    pub fn rule(&self) -> MaskRule {
        self.rule
    }

    /// Runs tiles, any number. `progress` gets a fraction from 0 to 1 and may cancel.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn run(&mut self, tiles: &[TileInput], progress: impl FnMut(f64) -> Result<()>) -> Result<Vec<TileOutput>> {
        block_on(self.run_async(tiles, progress))
    }

    /// [`Self::run`] as a future.
    pub async fn run_async(
        &mut self,
        tiles: &[TileInput<'_>],
        mut progress: impl FnMut(f64) -> Result<()>,
    ) -> Result<Vec<TileOutput>> {
        for TileInput { place, affines, .. } in tiles {
            if place.size != self.tile || affines.len() != self.members.len() {
                let reason = format!("a tile of {:?} with {} normalisations was given", place.size, affines.len());
                let to = format!("{} models for {:?}", self.members.len(), self.tile);
                return Err(Error::invalid("tile", format!("{reason} to {to}")));
            }
        }
        let Self { batch, ref groups, outputs, margin, .. } = *self;
        let output = self.tile.map(|n| n - 2 * margin);
        let runs_a_tile = self.members.len() * groups.iter().map(Vec::len).sum::<usize>();
        let runs = |group: &Vec<Orientation>| (tiles.len() * group.len()).div_ceil(batch);
        let count = self.members.len() * groups.iter().map(runs).sum::<usize>();
        let mut results = vec![TileOutput::default(); tiles.len()];
        let (mut windows, mut words, mut done) = (Vec::new(), Vec::new(), 0);
        for (member, sessions) in self.members.iter_mut().enumerate() {
            for (executable, group) in sessions.iter_mut().zip(groups) {
                let all = tiles.iter().enumerate().flat_map(|(t, tile)| group.iter().map(move |&by| (t, tile, by)));
                let all: Vec<_> = all.collect();
                for part in all.chunks(batch) {
                    windows.clear();
                    words.clear();
                    // A batch that is not full repeats its last tile.
                    for (_, tile, by) in part.iter().chain(part.last().into_iter().cycle()).take(batch) {
                        let read = [tile.place.rows.len(), tile.place.columns.len()];
                        let affine = tile.affines.get(member).map_or(&[][..], Vec::as_slice);
                        let pixels = by.planes(tile.pixels, read);
                        inputs(&tile.place.oriented(*by), &pixels, affine, (&mut windows, &mut words));
                    }
                    executable.write(WINDOW, &windows)?;
                    executable.write(INFO, &words)?;
                    let so_far = |part: f64| (done as f64 + part) / count as f64;
                    executable.run_async(|k, of| progress(so_far(k as f64 / of.max(1) as f64))).await?;
                    done += 1;
                    let alone = runs_a_tile == 1;
                    let mask = read(executable, MASK, alone && !outputs.decision).await?;
                    let decision = read(executable, DECISION, alone && outputs.decision).await?;
                    let planes = read(executable, PROBABILITY, !alone || outputs.probabilities).await?;
                    for (k, (t, _, by)) in part.iter().enumerate() {
                        let Some(result) = results.get_mut(*t) else { continue };
                        let of = |all: &[f32]| {
                            let each = all.len() / batch;
                            all.get(k * each..(k + 1) * each).unwrap_or_default().to_vec()
                        };
                        if alone {
                            let (mask, decision, probabilities) = (of(&mask), of(&decision), of(&planes));
                            *result = TileOutput { mask, decision, probabilities };
                            continue;
                        }
                        let upright = by.inverse().planes(&of(&planes), by.size(output));
                        match result.probabilities.is_empty() {
                            true => result.probabilities = upright,
                            false => result.probabilities.iter_mut().zip(upright).for_each(|(sum, v)| *sum += v),
                        }
                    }
                }
            }
        }
        if runs_a_tile > 1 {
            results.iter_mut().for_each(|r| self.average(r, runs_a_tile, output[0] * output[1]));
        }
        Ok(results)
    }

    /// Makes of sums what is asked for.
    fn average(&self, result: &mut TileOutput, runs: usize, pixels: usize) {
        let factor = 1.0 / runs as f32;
        result.probabilities.iter_mut().for_each(|sum| *sum *= factor);
        match (self.outputs.decision, self.outputs.probabilities) {
            (true, true) => result.decision.clone_from(&result.probabilities),
            (true, false) => result.decision = std::mem::take(&mut result.probabilities),
            (false, keep) => {
                let (planes, classes) = (&result.probabilities, result.probabilities.len() / pixels.max(1));
                let class = |i: usize| self.rule.class(classes, |c| planes[c * pixels + i]) as f32;
                result.mask = (0..pixels).map(class).collect();
                if !keep {
                    result.probabilities = Vec::new();
                }
            }
        }
    }
}

/// An output, if it is asked for.
async fn read(executable: &mut Executable, name: &str, requested: bool) -> Result<Vec<f32>> {
    match requested {
        true => executable.read_async(name).await.map(HostTensor::into_data),
        false => Ok(Vec::new()),
    }
}

/// Adds the raw pixels of a tile in a window as large as the tile, and the words that say where they belong.
fn inputs(
    place: &TilePlace,
    pixels: &[f32],
    affine: &[ChannelAffine],
    (windows, words): (&mut Vec<f32>, &mut Vec<f32>),
) {
    let [h, w] = place.size;
    let (rows, columns) = (place.rows.len(), place.columns.len());
    let first = windows.len();
    windows.resize(first + affine.len() * h * w, 0.0);
    for (i, line) in pixels.chunks_exact(columns.max(1)).enumerate() {
        let (c, y) = (i / rows.max(1), i % rows.max(1));
        let at = first + (c * h + y) * w;
        if let Some(to) = windows.get_mut(at..at + line.len()) {
            to.copy_from_slice(line);
        }
    }
    let info = ImageInfo {
        tile: place.start.map(|n| n as i64),
        window: [place.rows.start, place.columns.start],
        image: place.image,
        channels: affine.iter().map(|a| [a.offset, a.scale, a.low, a.high]).collect(),
    };
    words.extend(info.words());
}
