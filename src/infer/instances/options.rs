//! How instances are found.

use std::fmt;
use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::infer::limit::MemoryLimit;
use crate::weights::{
    Connectivity, InstanceMethod, InstanceSettings, InstanceTarget, MAX_GAP, MAX_JUMPS, MAX_OFFSET, MAX_SMOOTHING,
};

/// How touching instances are separated.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Separation {
    /// Not at all: instances are the connected components of a class.
    #[default]
    Components,
    /// By the watershed of the distance to the instance's edge. Seeds are the maxima of the distance that lie at least
    /// `depth` pixels above every path to a higher maximum.
    Watershed {
        /// Pixels, above 0. Smaller values split more.
        depth: f64,
    },
    /// By a flood of the elevation that the network predicts.
    Elevation(ElevationRule),
    /// By the offsets to the centre that the network predicts.
    Offsets(OffsetRule),
}

/// How a predicted elevation separates instances: the distance, less the weighted probability of a touching border, smoothed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ElevationRule {
    /// By how much a maximum must rise above the pass to a higher one, above 0.
    pub depth: f64,
    /// The least height of an instance's highest pixel.
    pub min_seed: f64,
    /// Weight of the border's probability; 0 without such a plane.
    pub border: f64,
    /// Standard deviation of the Gaussian in pixels; 0 for none.
    pub smoothing: f64,
}

/// How predicted offsets separate instances: pixels follow them, and where many arrive is a centre.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetRule {
    /// Pixels that must arrive within 3 x 3 pixels to make a centre.
    pub votes: u64,
    /// Centres that fewer pixels belong to are no instances.
    pub min_cluster: u64,
    /// Longer offsets are cut to so many pixels along each axis.
    pub max_offset: u32,
    /// Offsets that are followed one after another.
    pub jumps: u32,
}

impl ElevationRule {
    /// The defaults for a target; those of multi where it has no elevation.
    fn of(settings: &InstanceSettings, target: Option<InstanceTarget>) -> Self {
        let (depth, border, smoothing) = match target {
            Some(InstanceTarget::Distance) => (0.2, 0.0, 0.0),
            Some(InstanceTarget::Border) => (0.15, 0.0, 1.0),
            _ => (0.15, 0.5, 1.0),
        };
        Self {
            depth: settings.seed_depth.unwrap_or(depth),
            min_seed: settings.min_seed.unwrap_or(0.4),
            // A weight needs a plane.
            border: if border > 0.0 { settings.border.unwrap_or(border) } else { 0.0 },
            smoothing: settings.smoothing.unwrap_or(smoothing),
        }
    }
}

impl From<&InstanceSettings> for OffsetRule {
    fn from(settings: &InstanceSettings) -> Self {
        Self {
            votes: settings.votes.unwrap_or(20),
            min_cluster: settings.min_cluster.unwrap_or(10),
            max_offset: settings.max_offset.unwrap_or(64),
            jumps: settings.jumps.unwrap_or(3),
        }
    }
}

/// Options for finding instances. By default they are the connected components of the mask, all of them.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct InstanceOptions {
    /// How touching instances are separated.
    pub separation: Separation,
    /// Which pixels are connected.
    pub connectivity: Connectivity,
    /// The foreground is where its probability is above this, in [0, 1); absent: where the mask has a class.
    pub threshold: Option<f64>,
    /// Instances of fewer pixels are dropped.
    pub min_area: u64,
    /// Instances smaller than this percentage of the median area are dropped, in images of five instances and more. The
    /// median is that of the instances that no other rule drops.
    pub min_area_percent: f64,
    /// Instances whose mean foreground probability (in steps of 1/65535) is lower are dropped.
    pub min_confidence: f64,
    /// Fills holes: background enclosed by one instance becomes part of it; before components and watersheds are separated, and
    /// once geometry has separated instances. Holes at the image's edge are open; with another instance in it a hole is
    /// filled around that one by geometry, and not at all otherwise.
    pub fill_holes: bool,
    /// The widest gap that is closed, 0 to 2 pixels: a background pixel that shares an edge with an instance, and has another
    /// one within so many pixels, joins the former.
    pub close_gaps: u32,
    /// Memory limit in bytes.
    pub memory: u64,
    /// The limit that this is a part of, as the user knows it, for error messages.
    pub memory_of: Option<u64>,
    /// Folder for temporary files.
    pub scratch: PathBuf,
}

