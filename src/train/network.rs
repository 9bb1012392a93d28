//! The graph of augmentation, network and loss; and the initial weights.

use super::augment::Augmenter;
use super::loss::{Heads, LossConfig, Targets};
use super::rng::Rng;
use super::step::LOSS;
use crate::error::Result;
use crate::graph::Graph;
use crate::model::{Architecture, INPUT};
use crate::ops::{ConvTranspose2d, ImportNchw};
use crate::tensor::{HostTensor, Shape, TensorDesc};
use std::collections::HashMap;

/// Name of the input that holds class ids `[N, 1, H, W]`, or the planes of instances `[N, P, H, W]`.
pub const TARGET: &str = "target";
/// Name of the input that holds pixel weights `[N, 1, H, W]`.
pub const WEIGHT: &str = "weight";

/// The graph, in evaluation mode, whose output `loss` is the loss of `n` crops of `side` x `side` pixels.
pub fn loss_graph(
    model: &dyn Architecture,
    loss: &LossConfig,
    augmenter: &Augmenter,
    weighted: bool,
    [n, side]: [usize; 2],
) -> Result<Graph> {
    let mut g = Graph::new();
    let map = Shape::new(n, 1, side, side);
    let image = g.input(INPUT, TensorDesc::linear(map.with_c(model.in_channels())));
    let target = g.input(TARGET, TensorDesc::linear(augmenter.target_shape(loss.target_planes())));
    let weight = weighted.then(|| g.input(WEIGHT, TensorDesc::linear(augmenter.target_shape(1))));
    let augmented = augmenter.build(&mut g, image, target, weight)?;
    let x = g.node("import", ImportNchw, &[augmented.image])?;
    let built = model.build(&mut g, x)?;
    let targets = Targets { target: augmented.target, kind: loss.target_kind(), weight: augmented.weight };
    let value = loss.build(&mut g, &Heads::of(&built), &targets)?;
    g.output(LOSS, value);
    Ok(g)
}

/// Initial parameters by name and dimensions (U-Net, section 3; He et al., 2015). Weights have variance `2 / N`, where
/// `N` is the fan-in; biases and running means are 0, gains and running variances 1. For a given seed, a parameter's
/// values depend on its name alone.
pub fn initial(graph: &Graph, seed: u64) -> impl Fn(&str, &[usize]) -> Result<HostTensor> + use<> {
    let mut inputs = HashMap::new();
    for node in graph.nodes() {
        if let Some(up) = node.op.as_op::<ConvTranspose2d>() {
            let s = graph.shape(node.inputs[1]);
            let per_output = s.n * s.h * s.w / (up.stride[0] * up.stride[1]).max(1);
            inputs.insert(graph.value(node.inputs[1]).name.clone(), per_output.max(1));
        }
    }
    move |name, dims| {
        let count: usize = dims.iter().product();
        let last = name.rsplit('.').next().unwrap_or_default();
        let constant = match last {
            "running_var" => Some(1.0),
            "weight" if dims.len() == 1 => Some(1.0),
            "weight" => None,
            _ => Some(0.0),
        };
        if let Some(v) = constant {
            return HostTensor::new(dims, vec![v; count]);
        }
        let n = inputs.get(name).copied().unwrap_or_else(|| dims[1..].iter().product::<usize>().max(1));
        let std = (2.0 / n as f64).sqrt();
        // FNV-1a; the shift keeps the hash below the reserved streams.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
        let mut rng = Rng::new(seed, hash >> 16);
        HostTensor::new(dims, (0..count).map(|_| (std * rng.normal()) as f32).collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model;

    #[test]
    fn weights_have_he_variance() {
        let net = model::parse("unet", &serde_json::json!({"width": 16, "depth": 2})).unwrap();
        let graph = model::whole_graph(&*net, 1, 44, 44).unwrap();
        let initial = initial(&graph, 3);
        for (name, dims, inputs) in
            [("enc.1.conv2.weight", [32, 32, 3, 3], 288.0), ("up.1.weight", [64, 32, 2, 2], 64.0)]
        {
            let t = initial(name, &dims).unwrap();
            let var = t.data().iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / t.data().len() as f64;
            assert!((var * inputs / 2.0 - 1.0).abs() < 0.06, "{name}: {var}");
            assert!(t.data() == initial(name, &dims).unwrap().data());
        }
        assert_eq!(initial("enc.0.bn1.weight", &[3]).unwrap().data(), [1.0; 3]);
        assert_eq!(initial("enc.0.bn1.running_mean", &[2]).unwrap().data(), [0.0; 2]);
    }
}
