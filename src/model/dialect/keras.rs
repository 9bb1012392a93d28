//! MrGiovanni/UNetPlusPlus, the Keras U-Net++: `conv{row}{column}_{1|2}`, `up{row}{column}`, `output_{j}`, with indices
//! from 1. A safetensors export has the same names, in Keras's layout (`kernel`) or PyTorch's (`weight`).

use super::infer::{self, Settings};
use super::{Description, Dialect, Shapes};
use crate::error::{Error, Hint, Message, Result};
use crate::tensor::HostTensor;
use crate::weights::Normalisation;

/// The dialect.
pub(super) struct KerasNested;

/// Splits `conv11_1/conv11_1/kernel:0`, `conv11_1.kernel` or `conv11_1.weight` into layer and role.
fn split(key: &str) -> Option<(&str, &'static str)> {
    let key = key.strip_suffix(":0").unwrap_or(key);
    let (layer, role) = key.rsplit_once(['/', '.'])?;
    let layer = layer.split(['/', '.']).next()?;
    Some((
        layer,
        match role {
            "kernel" | "weight" => "weight",
            "bias" => "bias",
            _ => return None,
        },
    ))
}

fn is_kernel(key: &str) -> bool {
    key.strip_suffix(":0").unwrap_or(key).ends_with("kernel")
}

/// Converts a 1-based digit to a 0-based number.
fn digit(c: char) -> Option<usize> {
    (c.to_digit(10)? as usize).checked_sub(1)
}

/// The canonical name of a layer.
fn layer(name: &str) -> Option<String> {
    let pair = |text: &str| -> Option<(usize, usize)> {
        let mut chars = text.chars();
        let pair = (digit(chars.next()?)?, digit(chars.next()?)?);
        chars.next().is_none().then_some(pair)
    };
    if let Some((node, k)) = name.strip_prefix("conv").and_then(|n| n.split_once('_')) {
        let (i, j) = pair(node)?;
        return ["1", "2"].contains(&k).then(|| format!("node.x{i}_{j}.conv{k}"));
    }
    if let Some(node) = name.strip_prefix("up") {
        let (i, j) = pair(node)?;
        return Some(format!("up.x{i}_{j}"));
    }
    let j: usize = name.strip_prefix("output_")?.parse().ok()?;
    Some(format!("head.{j}"))
}

impl Dialect for KerasNested {
    fn name(&self) -> &'static str {
        "MrGiovanni/UNetPlusPlus (Keras)"
    }

    fn recognise(&self, keys: &Shapes) -> bool {
        let has = |name: &str| keys.keys().any(|k| split(k) == Some((name, "weight")));
        has("conv11_1") && has("conv12_1") && has("up12") && keys.any("output_")
    }

    fn rename(&self, key: &str, _keys: &Shapes) -> Option<String> {
        let (name, role) = split(key)?;
        Some(format!("{}.{role}", layer(name)?))
    }

    /// Keras stores convolutions as `[h, w, in, out]` and transposed ones as `[h, w, out, in]`; PyTorch stores
    /// them as `[out, in, h, w]` and `[in, out, h, w]`. The same permutation converts both.
    fn layout(&self, key: &str, tensor: HostTensor) -> Result<HostTensor> {
        if !is_kernel(key) {
            return Ok(tensor);
        }
        let &[h, w, a, b] = tensor.dims() else {
            let reason = format!("shape {:?} is not [rows, columns, channels, channels]", tensor.dims());
            return Err(Error::invalid(format!("parameter `{key}`"), reason));
        };
        let from = tensor.data();
        let mut to = Vec::with_capacity(from.len());
        for first in 0..b {
            for second in 0..a {
                to.extend((0..h * w).filter_map(|at| from.get((at * a + second) * b + first)));
            }
        }
        HostTensor::new([b, a, h, w], to)
    }

    fn describe(&self, shapes: &Shapes) -> Result<Description> {
        let Settings(settings) =
            infer::unet_plus_plus(shapes)?.assumed("skip_first", false, "it concatenates [up, skips]");
        Ok(Description {
            sigmoid: true,
            arch: "unetpp",
            settings,
            normalisation: Normalisation::Unit,
            normalisation_from: "the repository has no code for its data sets",
            notes: vec![
                Message::from("if trained without deep supervision, only the last head is meaningful: ")
                    .then(Hint::model_option_with("deep_supervision", "false")),
            ],
        })
    }
}
