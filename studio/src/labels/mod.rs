//! Label maps and their editing: no files, no device, no window.
//!
//! | file | responsibility |
//! |---|---|
//! | `tile` | pixels of a tile, and area, bounds and centroid of each value in it |
//! | `map` | pixels in tiles that are shared until they change |
//! | `stats` | area, bounds and centroid of each value in a map |
//! | `table` | a map with the class of each instance |
//! | `edit` | edits as data, and what they changed |
//! | `error` | why they fail |
//! | `rle` | run-length encoded pixels |
//! | `recorder` | the one place that writes pixels: it keeps what they were |
//! | `patch` | pixels of tiles as data, for steps that a journal cannot repeat |
//! | `shapes` | the pixels of brushes, polygons and lines |
//! | `regions` | flood fill, parts, holes |
//! | `smooth` | the outline of an instance, smoothed |
//! | `apply` | carries out an edit |
//! | `history` | undo and redo within a memory budget |
//! | `editor` | labels with their history, and the stroke under way |

mod apply;
mod edit;
mod editor;
mod error;
mod history;
mod map;
mod patch;
mod recorder;
mod regions;
mod rle;
mod shapes;
mod smooth;
mod stats;
mod table;
mod tile;

pub use edit::{Change, Edit, Over, PasteMode};
pub use editor::Editor;
pub use error::EditError;
pub use map::LabelMap;
pub use patch::Patch;
pub use rle::Rle;
pub use table::{Fractions, Instance, Labels};
pub use tile::Pixels;

/// Pixels that nobody has labelled: training ignores them.
pub const UNLABELLED: u32 = u32::MAX;
/// Pixels of no instance.
pub const BACKGROUND: u32 = 0;
/// Largest instance id: files hold signed integers of 32 bits.
pub const MAX_ID: u32 = i32::MAX as u32;
/// Rows and columns of a tile.
pub const TILE: u32 = 256;

/// Whether a value numbers an instance.
pub const fn is_instance(value: u32) -> bool {
    value != BACKGROUND && value <= MAX_ID
}

/// A rectangle of pixels, which may reach beyond the map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rect {
    /// First column.
    pub x: i64,
    /// First row.
    pub y: i64,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl Rect {
    /// A rectangle by its first column, first row, columns and rows.
    pub const fn new(x: i64, y: i64, width: u32, height: u32) -> Self {
        Self { x, y, width, height }
    }

    /// Column behind the last one.
    pub const fn right(&self) -> i64 {
        self.x.saturating_add(self.width as i64)
    }

    /// Row below the last one.
    pub const fn bottom(&self) -> i64 {
        self.y.saturating_add(self.height as i64)
    }

    /// The smallest rectangle around both.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        let (x, y) = (self.x.min(other.x), self.y.min(other.y));
        let length = |end: i64, start: i64| u32::try_from(end.saturating_sub(start)).unwrap_or(u32::MAX);
        Self {
            x,
            y,
            width: length(self.right().max(other.right()), x),
            height: length(self.bottom().max(other.bottom()), y),
        }
    }
}
