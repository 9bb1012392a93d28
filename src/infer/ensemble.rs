//! Ensembles of networks and image orientations: their probabilities are averaged before the class is decided.
//!
//! Every run uses the same window as the network alone, oriented and rotated back, so the result does not depend on
//! tiles either.
//!
//! The averaged planes are class planes that all networks share. A network with a single sigmoid decides two classes
//! with one plane p; next to networks with one plane per class it contributes [1 - p, p], so p > 0.5 remains its own
//! decision.

use super::orient::Orientation;
use super::tile::graph::{TileBatch, TileGraph, TileOutputs, TileRequest, on_probabilities, tile_graph};
use super::tile::grid::{TileSpec, Tileability};
use crate::error::{Error, Hint, Message, Result};
use crate::graph::Graph;
use crate::model::{Model, SizeRule};
use crate::names::{Name, Named, named};
use crate::ops::MaskRule;
use crate::weights::InstanceTarget;

/// Test-time augmentation: orientations of the image whose probabilities are averaged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Tta {
    /// The image unchanged.
    #[default]
    None,
    /// Also mirrored left to right, top to bottom, and both: 4 runs of the network.
    Flips,
    /// Those four, each also rotated by 90 degrees: the symmetries of a square, 8 runs.
    D4,
}

impl Named for Tta {
    const WHAT: &'static str = "test-time augmentation";
    const NAMES: &'static [Name<Self>] = &[
        Name::new(Self::None, "none", "The image as it is"),
        Name::new(Self::Flips, "flips", "Mirrored left to right, top to bottom, and both: 4 runs"),
        Name::new(Self::D4, "d4", "Those, and each rotated by 90 degrees: 8 runs"),
    ];
}

named!(Tta);

impl Tta {
    /// The orientations, starting with the identity.
    pub fn orientations(self) -> Vec<Orientation> {
        let count = match self {
            Self::None => 1,
            Self::Flips => 4,
            Self::D4 => 8,
        };
        Orientation::all().into_iter().take(count).collect()
    }
}

/// Models used as one. They must agree in classes, image channels, and padding. Classes agree if there are equally many
/// and no class has two different names; a model without names adopts those of the others.
#[derive(Clone, Debug)]
pub struct Ensemble {
    first: Model,
    others: Vec<Model>,
    rule: SizeRule,
    tta: Tta,
    planes: usize,
    /// Class names, as far as the models have any.
    names: Vec<String>,
}

impl From<Model> for Ensemble {
    fn from(model: Model) -> Self {
        let (rule, planes) = (model.architecture.size_rule(), model.planes());
        let names = model.metadata.classes.clone();
        Self { first: model, others: Vec::new(), rule, tta: Tta::None, planes, names }
    }
}

