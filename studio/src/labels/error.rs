//! Why edits fail.

use std::fmt;

use super::MAX_ID;

/// Why an edit is not possible. Nothing has changed then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EditError {
    /// A map of no pixel, or of too many.
    Size {
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// Pixels do not fill an area.
    Pixels {
        /// Their number.
        pixels: u64,
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// Not a value of a label map.
    Value(u32),
    /// Coordinates or a radius that are not finite numbers.
    NotFinite,
    /// Too few points.
    TooFewPoints {
        /// What they are for.
        shape: &'static str,
        /// Fewest that it takes.
        least: usize,
    },
    /// A pixel beyond the image.
    Outside([u32; 2]),
    /// No pixel has this id.
    NoInstance(u32),
    /// A line does not divide the instance.
    NotDivided(u32),
    /// Smoothing would leave nothing of the instance.
    TooThin(u32),
    /// Fewer than two instances to merge.
    NothingToMerge,
    /// A deleted instance can only become background or unlabelled.
    DeletedTo(u32),
    /// A class of 0.
    NoClass,
    /// All ids are in use.
    NoIds,
    /// A stroke is under way.
    StrokeUnderWay,
    /// Only a brush can be drawn live.
    NotAStroke,
    /// A tile that the map does not have, or pixels that do not fill it.
    Patch,
}

impl fmt::Display for EditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size { width, height } => write!(f, "Labels of {width} x {height} pixels are not possible."),
            Self::Pixels { pixels, width, height } => {
                write!(f, "{pixels} values do not fill {width} x {height} pixels.")
            }
            Self::Value(value) => write!(f, "{value} is no label: ids end at {MAX_ID}."),
            Self::NotFinite => f.write_str("Coordinates and radius must be finite numbers."),
            Self::TooFewPoints { shape, least: 1 } => write!(f, "A {shape} needs at least one point."),
            Self::TooFewPoints { shape, least } => write!(f, "A {shape} needs at least {least} points."),
            Self::Outside([x, y]) => write!(f, "Column {x}, row {y} is not in the image."),
            Self::NoInstance(id) => write!(f, "There is no instance {id}."),
            Self::NotDivided(id) => write!(
                f,
                "The line does not divide instance {id}: draw it across, from outside to outside of the instance."
            ),
            Self::TooThin(id) => write!(f, "Instance {id} is too thin to be smoothed: nothing would be left of it."),
            Self::NothingToMerge => f.write_str("Choose at least two instances to merge."),
            Self::DeletedTo(value) => {
                write!(f, "A deleted instance becomes background or unlabelled, not {value}.")
            }
            Self::NoClass => f.write_str("Classes of instances start at 1; 0 is the background."),
            Self::NoIds => f.write_str("There is no id left for a new instance."),
            Self::StrokeUnderWay => f.write_str("Finish the stroke first."),
            Self::NotAStroke => f.write_str("Only a brush is drawn as a stroke."),
            Self::Patch => f.write_str("The saved tiles do not fit the image."),
        }
    }
}

impl std::error::Error for EditError {}
