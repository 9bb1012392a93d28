//! The class of every pixel.

use crate::error::{Error, Result};

/// Class ids, one per pixel, row by row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ids {
    /// For up to 256 classes.
    U8(Vec<u8>),
    /// For more.
    U16(Vec<u16>),
}

impl Ids {
    /// The id with this index; 0 outside.
    pub(crate) fn id(&self, index: usize) -> usize {
        match self {
            Self::U8(v) => v.get(index).map_or(0, |&id| usize::from(id)),
            Self::U16(v) => v.get(index).map_or(0, |&id| usize::from(id)),
        }
    }
}

/// The class of every pixel of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    width: usize,
    height: usize,
    classes: usize,
    ids: Ids,
}

impl Mask {
    /// A mask of ids below `classes` (class 0 is the background). Fails if they do not fill it or one is too large.
    pub fn new(width: usize, height: usize, classes: usize, ids: Ids) -> Result<Self> {
        let (len, largest) = match &ids {
            Ids::U8(v) => (v.len(), v.iter().max().map(|&m| usize::from(m))),
            Ids::U16(v) => (v.len(), v.iter().max().map(|&m| usize::from(m))),
        };
        let Some(largest) = largest.filter(|_| width.checked_mul(height) == Some(len)) else {
            return Err(Error::invalid("mask", format!("{len} class ids do not fill {width}x{height} pixels")));
        };
        if largest >= classes {
            return Err(Error::invalid("mask", format!("class {largest} does not exist, there are {classes}")));
        }
        Ok(Self { width, height, classes, ids })
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Number of classes, background included.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The class ids.
    pub fn ids(&self) -> &Ids {
        &self.ids
    }

    /// Class of the pixel with this index, counted row by row; 0 outside.
    pub(crate) fn id(&self, index: usize) -> usize {
        self.ids.id(index)
    }
}
