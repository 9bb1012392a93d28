//! Edits as data, and what they changed.

use serde::{Deserialize, Serialize};

use super::Rect;
use super::rle::Rle;

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
