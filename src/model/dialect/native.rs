//! This program's own names, in a file without its metadata.

use super::infer::{self, Settings};
use super::{Description, Dialect, Shapes};
use crate::error::Result;
use crate::weights::Normalisation;

/// The dialect of canonical names.
pub(super) struct Native;

const DEFAULT: &str = "this program's default; the file has no metadata";

impl Dialect for Native {
    fn name(&self) -> &'static str {
        "unet (names without metadata)"
    }

    fn recognise(&self, keys: &Shapes) -> bool {
        keys.has("node.x0_0.conv1.weight")
            || (keys.has("enc.0.conv1.weight")
                && (keys.has("skip.0_0.conv.weight") || (keys.has("dec.0.conv1.weight") && keys.has("head.weight"))))
    }

    fn rename(&self, key: &str, _keys: &Shapes) -> Option<String> {
        let first = key.split('.').next()?;
        ["enc", "dec", "up", "head", "node", "skip", "fuse", "cgm"].contains(&first).then(|| key.to_string())
    }

    fn describe(&self, shapes: &Shapes) -> Result<Description> {
        let (arch, Settings(settings)) = if shapes.any("node.") {
            let s = infer::unet_plus_plus(shapes)?;
            ("unetpp", s.assumed("skip_first", true, DEFAULT).assumed("align_corners", true, DEFAULT))
        } else if shapes.any("skip.") {
            let s = infer::unet_3_plus(shapes)?.assumed("align_corners", false, DEFAULT).assumed(
                "activation",
                "sigmoid",
                DEFAULT,
            );
            ("unet3p", if shapes.has("cgm.weight") { s.assumed("cgm_gate", "prob", DEFAULT) } else { s })
        } else {
            let s =
                infer::unet(shapes)?.assumed("padding", "same", "as in most code").assumed("skip_first", true, DEFAULT);
            ("unet", if s.is_bilinear() { s.assumed("align_corners", true, DEFAULT) } else { s })
        };
        let (normalisation, notes) = (Normalisation::Unit, vec![]);
        Ok(Description { sigmoid: false, arch, settings, normalisation, normalisation_from: DEFAULT, notes })
    }
}
