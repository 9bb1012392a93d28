//! Several networks, and several orientations of a picture, as one: their probabilities averaged before the class is
//! decided.
//!
//! Every run is of the very window that the network would see alone, oriented and turned back, which is why the result does
//! not depend on tiles here either. Probabilities are added on the host, in `f32` and in a fixed order.
//!
//! What is averaged are planes of classes that all networks share. A network with a single sigmoid decides two classes with
//! one plane p; beside networks with a plane each of the two it gives [1 - p, p], so p > 0.5 is still its decision alone.

use super::normalise::ChannelAffine;
use super::orient::{Orientation, TilePlace};
use super::tile::TileSpec;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::model::{Built, Model, SizeRule};
use crate::ops::{Concat, ExportNchw, ImageIn, ImageInfo, ImportNchw, MaskOut, MaskRule, Unary, UnaryKind};
use crate::session::{Backend, Executable};
use crate::tensor::{Shape, TensorDesc};

const WINDOW: &str = "window";
const INFO: &str = "info";
const MASK: &str = "mask";
const PROBABILITY: &str = "probability";
const DECISION: &str = "decision";

/// Test-time augmentation: orientations of the picture whose probabilities are averaged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Tta {
    /// The picture as it is.
    #[default]
    None,
    /// Also mirrored left to right, top to bottom, and both: 4 runs of the network.
    Flips,
    /// Those, and each turned by 90 degrees: the symmetries of a square, 8 runs.
    D4,
}

impl Tta {
    /// The orientations, the picture as it is first.
    pub fn orientations(self) -> Vec<Orientation> {
        let count = match self {
            Self::None => 1,
            Self::Flips => 4,
            Self::D4 => 8,
        };
        Orientation::all().into_iter().take(count).collect()
    }
}

/// Models that are used as one. They agree in classes, channels of the picture, and how they treat borders. Classes agree
/// if there are equally many and no two names of one class differ; a model without names takes those of the others.
#[derive(Clone, Debug)]
pub struct Ensemble {
    first: Model,
    others: Vec<Model>,
    rule: SizeRule,
    tta: Tta,
    planes: usize,
    /// Names of classes as far as models have any.
    names: Vec<String>,
}

impl From<Model> for Ensemble {
    fn from(model: Model) -> Self {
        let (rule, planes) = (model.architecture.size_rule(), model.architecture.out_channels());
        let names = model.metadata.classes.clone();
        Self { first: model, others: Vec::new(), rule, tta: Tta::None, planes, names }
    }
}

impl Ensemble {
    /// Several models, at least one. Fails unless they agree.
    pub fn new(models: Vec<Model>) -> Result<Self> {
        let mut models = models.into_iter();
        let Some(first) = models.next() else { return Err(Error::invalid("ensemble", "has no model")) };
        let mut ensemble = Self::from(first);
        for model in models {
            ensemble.add(model)?;
        }
        Ok(ensemble)
    }

    fn add(&mut self, model: Model) -> Result<()> {
        let differ = |what: &str, a: String, b: String| {
            let both = format!("{} and {}", self.first.name, model.name);
            Err(Error::invalid("ensemble", format!("{both} do not agree in {what}: {a} and {b}")))
        };
        let (a, b) = (&self.first.architecture, &model.architecture);
        if a.in_channels() != b.in_channels() {
            return differ("channels of the picture", a.in_channels().to_string(), b.in_channels().to_string());
        }
        let names = &model.metadata.classes;
        let classes = [self.classes(), model.classes()];
        if classes[0].len() != classes[1].len() || self.names.iter().zip(names).any(|(a, b)| a != b) {
            let [ours, theirs] = classes.map(|list| format!("[{}]", list.join(", ")));
            return differ("classes", ours, theirs);
        }
        let (ours, theirs) = (Decides::of(&self.first)?, Decides::of(&model)?);
        let Some(planes) = ours.common(theirs) else {
            return differ("how a class is decided", ours.to_string(), theirs.to_string());
        };
        if a.fixed_size() != b.fixed_size() {
            let size = |[h, w]: [Option<usize>; 2]| match (h, w) {
                (Some(h), Some(w)) => format!("{h}x{w}"),
                _ => "free".to_string(),
            };
            return differ("input size", size(a.fixed_size()), size(b.fixed_size()));
        }
        let (rule, theirs) = (self.rule, b.size_rule());
        if rule != theirs && (rule.margin > 0 || theirs.margin > 0) {
            let sizes = |r: SizeRule| format!("inputs of {} + {} k that lose {} a side", r.minimum, r.step, r.margin);
            return differ("padding", sizes(rule), sizes(theirs));
        }
        // Where nothing is lost, inputs are multiples of the step.
        let step = common_multiple(rule.step, theirs.step);
        let minimum = rule.minimum.max(theirs.minimum).next_multiple_of(step);
        self.rule = if rule == theirs { rule } else { SizeRule { minimum, step, margin: 0 } };
        self.planes = self.planes.max(planes);
        self.names.extend(names.get(self.names.len()..).unwrap_or_default().to_vec());
        self.others.push(model);
        Ok(())
    }

