//! Images in memory behind the interface of files.

use std::borrow::Cow;

use super::{ImageSource, SourceInfo};
use crate::error::Result;
use crate::infer::image::Image;

/// An image in memory as a source.
pub struct InMemory<'a> {
    image: Cow<'a, Image>,
}

impl<'a> InMemory<'a> {
    /// An image of someone else's, which counts as theirs.
    pub fn borrowed(image: &'a Image) -> Self {
        Self { image: Cow::Borrowed(image) }
    }

    /// An image of its own.
    pub fn owned(image: Image) -> InMemory<'static> {
        InMemory { image: Cow::Owned(image) }
    }
}

impl ImageSource for InMemory<'_> {
    fn info(&self) -> SourceInfo {
        SourceInfo::of(&self.image)
    }

    fn read(&mut self, x0: usize, y0: usize, w: usize, h: usize) -> Result<Image> {
        self.image.part(x0, y0, w, h)
    }

    fn channel_names(&self) -> Vec<String> {
        self.image.channel_names().to_vec()
    }

    fn held_bytes(&self) -> u64 {
        match &self.image {
            Cow::Borrowed(_) => 0,
            Cow::Owned(p) => (p.pixels().len() * p.pixels().sample().bytes()) as u64,
        }
    }
}