impl Default for InstanceOptions {
    fn default() -> Self {
        Self {
            separation: Separation::Components,
            connectivity: Connectivity::Four,
            threshold: None,
            min_area: 0,
            min_area_percent: 0.0,
            min_confidence: 0.0,
            fill_holes: false,
            close_gaps: 0,
            memory: 1 << 30,
            memory_of: None,
            scratch: crate::io::temporary_folder(),
        }
    }
}

/// A method per field that returns the options with that field changed.
macro_rules! setters {
    ($($name:ident: $field:ident, $type:ty;)*) => {
        impl InstanceOptions {
            $(#[doc = concat!("Sets [`Self::", stringify!($field), "`].")] #[must_use]
            pub fn $name(mut self, $field: $type) -> Self {
                self.$field = $field;
                self
            })*
        }
    };
}

setters! {
    with_separation: separation, Separation;
    with_connectivity: connectivity, Connectivity;
    with_threshold: threshold, Option<f64>;
    with_min_area: min_area, u64;
    with_min_area_percent: min_area_percent, f64;
    with_min_confidence: min_confidence, f64;
    with_fill_holes: fill_holes, bool;
    with_close_gaps: close_gaps, u32;
    with_memory: memory, u64;
    with_scratch: scratch, PathBuf;
}

impl InstanceOptions {
    /// Sets [`Self::memory`] to a part of a larger limit.
    #[must_use]
    pub fn with_memory_of(self, memory: u64, whole: u64) -> Self {
        Self { memory, memory_of: Some(whole), ..self }
    }

    /// The limit, for error messages.
    pub(super) fn limit(&self) -> MemoryLimit {
        MemoryLimit { whole: self.memory_of.unwrap_or(self.memory), instances: self.memory }
    }
}

/// The seed depth of a watershed that names none, in pixels.
const SEED_DEPTH: f64 = 1.0;

/// Whether a network with this target predicts an elevation, and whether it predicts offsets.
fn predicts(target: Option<InstanceTarget>) -> [bool; 2] {
    match target {
        Some(InstanceTarget::Multi) => [true, true],
        Some(InstanceTarget::Distance | InstanceTarget::Border) => [true, false],
        _ => [false, false],
    }
}

impl From<&InstanceSettings> for InstanceOptions {
    /// What the settings leave open: connected components of the mask, none dropped; a watershed has a seed depth of 1 pixel
    /// and fills holes, which would split instances otherwise.
    fn from(settings: &InstanceSettings) -> Self {
        Self::with_defaults(settings, None)
    }
}

impl InstanceOptions {
    /// The options for a model: `requested`, where it is silent the model's `own` settings, then the defaults of its target. Fails
    /// if the method needs planes that such a network does not have.
    pub fn of_model(
        requested: &InstanceSettings,
        own: Option<&InstanceSettings>,
        target: Option<InstanceTarget>,
    ) -> Result<Self> {
        let mut own = own.cloned().unwrap_or_default();
        let default = if predicts(target)[0] { InstanceMethod::Elevation } else { InstanceMethod::Components };
        // A depth is in the unit of its method.
        if requested.method.is_some_and(|m| m != own.method.unwrap_or(default)) {
            own.seed_depth = None;
        }
        let mut settings = requested.clone().or(&own);
        let method = *settings.method.get_or_insert(default);
        let missing = match (method, predicts(target)) {
            (InstanceMethod::Elevation, [false, _]) => {
                "a network that predicts a distance (target multi, distance or border)"
            }
            (InstanceMethod::Offsets, [_, false]) => "a network that predicts offsets (target multi)",
            _ => return Ok(Self::with_defaults(&settings, target)),
        };
        let this =
            target.map_or("this one predicts classes alone".to_string(), |t| format!("this one's target is {t}"));
        Err(Error::invalid("method of instances", format!("`{method}` needs {missing}; {this}")))
    }

    fn with_defaults(settings: &InstanceSettings, target: Option<InstanceTarget>) -> Self {
        let separation = match settings.method.unwrap_or_default() {
            InstanceMethod::Components => Separation::Components,
            InstanceMethod::Watershed => Separation::Watershed { depth: settings.seed_depth.unwrap_or(SEED_DEPTH) },
            InstanceMethod::Elevation => Separation::Elevation(ElevationRule::of(settings, target)),
            InstanceMethod::Offsets => Separation::Offsets(settings.into()),
        };
        let geometry = predicts(target)[0];
        let (threshold, min_area, min_confidence) = if geometry { (Some(0.5), 20, 0.8) } else { (None, 0, 0.0) };
        Self {
            separation,
            connectivity: settings.connectivity.unwrap_or_default(),
            threshold: settings.threshold.or(threshold),
            min_area: settings.min_area.unwrap_or(min_area),
            min_area_percent: settings.min_area_percent.unwrap_or(0.0),
            min_confidence: settings.min_confidence.unwrap_or(min_confidence),
            fill_holes: settings.fill_holes.unwrap_or(geometry || separation != Separation::Components),
            close_gaps: settings.close_gaps.unwrap_or(0),
            ..Self::default()
        }
    }