    /// The same over several orientations of the picture.
    #[must_use]
    pub fn with_tta(self, tta: Tta) -> Self {
        Self { tta, ..self }
    }

    /// The first model: what all agree in is read from it.
    pub fn first(&self) -> &Model {
        &self.first
    }

    /// Class names; made up where no model has any.
    pub fn classes(&self) -> Vec<String> {
        let (known, all) = (self.names.iter().cloned(), self.first.classes());
        known.chain(all.into_iter().skip(self.names.len())).collect()
    }

    /// Planes of probabilities: the network's channels; 2 where a single sigmoid and two classes' planes are averaged.
    pub fn planes(&self) -> usize {
        self.planes
    }

    /// The models, in the order in which their probabilities are added.
    pub fn models(&self) -> impl Iterator<Item = &Model> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// Runs of a network a tile.
    pub fn runs(&self) -> usize {
        (1 + self.others.len()) * self.tta.orientations().len()
    }

    /// Whether some run is on a picture turned by 90 degrees.
    pub fn turns(&self) -> bool {
        self.tta == Tta::D4
    }

    /// Input sizes that all models take.
    pub fn size_rule(&self) -> SizeRule {
        self.rule
    }

    /// What tiling must know of all models, from what it must know of each; or why one cannot be tiled.
    pub fn tile_spec(
        &self,
        of: impl Fn(&Model) -> Result<std::result::Result<TileSpec, String>>,
    ) -> Result<std::result::Result<TileSpec, String>> {
        let SizeRule { minimum, step, margin } = self.rule;
        let mut halo = 0;
        for model in self.models() {
            match of(model)? {
                Ok(spec) => halo = halo.max(spec.halo),
                Err(why) if self.others.is_empty() => return Ok(Err(why)),
                Err(why) => return Ok(Err(format!("{}: {why}", model.name))),
            }
        }
        Ok(Ok(TileSpec { align: step, halo: halo.next_multiple_of(step), margin, minimum }))
    }

    /// The graphs that [`TileRunner`] keeps ready for tiles of one shape: a model, then its turned tiles.
    pub fn tile_graphs(&self, tile: [usize; 2], outputs: TileOutputs) -> Result<Vec<Graph>> {
        let turned = [tile[1], tile[0]];
        let shapes = if self.tta == Tta::D4 && tile != turned { vec![tile, turned] } else { vec![tile] };
        let wants = self.wants(outputs);
        let mut graphs = Vec::new();
        for model in self.models() {
            for &shape in &shapes {
                graphs.push(tile_graph(model, shape, wants, self.planes)?.0);
            }
        }
        Ok(graphs)
    }

    fn wants(&self, outputs: TileOutputs) -> Wants {
        let TileOutputs { probabilities, decision } = outputs;
        match self.runs() {
            1 => Wants { mask: !decision, decision, probabilities },
            _ => Wants { mask: false, decision: false, probabilities: true },
        }
    }
}

/// What is read of a tile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TileOutputs {
    /// Probabilities of every class.
    pub probabilities: bool,
    /// What the class is decided on, in place of the class.
    pub decision: bool,
}

fn common_multiple(a: usize, b: usize) -> usize {
    let (mut x, mut y) = (a.max(1), b.max(1));
    let product = x.saturating_mul(y);
    while y > 0 {
        (x, y) = (y, x % y);
    }
    product / x
}

/// How a network decides a pixel's class on its probabilities.
#[derive(Clone, Copy, PartialEq)]
struct Decides {
    rule: MaskRule,
    planes: usize,
}

impl Decides {
    fn of(model: &Model) -> Result<Self> {
        let mut graph = Graph::new();
        let x = graph.input("x", TensorDesc::linear(model.architecture.example()));
        let x = graph.node("import", ImportNchw, &[x])?;
        let rule = on_probabilities(&model.architecture.build(&mut graph, x)?);
        Ok(Self { rule, planes: model.architecture.out_channels() })
    }

    /// Planes that both can give.
    fn common(self, other: Self) -> Option<usize> {
        let single = Self { rule: MaskRule::Threshold(0.5), planes: 1 };
        let pair = Self { rule: MaskRule::Argmax, planes: 2 };
        match (self, other) {
            (a, b) if a == b => Some(a.planes),
            (a, b) if (a, b) == (single, pair) || (a, b) == (pair, single) => Some(2),
            _ => None,
        }
    }
}

