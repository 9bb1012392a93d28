//! Options of random augmentation, and presets of them.

use crate::error::{Error, Result};
use crate::names::{Name, Named, named};
use crate::ops::MAX_SIGMA;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

/// Random augmentation. The default changes nothing; ranges `[a, b]` are uniform.
///
/// In a file, `preset` stands for the values of an [`AugmentationPreset`], which further keys override.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", default, deny_unknown_fields)]
pub struct Augmentation {
    /// Elastic deformation by random displacements on a coarse grid (U-Net, section 3.1).
    pub elastic: Option<Elastic>,
    /// Elastic deformation by blurred noise; excludes `elastic`.
    pub simard: Option<Simard>,
    /// Flip vertically and horizontally, each with probability 1/2.
    pub flips: bool,
    /// Rotate by 0, 90, 180 or 270 degrees; crops must be square.
    pub turns: bool,
    /// Rotate by up to this angle in either direction, degrees.
    pub rotate: f64,
    /// Fraction of crops that are rotated by `rotate`.
    #[serde(skip_serializing_if = "is_one")]
    pub rotate_probability: f64,
    /// Scale by a factor in this range.
    pub scale: [f64; 2],
    /// Limit the scale so that the image's median instance diameter comes to lie in this range, pixels. An image outside of
    /// it may keep its size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale_by_size: Option<[f64; 2]>,
    /// Draw scale and gamma uniformly in their logarithm.
    #[serde(skip_serializing_if = "is_false")]
    pub log_scale: bool,
    /// Shift by up to this many pixels on each axis.
    pub shift: f64,
    /// Multiply intensities by a factor in this range.
    pub gain: [f64; 2],
    /// Add a value in this range to intensities.
    pub offset: [f64; 2],
    /// Raise intensities to a power in this range.
    pub gamma: [f64; 2],
    /// Fraction of crops that are raised to a power.
    #[serde(skip_serializing_if = "is_one")]
    pub gamma_probability: f64,
    /// Standard deviation of a Gaussian blur, pixels.
    #[serde(skip_serializing_if = "is_zero")]
    pub blur: [f64; 2],
    /// Fraction of crops that are blurred.
    #[serde(skip_serializing_if = "is_one")]
    pub blur_probability: f64,
    /// Standard deviation of the noise. In a file, a number is the upper end of a range from 0.
    #[serde(with = "super::range")]
    pub noise: [f64; 2],
    /// Fraction of crops that get noise.
    #[serde(skip_serializing_if = "is_one")]
    pub noise_probability: f64,
    /// Probability that a nearly empty crop, of less than 2 % foreground, is drawn again from another image, up to three
    /// times.
    #[serde(skip_serializing_if = "is_zero_number")]
    pub redraw_empty: f64,
}

impl Default for Augmentation {
    fn default() -> Self {
        Self {
            elastic: None,
            simard: None,
            flips: false,
            turns: false,
            rotate: 0.0,
            rotate_probability: 1.0,
            scale: [1.0; 2],
            scale_by_size: None,
            log_scale: false,
            shift: 0.0,
            gain: [1.0; 2],
            offset: [0.0; 2],
            gamma: [1.0; 2],
            gamma_probability: 1.0,
            blur: [0.0; 2],
            blur_probability: 1.0,
            noise: [0.0; 2],
            noise_probability: 1.0,
            redraw_empty: 0.0,
        }
    }
}

fn is_one(value: &f64) -> bool {
    *value == 1.0
}

fn is_zero_number(value: &f64) -> bool {
    *value == 0.0
}

fn is_false(value: &bool) -> bool {
    !*value
}

fn is_zero(range: &[f64; 2]) -> bool {
    *range == [0.0; 2]
}

/// Named values of an [`Augmentation`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AugmentationPreset {
    /// Cells and nuclei of any size and orientation, under any microscope.
    Microscopy,
}

impl Named for AugmentationPreset {
    const WHAT: &'static str = "preset";
    const NAMES: &'static [Name<Self>] =
        &[Name::new(Self::Microscopy, "microscopy", "Cells and nuclei of any size and orientation")];
}

named!(AugmentationPreset);

