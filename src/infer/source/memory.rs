//! Pictures in memory behind the interface of files.

use std::borrow::Cow;

use super::{PictureSource, SourceInfo};
use crate::error::Result;
use crate::infer::image::Picture;

/// A picture in memory as a source.
pub struct InMemory<'a> {
    picture: Cow<'a, Picture>,
}

impl<'a> InMemory<'a> {
    /// A picture of someone else's, which counts as theirs.
    pub fn borrowed(picture: &'a Picture) -> Self {
        Self { picture: Cow::Borrowed(picture) }
    }

    /// A picture of its own.
    pub fn owned(picture: Picture) -> InMemory<'static> {
        InMemory { picture: Cow::Owned(picture) }
    }
}

impl PictureSource for InMemory<'_> {
    fn info(&self) -> SourceInfo {
        SourceInfo::of(&self.picture)
    }

    fn read(&mut self, x0: usize, y0: usize, w: usize, h: usize) -> Result<Picture> {
        self.picture.part(x0, y0, w, h)
    }

    fn channel_names(&self) -> Vec<String> {
        self.picture.channel_names().to_vec()
    }

    fn rows_at_once(&self) -> usize {
        1
    }

    fn held_bytes(&self) -> u64 {
        match &self.picture {
            Cow::Borrowed(_) => 0,
            Cow::Owned(p) => (p.pixels().len() * p.pixels().sample().bytes()) as u64,
        }
    }
}