impl std::fmt::Display for Decides {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self.rule {
            MaskRule::Argmax => write!(f, "the largest of {} planes", self.planes),
            MaskRule::Threshold(t) => write!(f, "{} planes with threshold {t}", self.planes),
        }
    }
}

/// A network's rule, for probabilities where it decides on something else.
fn on_probabilities(built: &Built) -> MaskRule {
    match built.rule {
        // A threshold of logits.
        MaskRule::Threshold(t) if built.decision != built.probability => MaskRule::Threshold(1.0 / (1.0 + (-t).exp())),
        rule => rule,
    }
}

/// What a tile's graph gives.
#[derive(Clone, Copy, Debug)]
struct Wants {
    mask: bool,
    decision: bool,
    probabilities: bool,
}

/// Raw pixels in, class ids and `planes` probabilities out, for tiles of one shape; and how probabilities become classes.
fn tile_graph(model: &Model, [h, w]: [usize; 2], wants: Wants, planes: usize) -> Result<(Graph, MaskRule)> {
    let channels = model.architecture.in_channels();
    let mut graph = Graph::new();
    let window = graph.input(WINDOW, TensorDesc::linear(Shape::new(1, channels, h, w)));
    let info = graph.input(INFO, TensorDesc::linear(Shape::new(1, 1, 1, ImageInfo::len(channels))));
    let x = graph.node("image", ImageIn { height: h, width: w }, &[window, info])?;
    let mut built = model.architecture.build(&mut graph, x)?;
    if planes == 2 && graph.shape(built.probability).c == 1 {
        let complement = Unary { kind: UnaryKind::HardSigmoid { alpha: -1.0, beta: 1.0 } };
        let background = graph.node("background", complement, &[built.probability])?;
        let both = graph.node("class planes", Concat, &[background, built.probability])?;
        (built.probability, built.decision, built.rule) = (both, both, MaskRule::Argmax);
    }
    if wants.mask {
        let mask = graph.node("mask", MaskOut { rule: built.rule }, &[built.decision])?;
        graph.output(MASK, mask);
    }
    if wants.decision {
        let exported = graph.node("export decision", ExportNchw, &[built.decision])?;
        graph.output(DECISION, exported);
    }
    if wants.probabilities {
        let exported = graph.node("export probability", ExportNchw, &[built.probability])?;
        graph.output(PROBABILITY, exported);
    }
    let rule = if wants.decision { built.rule } else { on_probabilities(&built) };
    Ok((graph.without_dead_nodes(), rule))
}

/// The networks of an [`Ensemble`], ready for tiles of one shape.
#[derive(Debug)]
pub struct TileRunner {
    tile: [usize; 2],
    margin: usize,
    orientations: Vec<Orientation>,
    /// A model's own, and for turned tiles where those have another shape.
    members: Vec<(Executable, Option<Executable>)>,
    rule: MaskRule,
    outputs: TileOutputs,
    mask: Vec<f32>,
    decision: Vec<f32>,
    planes: Vec<f32>,
}

impl TileRunner {
    /// Compiles and allocates what tiles of `tile` rows and columns need.
    pub fn new(backend: &Backend, ensemble: &Ensemble, tile: [usize; 2], outputs: TileOutputs) -> Result<Self> {
        let wants = ensemble.wants(outputs);
        let turned = [tile[1], tile[0]];
        let mut rule = MaskRule::Argmax;
        let mut members = Vec::new();
        for model in ensemble.models() {
            let (graph, own) = tile_graph(model, tile, wants, ensemble.planes)?;
            rule = own;
            let upright = backend.prepare(&graph, model.stored())?;
            let turned = if ensemble.tta == Tta::D4 && tile != turned {
                Some(backend.prepare(&tile_graph(model, turned, wants, ensemble.planes)?.0, model.stored())?)
            } else {
                None
            };
            members.push((upright, turned));
        }
        Ok(Self {
            tile,
            margin: ensemble.rule.margin,
            orientations: ensemble.tta.orientations(),
            members,
            rule,
            outputs,
            mask: Vec::new(),
            decision: Vec::new(),
            planes: Vec::new(),
        })
    }

    /// Bytes of device memory held.
    pub fn device_bytes(&self) -> u64 {
        let each = |m: &(Executable, Option<Executable>)| {
            m.0.device_bytes() + m.1.as_ref().map_or(0, Executable::device_bytes)
        };
        self.members.iter().map(each).sum()
    }