impl AugmentationPreset {
    /// The values of the preset.
    pub fn augmentation(self) -> Augmentation {
        match self {
            Self::Microscopy => Augmentation {
                elastic: Some(Elastic { std: 6.0, grid: 3, probability: 0.5 }),
                flips: true,
                turns: true,
                rotate: 180.0,
                rotate_probability: 0.5,
                scale: [0.5, 2.0],
                scale_by_size: Some([8.0, 72.0]),
                log_scale: true,
                gain: [0.7, 1.3],
                offset: [-0.1, 0.1],
                gamma: [0.6, 1.6],
                gamma_probability: 0.5,
                blur: [0.4, 1.6],
                blur_probability: 0.3,
                noise: [0.01, 0.08],
                noise_probability: 0.4,
                redraw_empty: 0.8,
                ..Augmentation::default()
            },
        }
    }
}

impl Serialize for Augmentation {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, s)
    }
}

impl<'de> Deserialize<'de> for Augmentation {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let mut keys = Map::<String, Value>::deserialize(d)?;
        if let Some(preset) = keys.remove("preset") {
            let preset: AugmentationPreset = serde_json::from_value(preset).map_err(D::Error::custom)?;
            let values = serde_json::to_value(preset.augmentation()).map_err(D::Error::custom)?;
            let Value::Object(mut values) = values else { return Err(D::Error::custom("the preset has no keys")) };
            if keys.contains_key("simard") {
                values.remove("elastic");
            }
            values.extend(keys);
            keys = values;
        }
        Self::deserialize(Value::Object(keys)).map_err(D::Error::custom)
    }
}

/// Elastic deformation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Elastic {
    /// Standard deviation of the displacements, pixels.
    pub std: f64,
    /// Control points per axis.
    pub grid: usize,
    /// Fraction of crops that are deformed.
    pub probability: f64,
}

impl Default for Elastic {
    /// The paper's values.
    fn default() -> Self {
        Self { std: 10.0, grid: 3, probability: 1.0 }
    }
}

/// Elastic deformation of Simard, Steinkraus and Platt (2003): per-pixel noise from -1 to 1, blurred, times `alpha`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Simard {
    /// Strength, pixels before the blur.
    pub alpha: f64,
    /// Standard deviation of the blur, pixels.
    pub sigma: f64,
    /// Fraction of crops that are deformed.
    pub probability: f64,
}

impl Default for Simard {
    /// The paper's values, for digits of 29 x 29 pixels.
    fn default() -> Self {
        Self { alpha: 34.0, sigma: 4.0, probability: 1.0 }
    }
}

impl Augmentation {
    /// Errors if an option is out of range, or if `elastic` and `simard` are both set.
    pub fn validate(&self) -> Result<()> {
        let share = |p: f64| (0.0..=1.0).contains(&p);
        let length = |v: f64| v >= 0.0 && v.is_finite();
        let ordered = |[a, b]: [f64; 2]| a <= b && a.is_finite() && b.is_finite();
        let positive = |range: [f64; 2]| ordered(range) && range[0] > 0.0;
        let sigma = |range: [f64; 2]| ordered(range) && range[0] >= 0.0 && range[1] <= MAX_SIGMA;
        let checks = [
            (
                "elastic",
                self.elastic.is_none_or(|e| length(e.std) && (2..=64).contains(&e.grid) && share(e.probability)),
            ),
            (
                "simard",
                self.simard.is_none_or(|e| {
                    e.alpha.is_finite() && e.sigma > 0.0 && e.sigma <= MAX_SIGMA && share(e.probability)
                }),
            ),
            ("rotate", length(self.rotate)),
            ("rotate_probability", share(self.rotate_probability)),
            ("scale", positive(self.scale)),
            ("scale_by_size", self.scale_by_size.is_none_or(positive)),
            ("shift", length(self.shift)),
            ("gain", ordered(self.gain)),
            ("offset", ordered(self.offset)),
            ("gamma", positive(self.gamma)),
            ("gamma_probability", share(self.gamma_probability)),
            ("blur", sigma(self.blur)),
            ("blur_probability", share(self.blur_probability)),
            ("noise", ordered(self.noise) && self.noise[0] >= 0.0),
            ("noise_probability", share(self.noise_probability)),
            ("redraw_empty", share(self.redraw_empty)),
        ];
        if let Some((key, _)) = checks.into_iter().find(|(_, valid)| !valid) {
            let reason = format!("`{key}` has an impossible value in {self:?}");
            return Err(Error::invalid("augmentation", reason));
        }
        if self.elastic.is_some() && self.simard.is_some() {
            return Err(Error::invalid("augmentation", "`elastic` and `simard` are alternatives: choose one"));
        }
        Ok(())
    }

