//! Several networks, and several orientations of an image, as one: their probabilities averaged before the class is
//! decided.
//!
//! Every run is of the very window that the network would see alone, oriented and turned back, which is why the result does
//! not depend on tiles here either.
//!
//! What is averaged are planes of classes that all networks share. A network with a single sigmoid decides two classes with
//! one plane p; beside networks with a plane each of the two it gives [1 - p, p], so p > 0.5 is still its decision alone.

use super::orient::Orientation;
use super::tile::TileSpec;
use super::tile_graph::{TileOutputs, TileRequest, on_probabilities, tile_graph};
use crate::error::{Error, Hint, Message, Result};
use crate::graph::Graph;
use crate::model::{Model, SizeRule, built};
use crate::names::{Name, Named, named};
use crate::ops::MaskRule;

/// Test-time augmentation: orientations of the image whose probabilities are averaged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Tta {
    /// The image as it is.
    #[default]
    None,
    /// Also mirrored left to right, top to bottom, and both: 4 runs of the network.
    Flips,
    /// Those, and each turned by 90 degrees: the symmetries of a square, 8 runs.
    D4,
}

impl Named for Tta {
    const WHAT: &'static str = "test-time augmentation";
    const NAMES: &'static [Name<Self>] = &[
        Name::new(Self::None, "none", "The image as it is"),
        Name::new(Self::Flips, "flips", "Mirrored left to right, top to bottom, and both: 4 runs"),
        Name::new(Self::D4, "d4", "Those, and each turned by 90 degrees: 8 runs"),
    ];
}

named!(Tta);

impl Tta {
    /// The orientations, the image as it is first.
    pub fn orientations(self) -> Vec<Orientation> {
        let count = match self {
            Self::None => 1,
            Self::Flips => 4,
            Self::D4 => 8,
        };
        Orientation::all().into_iter().take(count).collect()
    }
}

/// Models that are used as one. They agree in classes, channels of the image, and how they treat borders. Classes agree
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
            return differ("channels of the image", a.in_channels().to_string(), b.in_channels().to_string());
        }
        let names = &model.metadata.classes;
        let classes = [self.classes(), model.classes()];
        if classes[0].len() != classes[1].len() || self.names.iter().zip(names).any(|(a, b)| a != b) {
            let [ours, theirs] = classes.map(|list| format!("[{}]", list.join(", ")));
            return differ("classes", ours, theirs);
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
            let reason = Message::from(format!("{}: for its sizes no rule was found; say one with `", of.name))
                .then(Hint::model_option_with("size", "ROWSxCOLUMNS"))
                .then("`");
            return Err(Error::invalid("ensemble", reason));
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

    /// The same over several orientations of the image.
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

    /// Whether some run is on an image turned by 90 degrees.
    pub fn transposes(&self) -> bool {
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

    /// The orientations that run in one session, by session: turned tiles have one of their own unless they are square.
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

    /// Runs of one session that a tile of this size takes.
    pub(super) fn runs_together(&self, tile: [usize; 2]) -> usize {
        self.groups(tile).first().map_or(1, Vec::len)
    }

    /// The graphs that a [`TileRunner`](super::TileRunner) keeps ready for tiles of one shape, `batch` a run: a model, then
    /// its turned tiles.
    pub fn tile_graphs(&self, tile: [usize; 2], outputs: TileOutputs, batch: usize) -> Result<Vec<Graph>> {
        let shapes: Vec<_> = self.groups(tile).iter().filter_map(|g| Some(g.first()?.size(tile))).collect();
        let request = self.request(outputs);
        let mut graphs = Vec::new();
        for model in self.models() {
            for &shape in &shapes {
                graphs.push(tile_graph(model, (batch, shape), request, self.planes)?.0);
            }
        }
        Ok(graphs)
    }

    pub(super) fn request(&self, outputs: TileOutputs) -> TileRequest {
        let TileOutputs { probabilities, decision } = outputs;
        match self.runs() {
            1 => TileRequest { mask: !decision, decision, probabilities },
            _ => TileRequest { mask: false, decision: false, probabilities: true },
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

/// How a network decides a pixel's class on its probabilities.
#[derive(Clone, Copy, PartialEq)]
struct DecisionRule {
    rule: MaskRule,
    planes: usize,
}

impl DecisionRule {
    fn of(model: &Model) -> Result<Self> {
        let architecture = &*model.architecture;
        let rule = on_probabilities(&built(architecture, architecture.example())?.1);
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

impl std::fmt::Display for DecisionRule {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self.rule {
            MaskRule::Argmax => write!(f, "the largest of {} planes", self.planes),
            MaskRule::Threshold(t) => write!(f, "{} planes with threshold {t}", self.planes),
        }
    }
}

#[cfg(test)]
mod tests;
