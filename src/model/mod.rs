//! The network family: a config that builds nodes on a graph, with the canonical parameter names.
//!
//! Adding an architecture: one file with a config struct and its [`Architecture`], and a line in [`registry`].

#[cfg(feature = "bioimage")]
pub mod bioimage;
mod blocks;
pub mod dialect;
mod loaded;
pub mod onnx;
mod registry;
mod unet;
mod unet_3_plus;
mod unet_plus_plus;

pub use loaded::Model;
pub(crate) use registry::Configured;
pub use registry::{ArchitectureId, parse};
pub use unet::{Padding, UNet, Up};
pub use unet_3_plus::{Gate, HeadActivation, UNet3Plus};
pub use unet_plus_plus::{NestedUp, UNetPlusPlus};

use crate::error::{Error, Result};
use crate::graph::{DropoutAt, Graph, ValueId};
use crate::ops::{ExportNchw, ImportNchw, MaskRule};
use crate::tensor::{Shape, TensorDesc};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

/// Name of the network's input.
pub const INPUT: &str = "input";

/// What a network computes.
#[derive(Clone, Debug)]
pub struct Built {
    /// Every output by name; blocked values.
    pub outputs: Vec<(String, ValueId)>,
    /// Class probabilities `[N, K, H', W']` of the head that segmentation uses.
    pub probability: ValueId,
    /// What the class is decided on.
    pub decision: ValueId,
    /// How.
    pub rule: MaskRule,
}

/// Which input sizes a network takes, on each axis: `minimum + k * step`, and how much smaller its output is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeRule {
    /// Smallest input, pixels.
    pub minimum: usize,
    /// Distance between legal inputs that are treated alike, pixels.
    pub step: usize,
    /// Pixels lost on each side.
    pub margin: usize,
}

/// Losses that architectures are trained with by default; the data decide the details.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultLoss {
    /// Binary cross entropy and soft Dice.
    CrossEntropyDice,
    /// Softmax cross entropy and soft Dice.
    SoftmaxCrossEntropyDice,
    /// Pixel-weighted softmax cross entropy: the U-Net paper's.
    WeightedCrossEntropy,
    /// Focal loss, MS-SSIM and IoU: the U-Net 3+ paper's.
    UNet3Plus,
}

/// A network of the family, fully configured.
pub trait Architecture: Debug + Send + Sync {
    /// Its id in the registry, as checkpoints have it.
    fn id(&self) -> &'static str;

    /// Name for people.
    fn name(&self) -> &'static str;

    /// Channels of the input image.
    fn in_channels(&self) -> usize;

    /// Classes.
    fn out_channels(&self) -> usize;

    /// Classes of the mask, the background among them: one more than channels where each has a sigmoid of its own.
    fn classes(&self) -> usize {
        self.out_channels().max(2)
    }

    /// The constructor arguments that differ from nothing: all of them, as a checkpoint's `config` holds them.
    fn config(&self) -> serde_json::Value;

    /// Legal input sizes.
    fn size_rule(&self) -> SizeRule;

    /// Rows and columns of a network that takes no others, as an ONNX file may say; [`Self::size_rule`] does not apply to them.
    fn fixed_size(&self) -> [Option<usize>; 2] {
        [None; 2]
    }

    /// Why no class of every pixel follows from the output, of a network that can only be run: its output has another size
    /// than its input, as that of one which upsamples.
    fn unfit(&self) -> Option<String> {
        None
    }

    /// Whether [`Self::size_rule`] holds for more than the example: where no rule was found, sizes are tried as they are
    /// needed.
    fn ruled(&self) -> bool {
        true
    }

    /// Where no rule was found: the smallest input that it takes for an image of so many rows and columns, of which it loses
    /// [`SizeRule::margin`] on every side.
    fn tried_size(&self, image: [usize; 2]) -> Result<[usize; 2]> {
        Ok(image)
    }

    /// Rows and columns at the border of an output that are not to be trusted, by those who made the network. Tiles overlap
    /// at least as far.
    fn invalid_margin(&self) -> [usize; 2] {
        [0; 2]
    }

    /// The network alone, of one that a package adds processing to.
    fn inner(&self) -> Option<Arc<dyn Architecture>> {
        None
    }