    /// Whether finding instances reads probabilities.
    pub fn needs_probabilities(&self) -> bool {
        self.threshold.is_some() || self.min_confidence > 0.0
    }

    /// Whether finding instances reads the geometry that a network predicts.
    pub fn needs_geometry(&self) -> bool {
        matches!(self.separation, Separation::Elevation(_) | Separation::Offsets(_))
    }

    pub(super) fn check(&self) -> Result<()> {
        let above = |what: &str, value: f64| match value.is_finite() && value > 0.0 {
            true => Ok(()),
            false => Err(Error::invalid(what, format!("depth {value} is not a number above 0"))),
        };
        let within = |what: &str, value: f64, max: f64, open: bool| match value {
            v if (0.0..=max).contains(&v) && !(open && v == max) => Ok(()),
            v => Err(Error::invalid(what, format!("{v} is not from 0 to {max}"))),
        };
        let positive = |what: &str, value: f64| match value.is_finite() && value >= 0.0 {
            true => Ok(()),
            false => Err(Error::invalid(what, format!("{value} is not 0 or more"))),
        };
        match self.separation {
            Separation::Components => {}
            Separation::Watershed { depth } => above("watershed", depth)?,
            Separation::Elevation(ElevationRule { depth, min_seed, border, smoothing }) => {
                above("elevation", depth)?;
                positive("least height of a seed", min_seed)?;
                positive("weight of the border", border)?;
                within("smoothing", smoothing, MAX_SMOOTHING, false)?;
            }
            Separation::Offsets(OffsetRule { votes, max_offset, jumps, .. }) => {
                let whole = |what: &str, value: u32, max: u32| match (1..=max).contains(&value) {
                    true => Ok(()),
                    false => Err(Error::invalid(what, format!("{value} is not from 1 to {max}"))),
                };
                whole("votes", u32::try_from(votes).unwrap_or(u32::MAX), u32::MAX)?;
                whole("longest offset", max_offset, MAX_OFFSET)?;
                whole("jumps", jumps, MAX_JUMPS)?;
            }
        }
        within("threshold of instances", self.threshold.unwrap_or(0.0), 1.0, true)?;
        within("minimum area in percent", self.min_area_percent, 100.0, false)?;
        within("minimum confidence", self.min_confidence, 1.0, false)?;
        within("gaps to close", f64::from(self.close_gaps), f64::from(MAX_GAP), false)
    }
}

/// The rules in one line.
impl fmt::Display for InstanceOptions {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.separation {
            Separation::Components => f.write_str("connected components")?,
            Separation::Watershed { depth } => write!(f, "watershed of the distance (seed depth {depth})")?,
            Separation::Elevation(ElevationRule { depth, min_seed, border, smoothing }) => {
                write!(f, "flood of the predicted elevation (seed depth {depth}, tops of at least {min_seed}")?;
                if border > 0.0 {
                    write!(f, ", border weight {border}")?;
                }
                if smoothing > 0.0 {
                    write!(f, ", smoothing {smoothing}")?;
                }
                f.write_str(")")?;
            }
            Separation::Offsets(OffsetRule { votes, min_cluster, max_offset, jumps }) => write!(
                f,
                "clusters of predicted offsets ({votes} votes, clusters of at least {min_cluster} pixels, offsets of at most \
                 {max_offset}, {jumps} jumps)"
            )?,
        }
        if self.connectivity == Connectivity::Eight {
            f.write_str(", connected by corners too")?;
        }
        if let Some(threshold) = self.threshold {
            write!(f, ", probability above {threshold}")?;
        }
        if self.min_area > 0 {
            write!(f, ", at least {} pixels", self.min_area)?;
        }
        if self.min_area_percent > 0.0 {
            write!(f, ", at least {} % of the median area", self.min_area_percent)?;
        }
        if self.min_confidence > 0.0 {
            write!(f, ", mean probability at least {}", self.min_confidence)?;
        }
        if self.fill_holes {
            f.write_str(", holes filled")?;
        }
        match self.close_gaps {
            0 => Ok(()),
            1 => f.write_str(", gaps of 1 pixel closed"),
            n => write!(f, ", gaps of up to {n} pixels closed"),
        }
    }
}
