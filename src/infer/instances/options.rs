//! How instances are found.

use std::fmt;
use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::weights::{Connectivity, InstanceMethod, InstanceSettings, MAX_GAP};

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
    /// Fills holes, before instances are separated: background enclosed by one instance becomes part of it. Holes at the
    /// image's edge are open, and a hole that contains another instance is not filled.
    pub fill_holes: bool,
    /// The widest gap that is closed, 0 to 2 pixels: a background pixel that shares an edge with an instance, and has another
    /// one within so many pixels, joins the former.
    pub close_gaps: u32,
    /// Memory limit in bytes.
    pub memory: u64,
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

/// The seed depth of a watershed that names none, in pixels.
const SEED_DEPTH: f64 = 1.0;

impl From<&InstanceSettings> for InstanceOptions {
    /// What the settings leave open: connected components of the mask, none dropped; a watershed has a seed depth of 1 pixel
    /// and fills holes, which would split instances otherwise.
    fn from(settings: &InstanceSettings) -> Self {
        let plain = Self::default();
        let separation = match settings.method.unwrap_or_default() {
            InstanceMethod::Watershed => Separation::Watershed { depth: settings.seed_depth.unwrap_or(SEED_DEPTH) },
            _ => Separation::Components,
        };
        Self {
            separation,
            connectivity: settings.connectivity.unwrap_or_default(),
            threshold: settings.threshold,
            min_area: settings.min_area.unwrap_or(0),
            min_area_percent: settings.min_area_percent.unwrap_or(0.0),
            min_confidence: settings.min_confidence.unwrap_or(0.0),
            fill_holes: settings.fill_holes.unwrap_or(separation != Separation::Components),
            close_gaps: settings.close_gaps.unwrap_or(0),
            ..plain
        }
    }
}

impl InstanceOptions {
    /// Whether finding instances reads probabilities.
    pub fn needs_probabilities(&self) -> bool {
        self.threshold.is_some() || self.min_confidence > 0.0
    }

    pub(super) fn check(&self) -> Result<()> {
        if let Separation::Watershed { depth } = self.separation
            && !(depth.is_finite() && depth > 0.0)
        {
            return Err(Error::invalid("watershed", format!("depth {depth} is not a number above 0")));
        }
        if let Separation::Elevation(ElevationRule { depth, smoothing, .. }) = self.separation
            && !(depth.is_finite() && depth > 0.0 && (0.0..=32.0).contains(&smoothing))
        {
            return Err(Error::invalid("elevation", format!("depth {depth} or smoothing {smoothing} is out of range")));
        }
        let within = |what: &str, value: f64, max: f64, open: bool| match value {
            v if (0.0..=max).contains(&v) && !(open && v == max) => Ok(()),
            v => Err(Error::invalid(what, format!("{v} is not from 0 to {max}"))),
        };
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
            Separation::Elevation(_) => f.write_str("flood of the elevation")?,
            Separation::Offsets(_) => f.write_str("offsets")?,
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
