//! How single instances are found in a network's output: the section `instances` of a model's description.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::names::{Name, Named, named};

/// How touching instances are separated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InstanceMethod {
    /// Not at all: instances are the connected components of the foreground.
    #[default]
    Components,
    /// By the watershed of the distance to the instance's edge, once holes are filled.
    Watershed,
    /// By a flood of the distance that the network predicts, lowered where it predicts a touching border.
    Elevation,
    /// By the offsets to the centre that the network predicts: an instance is what points to the same place.
    Offsets,
}

impl Named for InstanceMethod {
    const WHAT: &'static str = "method of instances";
    const NAMES: &'static [Name<Self>] = &[
        Name::new(Self::Components, "components", "Not at all: an instance is what is connected"),
        Name::new(Self::Watershed, "watershed", "At necks: the watershed of the distance to the edge"),
        Name::new(Self::Elevation, "elevation", "By a flood of the predicted distance; for networks that predict one"),
        Name::new(Self::Offsets, "offsets", "By the predicted offsets to the centre; for networks that predict them"),
    ];
}

named!(InstanceMethod);

/// Neighbourhood of a pixel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Connectivity {
    /// Pixels that share an edge.
    #[default]
    Four,
    /// Pixels that share an edge or a corner.
    Eight,
}

/// The widest gap between instances that can be closed, in pixels.
pub const MAX_GAP: u32 = 2;

/// The widest smoothing of the elevation: a standard deviation in pixels.
pub const MAX_SMOOTHING: f64 = 32.0;

/// The longest offset that can be followed, in pixels along an axis.
pub const MAX_OFFSET: u32 = 1024;

/// The most offsets that can be followed one after another.
pub const MAX_JUMPS: u32 = 16;

/// How instances are found, as far as it is settled: what a model's file says, or what a user requests. What is absent is
/// settled by another ([`Self::or`]), in the end by the defaults of `InstanceOptions`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Map<String, Value>")]
#[non_exhaustive]
pub struct InstanceSettings {
    /// How touching instances are separated.
    pub method: Option<InstanceMethod>,
    /// By how much a maximum must rise above the pass to a higher one, above 0: for the watershed in pixels of distance, for
    /// the elevation in its own unit.
    pub seed_depth: Option<f64>,
    /// Elevation: the least height of an instance's highest pixel.
    pub min_seed: Option<f64>,
    /// Elevation: how much a certain touching border lowers it, 0 or more.
    pub border: Option<f64>,
    /// Elevation: standard deviation of the Gaussian that smooths it, in pixels, 0 to [`MAX_SMOOTHING`].
    pub smoothing: Option<f64>,
    /// Offsets: how many pixels must arrive within 3 x 3 pixels to make a centre, at least 1.
    pub votes: Option<u64>,
    /// Offsets: centres that fewer pixels belong to are no instances.
    pub min_cluster: Option<u64>,
    /// Offsets: longer ones are cut to so many pixels along each axis, 1 to [`MAX_OFFSET`].
    pub max_offset: Option<u32>,
    /// Offsets: how many are followed one after another, 1 to [`MAX_JUMPS`].
    pub jumps: Option<u32>,
    /// Which pixels are connected.
    pub connectivity: Option<Connectivity>,
    /// The foreground is where its probability is above this, in [0, 1). Absent: where the mask has a class.
    pub threshold: Option<f64>,
    /// Instances of fewer pixels are dropped.
    pub min_area: Option<u64>,
    /// Instances smaller than this percentage of the image's median area are dropped, 0 to 100.
    pub min_area_percent: Option<f64>,
    /// Instances whose mean foreground probability is lower are dropped, 0 to 1.
    pub min_confidence: Option<f64>,
    /// Whether background enclosed by one instance becomes part of it.
    pub fill_holes: Option<bool>,
    /// The widest gap between instances that is closed, in pixels, 0 to [`MAX_GAP`].
    pub close_gaps: Option<u32>,
}

/// A key of the section: how it is read and written.
struct Key {
    name: &'static str,
    read: fn(&mut InstanceSettings, &Value) -> Result<(), String>,
    write: fn(&InstanceSettings) -> Option<Value>,
}

