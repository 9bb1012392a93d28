//! Runs the networks of an [`Ensemble`] on batches of tiles of one shape.
//!
//! A batch consists of tiles and their orientations, of one or several images. Kernels process the images of a batch
//! independently, so results do not depend on its other members. Probabilities and geometry of several runs are summed on the
//! host, in `f32` and in a fixed order.

use super::plan::TileKind;
use crate::error::{Error, Result};
#[cfg(not(target_arch = "wasm32"))]
use crate::gpu::block_on;
use crate::infer::ensemble::Ensemble;
use crate::infer::normalise::ChannelAffine;
use crate::infer::orient::{Orientation, TilePlace};
use crate::infer::tile::graph::{DECISION, GEOMETRY, INFO, MASK, PROBABILITY, TileBatch, TileOutputs, WINDOW};
use crate::ops::{ImageInfo, MaskRule};
use crate::session::{Backend, Executable, PlannedGraph, Planning, WeightPool};
use crate::tensor::HostTensor;
use crate::weights::InstanceTarget;

/// A tile to run.
#[derive(Clone, Copy, Debug)]
pub struct TileInput<'a> {
    /// Its position.
    pub place: &'a TilePlace,
    /// The raw samples of the place's rows and columns, planar (channel, row, column).
    pub pixels: &'a [f32],
    /// Normalisation of its image, for each model.
    pub affines: &'a [Vec<ChannelAffine>],
}

/// The networks' results for a tile; fields that were not requested are empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TileOutput {
    /// Class ids, `[H, W]` of the network's output; empty if the decision is requested.
    pub mask: Vec<f32>,
    /// The planes that decide the class, `[K, H, W]`.
    pub decision: Vec<f32>,
    /// Probabilities, `[K, H, W]`.
    pub probabilities: Vec<f32>,
    /// What the network predicts for instances, `[G, H, W]`.
    pub geometry: Vec<f32>,
}

/// The networks of an [`Ensemble`], prepared for tiles of one shape.
#[derive(Debug)]
pub struct TileRunner {
    tile: [usize; 2],
    margin: usize,
    batch: usize,
    groups: Vec<Vec<Orientation>>,
    /// For each model, a session per entry of `groups`.
    members: Vec<Vec<Executable>>,
    rule: MaskRule,
    outputs: TileOutputs,
    target: Option<InstanceTarget>,
}