impl Ensemble {
    /// An ensemble of at least one model. Fails unless the models agree.
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
            return differ("channels of the image", a.in_channels().to_string(), b.in_channels().to_string());
        }
        let names = &model.metadata.classes;
        let classes = [self.classes(), model.classes()];
        if classes[0].len() != classes[1].len() || self.names.iter().zip(names).any(|(a, b)| a != b) {
            let [ours, theirs] = classes.map(|list| format!("[{}]", list.join(", ")));
            return differ("classes", ours, theirs);
        }
        let (ours, theirs) = (self.first.geometry(), model.geometry());
        if ours != theirs {
            let [ours, theirs] = [ours, theirs].map(|t| t.map_or("classes alone".to_string(), |t| t.to_string()));
            return differ("what they predict for instances", ours, theirs);
        }
        let (ours, theirs) = (DecisionRule::of(&self.first)?, DecisionRule::of(&model)?);
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
        if let Some(of) = [&self.first, &model].into_iter().find(|m| !m.architecture.ruled()) {
            let reason = Message::from(format!("{}: no rule was found for its sizes; set one with `", of.name))
                .then(Hint::model_option_with("size", "ROWSxCOLUMNS"))
                .then("`");
            return Err(Error::invalid("ensemble", reason));
        }
        let (rule, theirs) = (self.rule, b.size_rule());
        if rule != theirs && (rule.margin > 0 || theirs.margin > 0) {
            let sizes = |r: SizeRule| format!("inputs of {} + {} k that lose {} a side", r.minimum, r.step, r.margin);
            return differ("padding", sizes(rule), sizes(theirs));
        }
        // Without a margin, inputs are multiples of the step.
        let step = common_multiple(rule.step, theirs.step);
        let minimum = rule.minimum.max(theirs.minimum).next_multiple_of(step);
        self.rule = if rule == theirs { rule } else { SizeRule { minimum, step, margin: 0 } };
        self.planes = self.planes.max(planes);
        self.names.extend(names.get(self.names.len()..).unwrap_or_default().to_vec());
        self.others.push(model);
        Ok(())
    }

    /// Sets the test-time augmentation.
    #[must_use]
    pub fn with_tta(self, tta: Tta) -> Self {
        Self { tta, ..self }
    }

    /// The first model, which represents the properties that all share.
    pub fn first(&self) -> &Model {
        &self.first
    }

    /// Class names; generated where no model has any.
    pub fn classes(&self) -> Vec<String> {
        let (known, all) = (self.names.iter().cloned(), self.first.classes());
        known.chain(all.into_iter().skip(self.names.len())).collect()
    }

    /// Number of probability planes: the network's channels, or 2 if a single sigmoid is averaged with planes of two
    /// classes.
    pub fn planes(&self) -> usize {
        self.planes
    }

    /// Number of planes of geometry.
    pub fn geometry(&self) -> usize {
        self.first.geometry().map_or(0, InstanceTarget::geometry)
    }

    /// The models, in the order in which their probabilities are summed.
    pub fn models(&self) -> impl Iterator<Item = &Model> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// Network runs per tile.
    pub fn runs(&self) -> usize {
        (1 + self.others.len()) * self.tta.orientations().len()
    }

    /// Whether any run is on a transposed image.
    pub fn transposes(&self) -> bool {
        self.tta == Tta::D4
    }

    /// Input sizes that all models accept.
    pub fn size_rule(&self) -> SizeRule {
        self.rule
    }

    /// Whether all models can be tiled exactly, from the same of each.
    pub fn tileability(&self, of: impl Fn(&Model) -> Result<Tileability>) -> Result<Tileability> {
        let SizeRule { minimum, step, margin } = self.rule;
        let mut halo = 0;
        for model in self.models() {
            match of(model)? {
                Tileability::Exact(spec) => halo = halo.max(spec.halo),
                Tileability::Impossible(why) if !self.others.is_empty() => {
                    return Ok(Tileability::Impossible(format!("{}: {why}", model.name)));
                }
                impossible => return Ok(impossible),
            }
        }
        Ok(Tileability::Exact(TileSpec { align: step, halo: halo.next_multiple_of(step), margin, minimum }))
    }

    /// The orientations grouped by session: transposed tiles need a separate session unless they are square.
    pub(super) fn groups(&self, tile: [usize; 2]) -> Vec<Vec<Orientation>> {
        let all = self.tta.orientations();
        match tile[0] == tile[1] || !self.transposes() {
            true => vec![all],
            false => {
                let (oriented, upright) = all.into_iter().partition(|o| o.transpose);
                vec![upright, oriented]
            }
        }
    }

    /// Runs of a session per tile of this size.
    pub(super) fn runs_together(&self, tile: [usize; 2]) -> usize {
        self.groups(tile).first().map_or(1, Vec::len)
    }

    /// The graphs that a [`TileRunner`](super::TileRunner) prepares for tiles of one shape and a batch size of `batch`:
    /// for each model, its tiles and then its transposed tiles.
    pub fn tile_graphs(&self, tile: [usize; 2], outputs: TileOutputs, batch: usize) -> Result<Vec<Graph>> {
        let mut graphs = Vec::new();
        for model in self.models() {
            for group in self.groups(tile) {
                graphs.extend(
                    self.tile_graph(model, &group, TileBatch { tiles: batch, shape: tile }, outputs)?.map(|g| g.graph),
                );
            }
        }
        Ok(graphs)
    }

    /// A model's graph for the orientations of a group, whose tiles have equal shape; `None` for an empty group.
    pub(super) fn tile_graph(
        &self,
        model: &Model,
        group: &[Orientation],
        batch: TileBatch,
        outputs: TileOutputs,
    ) -> Result<Option<TileGraph>> {
        let Some(by) = group.first() else { return Ok(None) };
        let batch = TileBatch { shape: by.size(batch.shape), ..batch };
        tile_graph(model, batch, self.request(outputs), self.planes).map(Some)
    }

    pub(super) fn request(&self, outputs: TileOutputs) -> TileRequest {
        let TileOutputs { probabilities, decision, geometry } = outputs;
        match self.runs() {
            1 => TileRequest { mask: !decision, decision, probabilities, geometry, logits: false },
            _ => TileRequest { probabilities: true, geometry, ..TileRequest::default() },
        }
    }
}

fn common_multiple(a: usize, b: usize) -> usize {
    let (mut x, mut y) = (a.max(1), b.max(1));
    let product = x.saturating_mul(y);
    while y > 0 {
        (x, y) = (y, x % y);
    }
    product / x
}

/// How a network decides a pixel's class from its probabilities.
#[derive(Clone, Copy, PartialEq)]
struct DecisionRule {
    rule: MaskRule,
    planes: usize,
}

impl DecisionRule {
    fn of(model: &Model) -> Result<Self> {
        let rule = on_probabilities(&model.built()?.1.built);
        Ok(Self { rule, planes: model.planes() })
    }

    /// The number of planes that both can supply.
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

impl std::fmt::Display for DecisionRule {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self.rule {
            MaskRule::Argmax => write!(f, "the largest of {} planes", self.planes),
            MaskRule::Threshold(t) => write!(f, "{} planes with threshold {t}", self.planes),
            MaskRule::Foreground => write!(f, "the foreground, then the largest of {} planes", self.planes - 1),
        }
    }
}

#[cfg(test)]
mod tests;