const KEYS: &[Key] = &[
    Key {
        name: "method",
        read: |s, v| put(&mut s.method, v.as_str().and_then(|t| t.parse().ok()), names::<InstanceMethod>),
        write: |s| s.method.map(|m| m.name().into()),
    },
    Key {
        name: "seed_depth",
        read: |s, v| put(&mut s.seed_depth, v.as_f64(), || "a number above 0".into()),
        write: |s| s.seed_depth.map(Value::from),
    },
    Key {
        name: "min_seed",
        read: |s, v| put(&mut s.min_seed, v.as_f64(), || "a height".into()),
        write: |s| s.min_seed.map(Value::from),
    },
    Key {
        name: "border",
        read: |s, v| put(&mut s.border, v.as_f64(), || "a weight".into()),
        write: |s| s.border.map(Value::from),
    },
    Key {
        name: "smoothing",
        read: |s, v| put(&mut s.smoothing, v.as_f64(), || "a number of pixels".into()),
        write: |s| s.smoothing.map(Value::from),
    },
    Key {
        name: "votes",
        read: |s, v| put(&mut s.votes, v.as_u64(), || "a whole number of pixels".into()),
        write: |s| s.votes.map(Value::from),
    },
    Key {
        name: "min_cluster",
        read: |s, v| put(&mut s.min_cluster, v.as_u64(), || "a whole number of pixels".into()),
        write: |s| s.min_cluster.map(Value::from),
    },
    Key {
        name: "max_offset",
        read: |s, v| put(&mut s.max_offset, whole(v), || "a whole number of pixels".into()),
        write: |s| s.max_offset.map(Value::from),
    },
    Key {
        name: "jumps",
        read: |s, v| put(&mut s.jumps, whole(v), || "a whole number".into()),
        write: |s| s.jumps.map(Value::from),
    },
    Key {
        name: "connectivity",
        read: |s, v| {
            let of = |n| [(4, Connectivity::Four), (8, Connectivity::Eight)].iter().find(|c| c.0 == n).map(|c| c.1);
            put(&mut s.connectivity, v.as_u64().and_then(of), || "4 or 8".into())
        },
        write: |s| s.connectivity.map(|c| if c == Connectivity::Four { 4 } else { 8 }.into()),
    },
    Key {
        name: "threshold",
        read: |s, v| put(&mut s.threshold, v.as_f64(), || "a probability".into()),
        write: |s| s.threshold.map(Value::from),
    },
    Key {
        name: "min_area",
        read: |s, v| put(&mut s.min_area, v.as_u64(), || "a whole number of pixels".into()),
        write: |s| s.min_area.map(Value::from),
    },
    Key {
        name: "min_area_percent",
        read: |s, v| put(&mut s.min_area_percent, v.as_f64(), || "a percentage".into()),
        write: |s| s.min_area_percent.map(Value::from),
    },
    Key {
        name: "min_confidence",
        read: |s, v| put(&mut s.min_confidence, v.as_f64(), || "a probability".into()),
        write: |s| s.min_confidence.map(Value::from),
    },
    Key {
        name: "fill_holes",
        read: |s, v| put(&mut s.fill_holes, v.as_bool(), || "true or false".into()),
        write: |s| s.fill_holes.map(Value::from),
    },
    Key {
        name: "close_gaps",
        read: |s, v| put(&mut s.close_gaps, whole(v), || "a whole number of pixels".into()),
        write: |s| s.close_gaps.map(Value::from),
    },
];

/// Sets a field from what was read, or says what is expected.
fn put<T>(field: &mut Option<T>, value: Option<T>, expected: impl Fn() -> String) -> Result<(), String> {
    *field = Some(value.ok_or_else(|| format!("is not {}", expected()))?);
    Ok(())
}

fn whole(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|n| n.try_into().ok())
}

fn names<T: Named>() -> String {
    let all: Vec<&str> = T::NAMES.iter().map(|n| n.name).collect();
    format!("one of {}", all.join(", "))
}