    /// Runs a tile. `pixels` are the raw samples of `place`'s rows and columns, planar (channel, row, column); `affines`
    /// are the normalisations, a model each. `progress` gets a fraction from 0 to 1 and may cancel.
    pub fn run(
        &mut self,
        place: &TilePlace,
        pixels: &[f32],
        affines: &[Vec<ChannelAffine>],
        mut progress: impl FnMut(f64) -> Result<()>,
    ) -> Result<()> {
        let read = [place.rows.len(), place.columns.len()];
        if place.size != self.tile || affines.len() != self.members.len() {
            let reason = format!("a tile of {:?} with {} normalisations was given", place.size, affines.len());
            return Err(Error::invalid(
                "tile",
                format!("{reason} to {} models for {:?}", self.members.len(), self.tile),
            ));
        }
        let count = self.members.len() * self.orientations.len();
        let output = self.tile.map(|n| n - 2 * self.margin);
        self.planes.clear();
        let mut done = 0;
        for ((upright, turned), affine) in self.members.iter_mut().zip(affines) {
            for &by in &self.orientations {
                let executable = match turned {
                    Some(turned) if by.transpose => turned,
                    _ => &mut *upright,
                };
                let (window, info) = inputs(&place.oriented(by), &by.planes(pixels, read), affine);
                executable.write(WINDOW, &window)?;
                executable.write(INFO, &info)?;
                let so_far = |part: f64| (done as f64 + part) / count as f64;
                executable.run(|k, of| progress(so_far(k as f64 / of.max(1) as f64)))?;
                done += 1;
                if count == 1 {
                    if self.outputs.decision {
                        self.decision = executable.read(DECISION)?.into_data();
                    } else {
                        self.mask = executable.read(MASK)?.into_data();
                    }
                    if self.outputs.probabilities {
                        self.planes = executable.read(PROBABILITY)?.into_data();
                    }
                    return Ok(());
                }
                let result = executable.read(PROBABILITY)?;
                let result = by.inverse().planes(result.data(), by.size(output));
                if self.planes.is_empty() {
                    self.planes = result;
                } else {
                    self.planes.iter_mut().zip(result).for_each(|(sum, v)| *sum += v);
                }
            }
        }
        let factor = 1.0 / count as f32;
        self.planes.iter_mut().for_each(|sum| *sum *= factor);
        if self.outputs.decision {
            self.decision = self.planes.clone();
        } else {
            self.mask = decide(self.rule, &self.planes, output[0] * output[1]);
        }
        Ok(())
    }

    /// Class ids of the tile last run, `[H, W]` of the network's output; empty where [`Self::decision`] is asked for.
    pub fn mask(&self) -> &[f32] {
        &self.mask
    }

    /// What its classes are decided on, `[K, H, W]`; empty if it was not asked for.
    pub fn decision(&self) -> &[f32] {
        &self.decision
    }

    /// How they are decided on that.
    pub fn rule(&self) -> MaskRule {
        self.rule
    }

    /// Its probabilities `[K, H, W]`; empty if they were not asked for.
    pub fn probabilities(&self) -> &[f32] {
        if self.outputs.probabilities { &self.planes } else { &[] }
    }
}

/// The class ids of probabilities, as [`MaskOut`] decides them.
fn decide(rule: MaskRule, planes: &[f32], pixels: usize) -> Vec<f32> {
    let classes = planes.len() / pixels.max(1);
    (0..pixels)
        .map(|i| {
            let value = |c: usize| planes[c * pixels + i];
            let best = (1..classes).fold(0, |best, c| if value(c) > value(best) { c } else { best });
            match rule {
                MaskRule::Argmax => best as f32,
                MaskRule::Threshold(t) if value(best) > t => best as f32 + 1.0,
                MaskRule::Threshold(_) => 0.0,
            }
        })
        .collect()
}

/// The raw pixels of a tile in a window as large as the tile, and the words that say where they belong.
fn inputs(place: &TilePlace, pixels: &[f32], affine: &[ChannelAffine]) -> (Vec<f32>, Vec<f32>) {
    let [h, w] = place.size;
    let (rows, columns) = (place.rows.len(), place.columns.len());
    let mut window = vec![0.0; affine.len() * h * w];
    for (i, line) in pixels.chunks_exact(columns.max(1)).enumerate() {
        let (c, y) = (i / rows.max(1), i % rows.max(1));
        let at = (c * h + y) * w;
        if let Some(to) = window.get_mut(at..at + line.len()) {
            to.copy_from_slice(line);
        }
    }
    let info = ImageInfo {
        tile: place.start.map(|n| n as i64),
        window: [place.rows.start, place.columns.start],
        picture: place.picture,
        channels: affine.iter().map(|a| [a.offset, a.scale, a.low, a.high]).collect(),
    };
    (window, info.words())
}

#[cfg(test)]
mod tests;