impl TileRunner {
    /// Compiles and allocates for tiles of `tile` rows and columns and a batch of `batch` tiles or orientations.
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
        let batch = TileBatch { tiles: batch.max(1), shape: tile };
        let pools: Vec<WeightPool> = ensemble.models().map(|_| WeightPool::default()).collect();
        Self::load(backend, ensemble, batch, outputs, Vec::new(), &pools).await
    }

    /// Prepares a kind of tile from the plans made when checking that it fits; plans it here if there are none. The weights
    /// are in a pool for each model.
    pub(in crate::low_level::infer) async fn of_kind(
        backend: &Backend,
        ensemble: &Ensemble,
        kind: &TileKind,
        plans: Vec<PlannedGraph>,
        pools: &[WeightPool],
    ) -> Result<Self> {
        let batch = TileBatch { tiles: kind.batch, shape: kind.shape };
        Self::load(backend, ensemble, batch, kind.outputs, plans, pools).await
    }

    async fn load(
        backend: &Backend,
        ensemble: &Ensemble,
        batch: TileBatch,
        outputs: TileOutputs,
        plans: Vec<PlannedGraph>,
        pools: &[WeightPool],
    ) -> Result<Self> {
        let TileBatch { tiles, shape } = batch;
        let (groups, mut plans) = (ensemble.groups(shape), plans.into_iter());
        let mut rule = MaskRule::Argmax;
        let mut members = Vec::new();
        for (model, pool) in ensemble.models().zip(pools) {
            let mut sessions = Vec::new();
            for group in &groups {
                let Some(graph) = ensemble.tile_graph(model, group, batch, outputs)? else { continue };
                rule = graph.rule;
                let plan = match plans.next() {
                    Some(plan) => plan,
                    None => match backend.plan(&graph.graph, u64::MAX)? {
                        Planning::Fits(plan) => *plan,
                        Planning::Exceeds(excess) => return Err(excess.into()),
                    },
                };
                sessions.push(backend.prepare_planned_async(plan, model.stored(), pool).await?);
            }
            members.push(sessions);
        }
        let (margin, target) = (ensemble.size_rule().margin, ensemble.first().geometry());
        let outputs = TileOutputs { geometry: outputs.geometry && target.is_some(), ..outputs };
        Ok(Self { tile: shape, margin, batch: tiles, groups, members, rule, outputs, target })
    }

    /// Bytes of device memory in use.
    pub fn device_bytes(&self) -> u64 {
        self.members.iter().flatten().map(Executable::device_bytes).sum()
    }

    /// The same without weights.
    pub(in crate::low_level::infer) fn bytes_without_weights(&self) -> u64 {
        self.members.iter().flatten().map(Executable::bytes_without_weights).sum()
    }

    /// Tiles, or orientations of tiles, per run.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Number of tiles that fill the batch.
    pub fn tiles_at_once(&self) -> usize {
        self.batch.div_ceil(self.groups.first().map_or(1, Vec::len).max(1))
    }

    /// How the decision planes become classes.
    pub fn rule(&self) -> MaskRule {
        self.rule
    }

    /// Runs any number of tiles. `progress` receives a fraction from 0 to 1 and may cancel.
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
        self.check(tiles)?;
        let (batch, runs_a_tile) = (self.batch, self.runs_a_tile());
        let requested = Downloads::of(self.outputs, runs_a_tile == 1);
        let runs = |group: &Vec<Orientation>| (tiles.len() * group.len()).div_ceil(batch);
        let count = self.members.len() * self.groups.iter().map(runs).sum::<usize>();
        let (output, target) = (self.output(), self.target);
        let mut results = vec![TileOutput::default(); tiles.len()];
        let (mut upload, mut done) = (Upload::default(), 0);
        for (member, sessions) in self.members.iter_mut().enumerate() {
            for (group, executable) in self.groups.iter().zip(sessions) {
                let jobs: Vec<Job> =
                    (0..tiles.len()).flat_map(|tile| group.iter().map(move |&by| Job { tile, by })).collect();
                for part in jobs.chunks(batch) {
                    upload.fill(tiles, part, batch, member);
                    executable.write(WINDOW, &upload.windows)?;
                    executable.write(INFO, &upload.words)?;
                    let so_far = |part: f64| (done as f64 + part) / count as f64;
                    executable.run_async(|k, of| progress(so_far(k as f64 / of.max(1) as f64))).await?;
                    done += 1;
                    let all = requested.read(executable).await?;
                    for (k, Job { tile, by }) in part.iter().enumerate() {
                        let Some(result) = results.get_mut(*tile) else { continue };
                        let output_of_tile = all.of(k, batch);
                        match runs_a_tile {
                            1 => *result = output_of_tile,
                            _ => {
                                let back = |planes: &[f32]| by.inverse().planes(planes, by.size(output));
                                let mut geometry = back(&output_of_tile.geometry);
                                if target == Some(InstanceTarget::Multi) {
                                    offsets_back(&mut geometry, *by);
                                }
                                add(&mut result.probabilities, back(&output_of_tile.probabilities));
                                add(&mut result.geometry, geometry);
                            }
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

    fn check(&self, tiles: &[TileInput]) -> Result<()> {
        let members = self.members.len();
        let mismatched = tiles.iter().find(|t| t.place.size != self.tile || t.affines.len() != members);
        let Some(TileInput { place, affines, .. }) = mismatched else { return Ok(()) };
        let reason = format!("a tile of {:?} with {} normalisations was given", place.size, affines.len());
        Err(Error::invalid("tile", format!("{reason} to {members} models for {:?}", self.tile)))
    }

    /// Rows and columns of the networks' outputs.
    fn output(&self) -> [usize; 2] {
        self.tile.map(|n| n - 2 * self.margin)
    }

    fn runs_a_tile(&self) -> usize {
        self.members.len() * self.groups.iter().map(Vec::len).sum::<usize>()
    }

    /// Converts sums to the requested outputs.
    fn average(&self, result: &mut TileOutput, runs: usize, pixels: usize) {
        let factor = 1.0 / runs as f32;
        result.probabilities.iter_mut().chain(&mut result.geometry).for_each(|sum| *sum *= factor);
        match (self.outputs.decision, self.outputs.probabilities) {
            (true, true) => result.decision.clone_from(&result.probabilities),
            (true, false) => result.decision = std::mem::take(&mut result.probabilities),
            (false, valid) => {
                let (planes, classes) = (&result.probabilities, result.probabilities.len() / pixels.max(1));
                let class = |i: usize| self.rule.class(classes, |c| planes[c * pixels + i]) as f32;
                result.mask = (0..pixels).map(class).collect();
                if !valid {
                    result.probabilities = Vec::new();
                }
            }
        }
    }
}

/// An orientation of a tile, to be run.
#[derive(Clone, Copy)]
struct Job {
    /// Index among the tiles passed in.
    tile: usize,
    by: Orientation,
}

/// Adds planes to a sum; an empty sum is initialised with them.
fn add(sum: &mut Vec<f32>, planes: Vec<f32>) {
    match sum.is_empty() {
        true => *sum = planes,
        false => sum.iter_mut().zip(planes).for_each(|(sum, v)| *sum += v),
    }
}

/// Turns the offsets among the planes of [`InstanceTarget::Multi`] back into the image's frame.
fn offsets_back(geometry: &mut [f32], by: Orientation) {
    let plane = geometry.len() / InstanceTarget::Multi.geometry();
    if let Some((rows, columns)) = geometry.get_mut(2 * plane..).and_then(|o| o.split_at_mut_checked(plane)) {
        by.vectors_back(rows, columns);
    }
}

/// Outputs of a run to read.
#[derive(Clone, Copy)]
struct Downloads {
    mask: bool,
    decision: bool,
    probabilities: bool,
    geometry: bool,
}

impl Downloads {
    /// The outputs to read. With a single run per tile these are its results; otherwise probabilities, to be averaged.
    fn of(outputs: TileOutputs, alone: bool) -> Self {
        let TileOutputs { decision, probabilities, geometry } = outputs;
        let probabilities = !alone || probabilities;
        Self { mask: alone && !decision, decision: alone && decision, probabilities, geometry }
    }

    async fn read(self, executable: &mut Executable) -> Result<BatchOutput> {
        let mut all = BatchOutput(TileOutput::default());
        let TileOutput { mask, decision, probabilities, geometry } = &mut all.0;
        let outputs = [
            (self.mask, MASK, mask),
            (self.decision, DECISION, decision),
            (self.probabilities, PROBABILITY, probabilities),
            (self.geometry, GEOMETRY, geometry),
        ];
        for (requested, name, to) in outputs {
            if requested {
                *to = executable.read_async(name).await.map(HostTensor::into_data)?;
            }
        }
        Ok(all)
    }
}

/// The results of a batch's tiles, one after another.
struct BatchOutput(TileOutput);

impl BatchOutput {
    /// The results of tile `k` of a batch.
    fn of(&self, k: usize, batch: usize) -> TileOutput {
        let part = |all: &[f32]| {
            let each = all.len() / batch;
            all.get(k * each..(k + 1) * each).unwrap_or_default().to_vec()
        };
        let TileOutput { mask, decision, probabilities, geometry } = &self.0;
        let [mask, decision, probabilities, geometry] = [mask, decision, probabilities, geometry].map(|v| part(v));
        TileOutput { mask, decision, probabilities, geometry }
    }
}

/// The inputs of a run.
#[derive(Default)]
struct Upload {
    /// Raw pixels, each tile's in a window as large as the tile.
    windows: Vec<f32>,
    /// Positions and normalisations.
    words: Vec<f32>,
}

impl Upload {
    /// The inputs of some jobs for a model. A batch that is not full is filled with its last tile.
    fn fill(&mut self, tiles: &[TileInput], jobs: &[Job], batch: usize, member: usize) {
        self.windows.clear();
        self.words.clear();
        for job in jobs.iter().chain(jobs.last().into_iter().cycle()).take(batch) {
            let Some(tile) = tiles.get(job.tile) else { continue };
            let read = [tile.place.rows.len(), tile.place.columns.len()];
            let affine = tile.affines.get(member).map_or(&[][..], Vec::as_slice);
            self.push(&tile.place.oriented(job.by), &job.by.planes(tile.pixels, read), affine);
        }
    }

    fn push(&mut self, place: &TilePlace, pixels: &[f32], affine: &[ChannelAffine]) {
        let [h, w] = place.size;
        let (rows, columns) = (place.rows.len(), place.columns.len());
        let first = self.windows.len();
        self.windows.resize(first + affine.len() * h * w, 0.0);
        for (i, line) in pixels.chunks_exact(columns.max(1)).enumerate() {
            let (c, y) = (i / rows.max(1), i % rows.max(1));
            let at = first + (c * h + y) * w;
            if let Some(to) = self.windows.get_mut(at..at + line.len()) {
                to.copy_from_slice(line);
            }
        }
        let info = ImageInfo {
            tile: place.start.map(|n| n as i64),
            window: [place.rows.start, place.columns.start],
            image: place.image,
            channels: affine.iter().map(|a| [a.offset, a.scale, a.low, a.high]).collect(),
        };
        self.words.extend(info.words());
    }
}