    /// The same for images whose rows and columns are exchanged, of a network that exchanges them first: what can be tiled
    /// there can be tiled here.
    fn untransposed(&self) -> Option<Arc<dyn Architecture>> {
        None
    }

    /// An input that the network takes: the smallest.
    fn example(&self) -> Shape {
        let size = self.size_rule().minimum;
        Shape::new(1, self.in_channels(), size, size)
    }

    /// Dimensions that the network's file has for outputs whose are not N, C, H, W, for an input of that shape.
    fn output_dims(&self, _input: Shape) -> Result<BTreeMap<String, Vec<usize>>> {
        Ok(BTreeMap::new())
    }

    /// Options of the config that say how much of a trained network is run, and may be chosen anew whenever it is opened.
    fn choices(&self) -> &'static [&'static str] {
        &[]
    }

    /// What it is trained to minimise unless something else is asked for.
    fn default_loss(&self) -> DefaultLoss {
        if self.out_channels() == 1 { DefaultLoss::CrossEntropyDice } else { DefaultLoss::SoftmaxCrossEntropyDice }
    }

    /// Where elements are dropped out in training.
    fn dropouts(&self) -> Vec<DropoutAt> {
        Vec::new()
    }

    /// Adds the network to a graph; `x` is blocked, `[N, in_channels, H, W]`.
    fn build(&self, graph: &mut Graph, x: ValueId) -> Result<Built>;
}

/// The network on an input `input` of plain NCHW, not yet with outputs.
pub(crate) fn built(model: &dyn Architecture, input: Shape) -> Result<(Graph, Built)> {
    let mut graph = Graph::new();
    let x = graph.input(INPUT, TensorDesc::linear(input));
    let x = graph.node("import", ImportNchw, &[x])?;
    let built = model.build(&mut graph, x)?;
    Ok((graph, built))
}

/// The whole network with plain NCHW tensors at both ends: input `input`, every output of [`Built::outputs`].
pub fn whole_graph(model: &dyn Architecture, n: usize, h: usize, w: usize) -> Result<Graph> {
    let (mut graph, built) = built(model, Shape::new(n, model.in_channels(), h, w))?;
    for (name, v) in built.outputs {
        let exported = graph.node(format!("export {name}"), ExportNchw, &[v])?;
        graph.output(name, exported);
    }
    Ok(graph)
}

/// Number of trainable elements: every parameter of the graph but running statistics.
pub fn parameter_count(graph: &Graph) -> usize {
    let trainable = |name: &str| !name.ends_with("running_mean") && !name.ends_with("running_var");
    graph.parameters().filter(|p| trainable(p.0)).map(|p| p.1.iter().product::<usize>()).sum()
}

/// `widths` if given (it must have `depth + 1` entries), else `width` doubling per level.
fn levels(widths: Option<&[usize]>, width: usize, depth: usize) -> Result<Vec<usize>> {
    let levels = match widths {
        Some(w) if w.len() != depth + 1 => {
            return Err(Error::invalid("widths", format!("{} entries, depth {depth} needs {}", w.len(), depth + 1)));
        }
        Some(w) => w.to_vec(),
        None => (0..=depth).map(|i| width.saturating_mul(1 << i)).collect(),
    };
    let what = if widths.is_some() { "widths" } else { "width" };
    for (i, &w) in levels.iter().enumerate() {
        in_range(&format!("{what} (level {i})"), w, MAX_CHANNELS)?;
    }
    Ok(levels)
}

/// More channels than any network of the family has: what a hostile config may ask for.
const MAX_CHANNELS: usize = 16_384;

/// Checks what the three configs have in common.
fn check_common(in_channels: usize, out_channels: usize, depth: usize) -> Result<()> {
    in_range("in_channels", in_channels, MAX_CHANNELS)?;
    in_range("out_channels", out_channels, MAX_CHANNELS)?;
    in_range("depth", depth, 8)
}

fn in_range(what: &str, v: usize, max: usize) -> Result<()> {
    if (1..=max).contains(&v) { Ok(()) } else { Err(Error::invalid(what, format!("{v} is not in 1..{max}"))) }
}
