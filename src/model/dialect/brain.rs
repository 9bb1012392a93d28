//! mateuszbuda/brain-segmentation-pytorch, also on torch.hub: names such as `encoder1.enc1conv1`.

use super::infer::{self, Settings};
use super::keys::number;
use super::{Description, Dialect, Shapes};
use crate::error::Result;
use crate::weights::Normalisation;

/// The dialect; it counts levels from 1 and calls the bottom `bottleneck`.
pub(super) struct BrainSegmentation;

fn depth(keys: &Shapes) -> usize {
    keys.count(1, |i| format!("encoder{i}.enc{i}conv1.weight"))
}

/// `conv1.weight` of `{name}conv1.weight`, `bn1.weight` of `{name}norm1.weight`.
fn layer(name: &str, text: &str) -> Option<String> {
    let rest = text.strip_prefix(name)?;
    let (kind, rest) =
        [("conv", "conv"), ("norm", "bn")].iter().find_map(|(p, k)| Some((*k, rest.strip_prefix(p)?)))?;
    let (i, rest) = number(rest)?;
    (1..=2).contains(&i).then(|| format!("{kind}{i}{rest}"))
}

impl Dialect for BrainSegmentation {
    fn name(&self) -> &'static str {
        "mateuszbuda/brain-segmentation-pytorch"
    }

    fn recognise(&self, keys: &Shapes) -> bool {
        keys.has("encoder1.enc1conv1.weight") && keys.has("bottleneck.bottleneckconv1.weight")
    }

    fn rename(&self, key: &str, keys: &Shapes) -> Option<String> {
        if let Some(rest) = key.strip_prefix("bottleneck.") {
            return Some(format!("enc.{}.{}", depth(keys), layer("bottleneck", rest)?));
        }
        for (theirs, short, ours) in [("encoder", "enc", "enc"), ("decoder", "dec", "dec")] {
            if let Some((i, rest)) = key.strip_prefix(theirs).and_then(number) {
                let part = layer(&format!("{short}{i}"), rest.strip_prefix('.')?)?;
                return Some(format!("{ours}.{}.{part}", i.checked_sub(1)?));
            }
        }
        if let Some((i, rest)) = key.strip_prefix("upconv").and_then(number) {
            return Some(format!("up.{}{rest}", i.checked_sub(1)?));
        }
        Some(format!("head.{}", key.strip_prefix("conv.")?))
    }

    fn describe(&self, shapes: &Shapes) -> Result<Description> {
        let Settings(settings) = infer::unet(shapes)?
            .assumed("padding", "same", "its convolutions have padding=1")
            .assumed("skip_first", false, "it concatenates [up, skip]");
        let mut notes = vec!["its forward ends with a sigmoid; the output `logits` is the sigmoid's input".into()];
        if shapes.dim("head.weight", 0).unwrap_or(1) > 1 {
            notes.push("it has a sigmoid per class; here the largest logit decides".into());
        }
        Ok(Description {
            sigmoid: true,
            arch: "unet",
            settings,
            normalisation: Normalisation::ZScore,
            normalisation_from: "torch.hub's example subtracts each image's mean and divides by its standard deviation",
            notes,
        })
    }
}
