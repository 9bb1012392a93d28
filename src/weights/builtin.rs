//! The models that come with the library.

use std::path::Path;

use super::{Checkpoint, load_bytes, planes};
use crate::error::Result;

/// A model inside the library.
#[derive(Clone, Copy)]
pub struct Builtin {
    /// Name for users.
    pub name: &'static str,
    /// Other spellings of the name.
    pub aliases: &'static [&'static str],
    /// Architecture id, as in [`super::ModelMetadata::arch`].
    pub arch: &'static str,
    /// One line about it.
    pub description: &'static str,
    /// The checkpoint file, packed.
    packed: &'static [u8],
}

/// Maximum size of an unpacked model, bytes.
const MAX_UNPACKED: u64 = 64 << 20;

/// The model used when none is named.
pub const DEFAULT: &str = "nuclei";

/// Every built-in model, the default first; none without the feature `builtin-models`. Sources: `models/README.md`.
// A `static`, since each use of a `const` may duplicate the data.
#[cfg(feature = "builtin-models")]
pub static BUILTIN: &[Builtin] = &[
    Builtin {
        name: DEFAULT,
        aliases: &["nuclei-unet"],
        arch: "unet",
        description: "nuclei in fluorescence microscopy: U-Net, width 16, for single nuclei",
        packed: unet_wgpu_models::NUCLEI_UNET,
    },
    Builtin {
        name: "nuclei-unet++",
        aliases: &["nuclei-unetpp"],
        arch: "unetpp",
        description: "nuclei in fluorescence microscopy: U-Net++, width 16, for single nuclei",
        packed: unet_wgpu_models::NUCLEI_UNETPP,
    },
    Builtin {
        name: "nuclei-unet3+",
        aliases: &["nuclei-unet3p"],
        arch: "unet3p",
        description: "nuclei in fluorescence microscopy: U-Net 3+, width 16, for single nuclei",
        packed: unet_wgpu_models::NUCLEI_UNET3P,
    },
    Builtin {
        name: "nuclei-he",
        aliases: &["nuclei-h&e"],
        arch: "unet",
        description: "nuclei in stained tissue (bright field, colour): U-Net, width 16, depth 3, for single nuclei",
        packed: unet_wgpu_models::NUCLEI_HE,
    },
];
/// Every built-in model: none without the feature `builtin-models`.
#[cfg(not(feature = "builtin-models"))]
pub static BUILTIN: &[Builtin] = &[];

/// The built-in model of that name, in any case.
pub fn find(name: &str) -> Option<&'static Builtin> {
    let is = |n: &&str| n.eq_ignore_ascii_case(name);
    BUILTIN.iter().find(|b| is(&b.name) || b.aliases.iter().any(is))
}

impl Builtin {
    /// Its checkpoint.
    pub fn load(&self) -> Result<Checkpoint> {
        let name = format!("built-in model {}", self.name);
        load_bytes(&planes::unpack(self.packed, MAX_UNPACKED, Path::new(&name))?, name)
    }

    /// Its checkpoint file: safetensors with the metadata of a native model.
    pub fn file(&self) -> Result<Vec<u8>> {
        planes::unpack(self.packed, MAX_UNPACKED, Path::new(self.name))
    }
}

impl std::fmt::Debug for Builtin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Builtin({}, {}, {} packed bytes)", self.name, self.arch, self.packed.len())
    }
}

#[cfg(all(test, feature = "builtin-models"))]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::weights::{InstanceMethod, Normalisation};

    #[test]
    fn every_model_is_complete() {
        use InstanceMethod::Offsets;
        for (name, arch, [channels, width], method, diameter, tensors, elements) in [
            ("nuclei", "unet", [1, 16], Offsets, 20.5, 100, 1_945_301),
            ("nuclei-unet++", "unetpp", [1, 16], Offsets, 20.5, 178, 2_267_396),
            ("nuclei-unet3+", "unet3p", [1, 16], Offsets, 20.5, 214, 1_718_473),
            ("nuclei-he", "unet", [3, 16], Offsets, 18.9, 78, 484_213),
        ] {
            let model = find(name).unwrap();
            assert!(model.packed.len() < 4_000_000, "{name}");
            let c = model.load().unwrap();
            let m = c.metadata.unwrap();
            assert_eq!((m.arch.as_str(), model.arch), (arch, arch));
            assert_eq!((&m.config["in_channels"], &m.config["width"]), (&channels.into(), &width.into()));
            assert_eq!(m.classes, ["background", "nucleus"]);
            let instances = m.instances.unwrap();
            assert_eq!((instances.method, instances.min_area), (Some(method), Some(20)));
            assert!(m.target.is_some());
            assert_eq!(m.scale.unwrap().diameter, Some(diameter));
            assert_eq!(m.normalisation, Normalisation::Percentile { low: 1.0, high: 99.8, clamp: Some([0.0, 1.5]) });
            assert_eq!((c.weights.len(), c.weights.parameters()), (tensors, elements), "{name}");
            assert_eq!(c.weights.non_finite(), []);
            for (key, t) in c.weights.iter() {
                assert!(t.data().iter().any(|&v| v != 0.0), "{key} is all zero");
                assert!(!key.ends_with("running_var") || t.data().iter().all(|&v| v > 0.0), "{key}");
            }
        }
    }

    /// The checksums are those of the files before packing.
    #[test]
    fn packing_is_lossless() {
        for (name, sha256) in [
            ("nuclei", "6a01f29575bd3538e734004c9a041bda4233f154e80f13e4c71e3be7d9b4dc7f"),
            ("nuclei-unet++", "dc97d68279d6cf5f69fb4abca69f3a52e25ccc938425bf76a6b4a44336e30ec6"),
            ("nuclei-unet3+", "9782fc61c4412cfa302a3de3009896fecb472bc223f5c77c5ad7b6c0c40da502"),
            ("nuclei-he", "f650de683d95e7bf18e26f82ca1a362aec2868ddec784175f77cc00798ae9b5f"),
        ] {
            let sum = Sha256::digest(find(name).unwrap().file().unwrap());
            let hex: String = sum.iter().map(|b| format!("{b:02x}")).collect();
            assert_eq!(hex, sha256, "{name}");
        }
    }

    #[test]
    fn shapes_are_the_networks_own() {
        let unet = find("nuclei-unet").unwrap().load().unwrap().weights;
        assert!(unet.require("dec.0.conv1.weight", &[16, 32, 3, 3]).is_ok());
        assert!(unet.require("dec.2.bn1.running_var", &[64]).is_ok());
        let upp = find("NUCLEI-UNETPP").unwrap().load().unwrap().weights;
        assert!(upp.require("head.4.weight", &[5, 16, 1, 1]).is_ok());
        let he = find("nuclei-he").unwrap().load().unwrap().weights;
        assert!(he.require("enc.0.conv1.weight", &[16, 3, 3, 3]).is_ok());
        let u3p = find("nuclei-unet3p").unwrap().load().unwrap().weights;
        assert!(u3p.require("enc.0.conv1.weight", &[16, 1, 3, 3]).is_ok());
    }
}
