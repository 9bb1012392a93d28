//! ZJUGiveLab/UNet-Version: `UNet_3Plus`, `UNet_3Plus_DeepSup`, `UNet_3Plus_DeepSup_CGM`.

use super::infer::{self, Settings};
use super::keys::number;
use super::{Description, Dialect, Shapes};
use crate::error::Result;
use crate::weights::Normalisation;

/// The dialect; it counts levels from 1.
pub(super) struct UNet3Plus;

/// Returns names that begin with `conv.` or `bn.`.
fn layer(text: &str) -> Option<&str> {
    (text.starts_with("conv.") || text.starts_with("bn.")).then_some(text)
}

impl Dialect for UNet3Plus {
    fn name(&self) -> &'static str {
        "ZJUGiveLab/UNet-Version (UNet_3Plus)"
    }

    fn recognise(&self, keys: &Shapes) -> bool {
        keys.has("h1_Cat_hd1_conv.weight") && keys.has("conv1d_1.weight") && keys.has("outconv1.weight")
    }

    fn rename(&self, key: &str, _keys: &Shapes) -> Option<String> {
        let level = |n: usize| n.checked_sub(1);
        // conv{i}.conv{k}.{0: convolution, 1: normalisation}
        if let Some((i, rest)) = key.strip_prefix("conv").and_then(number)
            && let Some((k, rest)) = rest.strip_prefix(".conv").and_then(number)
        {
            let kind = [(".0.", "conv"), (".1.", "bn")];
            let (rest, kind) = kind.iter().find_map(|(p, kind)| Some((rest.strip_prefix(p)?, kind)))?;
            return Some(format!("enc.{}.{kind}{k}.{rest}", level(i)?));
        }
        // h{s}_PT_hd{d}_conv, h{d}_Cat_hd{d}_conv, hd{s}_UT_hd{d}_conv
        if let Some((s, rest)) = key.strip_prefix("hd").or(key.strip_prefix('h')).and_then(number) {
            let rest = ["_PT_hd", "_Cat_hd", "_UT_hd"].iter().find_map(|p| rest.strip_prefix(p))?;
            let (d, rest) = number(rest)?;
            return Some(format!("skip.{}_{}.{}", level(d)?, level(s)?, layer(rest.strip_prefix('_')?)?));
        }
        // conv{d}d_1, bn{d}d_1
        for kind in ["conv", "bn"] {
            if let Some((d, rest)) = key.strip_prefix(kind).and_then(number)
                && let Some(rest) = rest.strip_prefix("d_1.")
            {
                return Some(format!("fuse.{}.{kind}.{rest}", level(d)?));
            }
        }
        if let Some((d, rest)) = key.strip_prefix("outconv").and_then(number) {
            return Some(format!("head.{}{rest}", level(d)?));
        }
        Some(format!("cgm.{}", key.strip_prefix("cls.1.")?))
    }

    fn describe(&self, shapes: &Shapes) -> Result<Description> {
        let s = infer::unet_3_plus(shapes)?;
        let cgm = shapes.has("cgm.weight");
        let mut s = s.assumed("align_corners", false, "its nn.Upsample has the default, align_corners=False").assumed(
            "activation",
            "sigmoid",
            "F.sigmoid at the end of forward",
        );
        if cgm {
            s = s.assumed("cgm_gate", "logit", "its gate multiplies logits; `prob` is the paper's");
        }
        let Settings(settings) = s;
        Ok(Description {
            sigmoid: false,
            arch: "unet3p",
            settings,
            normalisation: Normalisation::Unit,
            normalisation_from: "no training code is published with it",
            notes: vec![],
        })
    }
}
