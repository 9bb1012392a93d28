//! 4uiiurz1/pytorch-nested-unet: `conv{i}_{j}` per node, `final` or `final1` .. `final4`; and its plain U-Net.

use super::infer::{self, Settings};
use super::keys::number;
use super::{Description, Dialect, Shapes};
use crate::error::{Message, Result};
use crate::weights::Normalisation;

/// `NestedUNet`.
pub(super) struct NestedUNet;
/// `UNet` from the same source file: encoder `conv{i}_0`, decoder along the anti-diagonal.
pub(super) struct PlainUNet;

const UP: &str = "its nn.Upsample has align_corners=True";
const IMAGES: &str = "albumentations' Normalize, followed by / 255";

/// Splits `conv{i}_{j}.conv1.weight` into `(i, j, "conv1.weight")`.
fn node(key: &str) -> Option<(usize, usize, &str)> {
    let (i, rest) = number(key.strip_prefix("conv")?)?;
    let (j, rest) = number(rest.strip_prefix('_')?)?;
    let rest = rest.strip_prefix('.')?;
    let part = rest.split('.').next()?;
    ["conv1", "bn1", "conv2", "bn2"].contains(&part).then_some((i, j, rest))
}

fn depth(keys: &Shapes) -> usize {
    keys.count(1, |i| format!("conv{i}_0.conv1.weight"))
}

/// ImageNet's mean and standard deviation for three channels, then a division by 255, as in the training script.
fn images(shapes: &Shapes, first: &str) -> (Normalisation, Vec<Message>) {
    if shapes.dim(first, 1) != Some(3) {
        return (Normalisation::Unit, vec!["the original expects three channels".into()]);
    }
    // 0.229, 0.224 and 0.225 times 255.
    let std = vec![58.395, 57.12, 57.375];
    let note = "the original reads images with OpenCV, in the order blue, green, red; here it is red, green, blue";
    (Normalisation::Fixed { mean: vec![0.485, 0.456, 0.406], std }, vec![note.into()])
}

impl Dialect for NestedUNet {
    fn name(&self) -> &'static str {
        "4uiiurz1/pytorch-nested-unet (NestedUNet)"
    }

    fn recognise(&self, keys: &Shapes) -> bool {
        keys.has("conv0_0.conv1.weight") && keys.has("conv0_1.conv1.weight") && keys.any("final")
    }

    fn rename(&self, key: &str, keys: &Shapes) -> Option<String> {
        if let Some((i, j, rest)) = node(key) {
            return Some(format!("node.x{i}_{j}.{rest}"));
        }
        let rest = key.strip_prefix("final")?;
        match rest.strip_prefix('.') {
            Some(part) => Some(format!("head.{}.{part}", depth(keys))),
            None => Some(format!("head.{rest}")),
        }
    }

    fn describe(&self, shapes: &Shapes) -> Result<Description> {
        let (normalisation, notes) = images(shapes, "node.x0_0.conv1.weight");
        let s = infer::unet_plus_plus(shapes)?;
        let Settings(settings) =
            s.assumed("skip_first", true, "it concatenates [skips, up]").assumed("align_corners", true, UP);
        Ok(Description { sigmoid: false, arch: "unetpp", settings, normalisation, normalisation_from: IMAGES, notes })
    }
}

impl Dialect for PlainUNet {
    fn name(&self) -> &'static str {
        "4uiiurz1/pytorch-nested-unet (UNet)"
    }

    fn recognise(&self, keys: &Shapes) -> bool {
        let d = depth(keys);
        d > 1 && keys.has(&format!("conv0_{d}.conv1.weight")) && !keys.any("conv0_1.") && keys.has("final.weight")
    }

    fn rename(&self, key: &str, keys: &Shapes) -> Option<String> {
        match node(key) {
            Some((i, 0, rest)) => Some(format!("enc.{i}.{rest}")),
            Some((i, j, rest)) => (i + j == depth(keys)).then(|| format!("dec.{i}.{rest}")),
            None => Some(format!("head.{}", key.strip_prefix("final.")?)),
        }
    }

    fn describe(&self, shapes: &Shapes) -> Result<Description> {
        let (normalisation, notes) = images(shapes, "enc.0.conv1.weight");
        let Settings(settings) = infer::unet(shapes)?
            .assumed("padding", "same", "its convolutions have padding=1")
            .assumed("skip_first", true, "it concatenates [skip, up]")
            .assumed("align_corners", true, UP);
        Ok(Description { sigmoid: false, arch: "unet", settings, normalisation, normalisation_from: IMAGES, notes })
    }
}