    /// The first option that works on the host only, if one is set.
    pub fn host_only(&self) -> Option<&'static str> {
        let set = [
            ("rotate_probability", self.rotate_probability < 1.0),
            ("scale_by_size", self.scale_by_size.is_some()),
            ("log_scale", self.log_scale),
            ("gamma_probability", self.gamma_probability < 1.0),
            ("blur", self.blur != [0.0; 2]),
            ("blur_probability", self.blur_probability < 1.0),
            ("noise", self.noise[0] > 0.0),
            ("noise_probability", self.noise_probability < 1.0),
            ("redraw_empty", self.redraw_empty > 0.0),
        ];
        set.into_iter().find(|(_, set)| *set).map(|(key, _)| key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_values_are_named() {
        let all = || Augmentation {
            elastic: Some(Elastic { std: 2.0, grid: 3, probability: 0.5 }),
            ..AugmentationPreset::Microscopy.augmentation()
        };
        all().validate().unwrap();
        for (key, wrong) in [
            ("scale", Augmentation { scale: [0.0, 1.0], ..all() }),
            ("scale_by_size", Augmentation { scale_by_size: Some([8.0, 4.0]), ..all() }),
            ("gain", Augmentation { gain: [1.2, 0.8], ..all() }),
            ("elastic", Augmentation { elastic: Some(Elastic { grid: 1, ..Elastic::default() }), ..all() }),
            (
                "simard",
                Augmentation { simard: Some(Simard { sigma: 0.0, ..Simard::default() }), elastic: None, ..all() },
            ),
            ("blur", Augmentation { blur: [0.0, 1e6], ..all() }),
            ("noise", Augmentation { noise: [-0.1, 0.1], ..all() }),
            ("redraw_empty", Augmentation { redraw_empty: f64::NAN, ..all() }),
            ("elastic` and `simard", Augmentation { simard: Some(Simard::default()), ..all() }),
        ] {
            let e = wrong.validate().unwrap_err().to_string();
            assert!(e.contains(&format!("`{key}`")), "{key}: {e}");
        }
    }

    #[test]
    fn a_preset_stands_for_its_keys_which_others_override() {
        let read = |text: &str| toml::from_str::<Augmentation>(text);
        let preset = AugmentationPreset::Microscopy.augmentation();
        assert_eq!(read("preset = \"microscopy\"").unwrap(), preset);
        let changed = read("preset = \"microscopy\"\nnoise = 0.5\nrotate = 10").unwrap();
        assert_eq!(changed, Augmentation { noise: [0.0, 0.5], rotate: 10.0, ..preset.clone() });
        let simard = read("preset = \"microscopy\"\nsimard = {}").unwrap();
        assert_eq!((simard.elastic, simard.simard), (None, Some(Simard::default())));
        for value in [preset, changed, simard, Augmentation::default()] {
            let text = toml::to_string(&value).unwrap();
            assert_eq!(read(&text).unwrap(), value, "{text}");
        }
        let e = read("preset = \"telescope\"").unwrap_err().to_string();
        assert!(e.contains("preset: `telescope` is not one of microscopy"), "{e}");
        assert!(read("preset = \"microscopy\"\nblurr = 1").unwrap_err().to_string().contains("blurr"));
        assert!(read("noise = \"loud\"").unwrap_err().to_string().contains("a number or a range"));
    }

    #[test]
    fn files_of_before_stay_the_same() {
        let text = toml::to_string(&Augmentation { noise: [0.0, 0.02], ..Augmentation::default() }).unwrap();
        let keys: Vec<&str> = text.lines().filter_map(|l| l.split(" =").next()).collect();
        assert_eq!(keys, ["flips", "turns", "rotate", "scale", "shift", "gain", "offset", "gamma", "noise"]);
        assert!(text.contains("noise = 0.02"), "{text}");
    }

    #[test]
    fn options_of_the_host_are_told_apart() {
        assert_eq!(AugmentationPreset::Microscopy.augmentation().host_only(), Some("rotate_probability"));
        let device = Augmentation { noise: [0.0, 0.1], rotate: 10.0, scale: [0.9, 1.1], ..Augmentation::default() };
        assert_eq!(device.host_only(), None);
        assert_eq!(Augmentation { noise: [0.1, 0.1], ..device }.host_only(), Some("noise"));
    }
}
