//! milesial/Pytorch-UNet: `inc`, `down1` .., `up1` .. (deepest first), `outc`; transposed or bilinear.

use super::infer::{self, Settings};
use super::keys::{number, sequential};
use super::{Description, Dialect, Shapes};
use crate::error::Result;
use crate::weights::Normalisation;

/// The dialect, including the names of 2018 and 2019 (`mpconv`).
pub(super) struct Milesial;

impl Milesial {
    fn depth(keys: &Shapes) -> usize {
        keys.count(1, |i| format!("down{i}.maxpool_conv.1.double_conv.0.weight"))
            .max(keys.count(1, |i| format!("down{i}.mpconv.1.conv.0.weight")))
    }
}

impl Dialect for Milesial {
    fn name(&self) -> &'static str {
        "milesial/Pytorch-UNet"
    }

    fn recognise(&self, keys: &Shapes) -> bool {
        (keys.has("inc.double_conv.0.weight") || keys.has("inc.conv.conv.0.weight"))
            && keys.has("outc.conv.weight")
            && Self::depth(keys) > 0
    }

    fn rename(&self, key: &str, keys: &Shapes) -> Option<String> {
        let block = |text: &str| sequential(text.strip_prefix("double_conv.").or(text.strip_prefix("conv."))?);
        if let Some(rest) = key.strip_prefix("inc.") {
            return Some(format!(
                "enc.0.{}",
                block(rest.strip_prefix("conv.").filter(|r| r.starts_with("conv.")).unwrap_or(rest))?
            ));
        }
        if let Some(rest) = key.strip_prefix("down") {
            let (i, rest) = number(rest)?;
            let rest = rest.strip_prefix(".maxpool_conv.1.").or(rest.strip_prefix(".mpconv.1."))?;
            return Some(format!("enc.{i}.{}", block(rest)?));
        }
        if let Some(rest) = key.strip_prefix("up") {
            let (k, rest) = number(rest)?;
            let level = Self::depth(keys).checked_sub(k)?;
            if let Some(rest) = rest.strip_prefix(".up.") {
                return ["weight", "bias"].contains(&rest).then(|| format!("up.{level}.{rest}"));
            }
            return Some(format!("dec.{level}.{}", block(rest.strip_prefix(".conv.")?)?));
        }
        Some(format!("head.{}", key.strip_prefix("outc.conv.")?))
    }

    fn describe(&self, shapes: &Shapes) -> Result<Description> {
        let s = infer::unet(shapes)?;
        let bilinear = s.is_bilinear();
        let mut s = s.assumed("padding", "same", "its convolutions have padding=1").assumed(
            "skip_first",
            true,
            "it concatenates [skip, up]",
        );
        if bilinear {
            s = s.assumed("align_corners", true, "its nn.Upsample has align_corners=True");
        }
        let Settings(settings) = s;
        Ok(Description {
            sigmoid: false,
            arch: "unet",
            settings,
            normalisation: Normalisation::Unit,
            normalisation_from: "it divides pixels by 255",
            notes: vec![],
        })
    }
}
