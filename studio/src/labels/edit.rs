//! Edits as data, what they changed, why they failed.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::rle::Rle;
use super::{MAX_ID, Rect};

/// Which pixels an edit may overwrite.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Over {
    /// Every pixel.
    #[default]
    Everything,
    /// Pixels of no instance, so that an instance does not eat into its neighbours.
    OnlyUnlabelledAndBackground,
    /// Pixels of this instance.
    OnlyInstance(u32),
}

/// Which pixels a paste overwrites.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PasteMode {
    /// All that the pasted pixels label.
    #[default]
    Replace,
    /// Those that nobody has labelled.
    OnlyUnlabelled,
}

/// An edit of labels. Points are in pixels, column first: the centre of the first pixel is at (0.5, 0.5).
///
/// Values are an instance id, [`super::BACKGROUND`] or [`super::UNLABELLED`]. `class` is the class of an instance that the edit
/// creates; one that exists keeps its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Edit {
    /// A disc moved along a line: pixels whose centre it covers, and those in which the points lie. Radius 0.5 is one pixel.
    Brush {
        /// The line.
        points: Vec<[f32; 2]>,
        /// Radius of the disc, pixels; at least 0.5.
        radius: f32,
        /// What to paint.
        value: u32,
        /// What may be overwritten.
        #[serde(default)]
        over: Over,
        /// Class of a new instance.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        class: Option<u8>,
    },
    /// A polygon by the even-odd rule: pixels whose centre is inside.
    Polygon {
        /// Its corners.
        points: Vec<[f32; 2]>,
        /// What to paint.
        value: u32,
        /// What may be overwritten.
        #[serde(default)]
        over: Over,
        /// Class of a new instance.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        class: Option<u8>,
    },
    /// The 4-connected region of equal value around a pixel.
    Fill {
        /// The pixel: column, row.
        at: [u32; 2],
        /// What to paint.
        value: u32,
        /// Class of a new instance.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        class: Option<u8>,
    },
    /// Divides an instance where a line crosses it. Pixels under the line go to the nearest part. The largest part keeps the
    /// id, the others get new ids and the same class.
    Split {
        /// The instance.
        id: u32,
        /// The line.
        line: Vec<[f32; 2]>,
    },
    /// Makes several instances the first of them.
    Merge {
        /// The instances.
        ids: Vec<u32>,
    },
    /// Removes an instance.
    Delete {
        /// The instance.
        id: u32,
        /// Background or unlabelled.
        to: u32,
    },
    /// Changes the class of an instance.
    SetClass {
        /// The instance.
        id: u32,
        /// Its class, from 1.
        class: u8,
    },
    /// Puts labels onto the map, such as a prediction. Unlabelled pixels among them change nothing. An instance whose id
    /// another one has gets a new id.
    Paste {
        /// Column and row of the first pixel.
        at: [i32; 2],
        /// Columns and rows.
        size: [u32; 2],
        /// The pixels.
        ids: Rle,
        /// Classes of pasted instances that are not 1: id, class.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        classes: Vec<(u32, u8)>,
        /// What may be overwritten.
        #[serde(default)]
        mode: PasteMode,
    },
    /// Fills background and unlabelled pixels that an instance surrounds.
    FillHoles {
        /// The instance.
        id: u32,
    },
    /// Smooths the outline of an instance: a pixel is its if most of the disc of radius 2 around the pixel is. Pixels of other
    /// instances never change. What it loses becomes what lies there around it, background or unlabelled.
    Smooth {
        /// The instance.
        id: u32,
    },
}

impl Edit {
    /// Name for menus: "Undo Brush".
    pub fn name(&self) -> &'static str {
        match self {
            Self::Brush { value, .. } if !super::is_instance(*value) => "Eraser",
            Self::Brush { .. } => "Brush",
            Self::Polygon { .. } => "Polygon",
            Self::Fill { .. } => "Fill",
            Self::Split { .. } => "Split",
            Self::Merge { .. } => "Merge",
            Self::Delete { .. } => "Delete",
            Self::SetClass { .. } => "Class",
            Self::Paste { .. } => "Paste",
            Self::FillHoles { .. } => "Fill Holes",
            Self::Smooth { .. } => "Smooth",
        }
    }
}

/// What an edit changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Instances that gained or lost pixels, or have another class; ascending.
    pub ids: Vec<u32>,
    /// Bounding box of the changed pixels.
    pub bounds: Option<Rect>,
}

impl Change {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty() && self.bounds.is_none()
    }
}

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
