//! The network family. A config builds graph nodes with the canonical parameter names.
//!
//! To add an architecture, write one file with a config struct and its [`Architecture`], and add a line to
//! `registry`.

#[cfg(feature = "bioimage")]
pub mod bioimage;
mod blocks;
mod configured;
pub mod dialect;
mod loaded;
pub mod onnx;
pub mod onnx_export;
mod open;
mod options;
mod outputs;
#[cfg(feature = "bioimage")]
mod package;
mod registry;
mod unet;
mod unet_3_plus;
mod unet_plus_plus;

pub use loaded::Model;
pub(crate) use outputs::Interpreted;
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
    /// Every output by name, in blocked layout.
    pub outputs: Vec<(String, ValueId)>,
    /// The raw output `[N, C, H', W']` of the head that segmentation uses, before softmax or sigmoid; of several heads that
    /// are averaged, the mean. Networks with a target for instances are read from it.
    pub logits: ValueId,
    /// Class probabilities `[N, K, H', W']` of the head that segmentation uses.
    pub probability: ValueId,
    /// The value that `rule` derives the class from.
    pub decision: ValueId,
    /// How the class of a pixel follows from `decision`.
    pub rule: MaskRule,
}

impl Built {
    /// Name of the output that segmentation uses: class probabilities if they are an output, else logits.
    pub(crate) fn segmentation_output(&self) -> Option<&str> {
        let named = |value: ValueId| self.outputs.iter().find(|o| o.1 == value).map(|o| &o.0[..]);
        named(self.probability).or_else(|| named(self.logits))
    }
}

/// Valid input sizes along each axis, `minimum + k * step`, and how much smaller the output is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeRule {
    /// Smallest input, in pixels.
    pub minimum: usize,
    /// Distance between valid input sizes, in pixels.
    pub step: usize,
    /// Pixels that the output loses on each side.
    pub margin: usize,
}

/// Default training loss of an architecture. Its details depend on the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultLoss {
    /// Binary cross entropy plus soft Dice.
    CrossEntropyDice,
    /// Softmax cross entropy plus soft Dice.
    SoftmaxCrossEntropyDice,
    /// Pixel-weighted softmax cross entropy, as in the U-Net paper.
    WeightedCrossEntropy,
    /// Focal loss, MS-SSIM and IoU, as in the U-Net 3+ paper.
    UNet3Plus,
}

/// A network of the family, fully configured.
pub trait Architecture: Debug + Send + Sync {
    /// Registry id, as stored in checkpoints.
    fn id(&self) -> &'static str;

    /// Display name.
    fn name(&self) -> &'static str;

    /// Channels of the input image.
    fn in_channels(&self) -> usize;

    /// Channels of the output.
    fn out_channels(&self) -> usize;

    /// Classes of the mask, background included: one more than the channels if each channel has its own sigmoid.
    fn classes(&self) -> usize {
        self.out_channels().max(2)
    }

    /// All constructor arguments, as in the `config` of a checkpoint.
    fn config(&self) -> serde_json::Value;

    /// Valid input sizes.
    fn size_rule(&self) -> SizeRule;

    /// Rows and columns that are fixed, as an ONNX file may prescribe; [`Self::size_rule`] does not apply to them.
    fn fixed_size(&self) -> [Option<usize>; 2] {
        [None; 2]
    }

    /// Why the network can be run but not segment, if so. For example, the output of a super-resolution network differs
    /// in size from its input, so it does not give a class per input pixel.
    fn unfit(&self) -> Option<String> {
        None
    }

    /// Whether [`Self::size_rule`] is a general rule. If not, it describes only [`Self::example`], and sizes are tried
    /// on demand with [`Self::tried_size`].
    fn ruled(&self) -> bool {
        true
    }

    /// Without a size rule: the smallest valid input `[H, W]` that covers an image `[H, W]`, given that the output
    /// loses [`SizeRule::margin`] on every side.
    fn tried_size(&self, image: [usize; 2]) -> Result<[usize; 2]> {
        Ok(image)
    }

    /// Invalid margin of the output, in rows and columns, as declared by the network's authors. Tiles overlap by at
    /// least that much.
    fn invalid_margin(&self) -> [usize; 2] {
        [0; 2]
    }

    /// The bare network, if this one wraps it in a package's processing.
    fn inner(&self) -> Option<Arc<dyn Architecture>> {
        None
    }

    /// For networks that start with a transpose: the equivalent network on transposed input. Both allow the same tiles.
    fn untransposed(&self) -> Option<Arc<dyn Architecture>> {
        None
    }

    /// Shape (NCHW) of the smallest valid input.
    fn example(&self) -> Shape {
        let size = self.size_rule().minimum;
        Shape::new(1, self.in_channels(), size, size)
    }

    /// For the given input shape: dimensions, as in the network's file, of the outputs that are not N, C, H, W.
    fn output_dims(&self, _input: Shape) -> Result<BTreeMap<String, Vec<usize>>> {
        Ok(BTreeMap::new())
    }

    /// Config options that select how much of a trained network is run; they can be changed each time it is opened.
    fn choices(&self) -> &'static [&'static str] {
        &[]
    }

    /// Training loss, unless the user picks another.
    fn default_loss(&self) -> DefaultLoss {
        if self.out_channels() == 1 { DefaultLoss::CrossEntropyDice } else { DefaultLoss::SoftmaxCrossEntropyDice }
    }

    /// Where dropout is applied in training.
    fn dropouts(&self) -> Vec<DropoutAt> {
        Vec::new()
    }

    /// Adds the network to a graph; `x` is `[N, in_channels, H, W]` in blocked layout.
    fn build(&self, graph: &mut Graph, x: ValueId) -> Result<Built>;
}

/// The network on a plain NCHW tensor [`INPUT`], without outputs.
pub(crate) fn built(model: &dyn Architecture, input: Shape) -> Result<(Graph, Built)> {
    let mut graph = Graph::new();
    let x = graph.input(INPUT, TensorDesc::linear(input));
    let x = graph.node("import", ImportNchw, &[x])?;
    let built = model.build(&mut graph, x)?;
    Ok((graph, built))
}

/// The whole network with plain NCHW tensors at both ends: input [`INPUT`], every output of [`Built::outputs`].
pub fn whole_graph(model: &dyn Architecture, n: usize, h: usize, w: usize) -> Result<Graph> {
    let (mut graph, built) = built(model, Shape::new(n, model.in_channels(), h, w))?;
    for (name, v) in built.outputs {
        let exported = graph.node(format!("export {name}"), ExportNchw, &[v])?;
        graph.output(name, exported);
    }
    Ok(graph)
}

/// Number of trainable elements: all parameters of the graph except running statistics.
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

/// Upper bound on what a hostile config may request; no network of the family has as many channels.
const MAX_CHANNELS: usize = 16_384;

/// Checks the options that the three configs share.
fn check_common(in_channels: usize, out_channels: usize, depth: usize) -> Result<()> {
    in_range("in_channels", in_channels, MAX_CHANNELS)?;
    in_range("out_channels", out_channels, MAX_CHANNELS)?;
    in_range("depth", depth, 8)
}

fn in_range(what: &str, v: usize, max: usize) -> Result<()> {
    if (1..=max).contains(&v) { Ok(()) } else { Err(Error::invalid(what, format!("{v} is not in 1..{max}"))) }
}