/// A method per field that returns the settings with that field set.
macro_rules! setters {
    ($($name:ident: $field:ident, $type:ty;)*) => {
        impl InstanceSettings {
            $(#[doc = concat!("Sets [`Self::", stringify!($field), "`].")] #[must_use]
            pub fn $name(mut self, $field: $type) -> Self {
                self.$field = Some($field);
                self
            })*

            /// These settings, and those of `other` where nothing is set.
            #[must_use]
            pub fn or(self, other: &Self) -> Self {
                Self { $($field: self.$field.or(other.$field),)* }
            }
        }
    };
}

setters! {
    with_method: method, InstanceMethod;
    with_seed_depth: seed_depth, f64;
    with_min_seed: min_seed, f64;
    with_border: border, f64;
    with_smoothing: smoothing, f64;
    with_votes: votes, u64;
    with_min_cluster: min_cluster, u64;
    with_max_offset: max_offset, u32;
    with_jumps: jumps, u32;
    with_connectivity: connectivity, Connectivity;
    with_threshold: threshold, f64;
    with_min_area: min_area, u64;
    with_min_area_percent: min_area_percent, f64;
    with_min_confidence: min_confidence, f64;
    with_fill_holes: fill_holes, bool;
    with_close_gaps: close_gaps, u32;
}

impl InstanceSettings {
    /// Checks every value; the error begins with the key.
    pub fn validate(&self) -> Result<(), String> {
        // Written so that NaN fails.
        let check = |key: &str, value: Option<f64>, ok: fn(f64) -> bool, range: &str| match value {
            Some(v) if !(v.is_finite() && ok(v)) => Err(format!("`{key}`: {v} is not {range}")),
            _ => Ok(()),
        };
        check("seed_depth", self.seed_depth, |v| v > 0.0, "a number above 0")?;
        check("min_seed", self.min_seed, |v| v >= 0.0, "0 or more")?;
        check("border", self.border, |v| v >= 0.0, "0 or more")?;
        check("smoothing", self.smoothing, |v| (0.0..=MAX_SMOOTHING).contains(&v), "from 0 to 32")?;
        check("threshold", self.threshold, |v| (0.0..1.0).contains(&v), "from 0 up to, but not including, 1")?;
        check("min_area_percent", self.min_area_percent, |v| (0.0..=100.0).contains(&v), "from 0 to 100")?;
        check("min_confidence", self.min_confidence, |v| (0.0..=1.0).contains(&v), "from 0 to 1")?;
        let within = |key: &str, value: Option<u64>, range: RangeInclusive<u64>| match value {
            Some(v) if !range.contains(&v) && *range.end() == u64::MAX => Err(format!("`{key}`: {v} is below 1")),
            Some(v) if !range.contains(&v) => {
                Err(format!("`{key}`: {v} is not from {} to {}", range.start(), range.end()))
            }
            _ => Ok(()),
        };
        within("votes", self.votes, 1..=u64::MAX)?;
        within("max_offset", self.max_offset.map(u64::from), 1..=MAX_OFFSET.into())?;
        within("jumps", self.jumps.map(u64::from), 1..=MAX_JUMPS.into())?;
        within("close_gaps", self.close_gaps.map(u64::from), 0..=MAX_GAP.into())
    }
}

impl TryFrom<Value> for InstanceSettings {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let Value::Object(section) = value else { return Err(format!("`instances` is not an object: {value}")) };
        let mut settings = Self::default();
        for (name, value) in &section {
            let Some(key) = KEYS.iter().find(|k| k.name == name) else {
                let all: Vec<&str> = KEYS.iter().map(|k| k.name).collect();
                let name = crate::text::excerpt(name, 40);
                return Err(format!("`instances`: `{name}` is not one of its keys: {}", all.join(", ")));
            };
            let shown = match value {
                Value::String(text) => format!("`{}`", crate::text::excerpt(text, 40)),
                other => crate::text::excerpt(&other.to_string(), 40),
            };
            (key.read)(&mut settings, value).map_err(|e| format!("`instances`: `{name}`: {shown} {e}"))?;
        }
        settings.validate().map_err(|e| format!("`instances`: {e}"))?;
        Ok(settings)
    }
}

impl From<InstanceSettings> for Map<String, Value> {
    fn from(settings: InstanceSettings) -> Self {
        KEYS.iter().filter_map(|k| Some((k.name.to_string(), (k.write)(&settings)?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<InstanceSettings, String> {
        serde_json::from_str(json).map_err(|e| e.to_string())
    }

    #[test]
    fn every_key_survives_a_round_trip() {
        let all = InstanceSettings::default()
            .with_method(InstanceMethod::Watershed)
            .with_seed_depth(1.5)
            .with_min_seed(0.4)
            .with_border(0.5)
            .with_smoothing(1.0)
            .with_votes(20)
            .with_min_cluster(10)
            .with_max_offset(64)
            .with_jumps(3)
            .with_connectivity(Connectivity::Eight)
            .with_threshold(0.6)
            .with_min_area(20)
            .with_min_area_percent(10.0)
            .with_min_confidence(0.85)
            .with_fill_holes(true)
            .with_close_gaps(1);
        let json = serde_json::to_value(&all).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"method": "watershed", "seed_depth": 1.5, "min_seed": 0.4, "border": 0.5,
                "smoothing": 1.0, "votes": 20, "min_cluster": 10, "max_offset": 64, "jumps": 3, "connectivity": 8, "threshold": 0.6,
                "min_area": 20, "min_area_percent": 10.0, "min_confidence": 0.85, "fill_holes": true, "close_gaps": 1})
        );
        assert_eq!(read(&json.to_string()), Ok(all));
        assert_eq!(
            (read("{}"), serde_json::to_string(&InstanceSettings::default()).unwrap()),
            (Ok(InstanceSettings::default()), "{}".into())
        );
    }

    #[test]
    fn the_first_setting_counts() {
        let user = InstanceSettings::default().with_min_area(0).with_fill_holes(false);
        let file = InstanceSettings::default().with_min_area(20).with_threshold(0.7);
        let both = InstanceSettings::default().with_min_area(0).with_fill_holes(false).with_threshold(0.7);
        assert_eq!(user.or(&file), both);
    }

    #[test]
    fn errors_name_the_key() {
        for (json, expected) in [
            ("[]", "`instances` is not an object: []"),
            (r#"{"min_size": 3}"#, "`instances`: `min_size` is not one of its keys: method, seed_depth,"),
            (r#"{"method": "flood"}"#, "`method`: `flood` is not one of components, watershed, elevation, offsets"),
            (r#"{"method": 3}"#, "`method`: 3 is not one of"),
            (r#"{"min_area": -1}"#, "`min_area`: -1 is not a whole number of pixels"),
            (r#"{"min_area": "10%"}"#, "`min_area`: `10%` is not a whole"),
            (r#"{"min_area_percent": 101}"#, "`min_area_percent`: 101 is not from 0 to 100"),
            (r#"{"threshold": 1}"#, "`threshold`: 1 is not from 0 up to, but not including, 1"),
            (r#"{"threshold": null}"#, "`threshold`: null is not a probability"),
            (r#"{"min_confidence": 1.5}"#, "`min_confidence`: 1.5 is not from 0 to 1"),
            (r#"{"seed_depth": 0}"#, "`seed_depth`: 0 is not a number above 0"),
            (r#"{"connectivity": 6}"#, "`connectivity`: 6 is not 4 or 8"),
            (r#"{"fill_holes": 1}"#, "`fill_holes`: 1 is not true or false"),
            (r#"{"smoothing": 33}"#, "`smoothing`: 33 is not from 0 to 32"),
            (r#"{"border": -1}"#, "`border`: -1 is not 0 or more"),
            (r#"{"votes": 0}"#, "`votes`: 0 is below 1"),
            (r#"{"jumps": 17}"#, "`jumps`: 17 is not from 1 to 16"),
            (r#"{"max_offset": 0}"#, "`max_offset`: 0 is not from 1 to 1024"),
            (r#"{"close_gaps": 3}"#, "`close_gaps`: 3 is not from 0 to 2"),
        ] {
            let e = read(json).unwrap_err();
            assert!(e.starts_with("`instances`") && e.contains(expected), "{json}: {e}");
        }
        let nan = InstanceSettings { threshold: Some(f64::NAN), ..Default::default() };
        assert!(nan.validate().is_err());
    }
}
