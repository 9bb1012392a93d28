//! The outline of an instance, smoothed by a majority of the pixels around.

use super::regions::Area;
use super::{BACKGROUND, Rect, UNLABELLED};

/// Radius of the disc around a pixel that decides.
pub(super) const REACH: u32 = 2;

/// The largest squared distance in the disc: 5 x 5 pixels without the corners.
const WITHIN: i64 = 5;

/// A rectangle with a margin, as far as the map has it.
pub(super) fn grown(rect: Rect, by: u32, map: Rect) -> Rect {
    let by = i64::from(by);
    let (x, y) = ((rect.x - by).max(map.x), (rect.y - by).max(map.y));
    let (right, bottom) = ((rect.right() + by).min(map.right()), (rect.bottom() + by).min(map.bottom()));
    Rect::new(x, y, (right - x) as u32, (bottom - y) as u32)
}

/// What the disc around a pixel holds.
#[derive(Default)]
struct Around {
    pixels: usize,
    own: usize,
    background: usize,
    unlabelled: usize,
}

impl Area {
    /// The pixels after instance `id` is smoothed; none if nothing of it would be left. The area reaches [`REACH`] beyond the
    /// instance where the map does.
    pub fn smoothed(&self, id: u32) -> Option<Vec<u32>> {
        let new: Vec<u32> = (0..self.values.len()).map(|i| self.voted(id, i)).collect();
        new.contains(&id).then_some(new)
    }

    fn voted(&self, id: u32, i: usize) -> u32 {
        let old = self.values[i];
        if old != id && old != BACKGROUND && old != UNLABELLED {
            return old;
        }
        let around = self.around_pixel(id, i);
        match 2 * around.own > around.pixels {
            true => id,
            false if old != id => old,
            // Unlabelled claims nothing, so it must be what most of the surrounding is.
            false if around.unlabelled > around.background => UNLABELLED,
            false => BACKGROUND,
        }
    }

    /// Pixels beyond the map do not count.
    fn around_pixel(&self, id: u32, i: usize) -> Around {
        let (width, reach) = (self.rect.width as usize, i64::from(REACH));
        let (x, y) = ((i % width) as i64, (i / width) as i64);
        let mut found = Around::default();
        for dy in -reach..=reach {
            for dx in (-reach..=reach).filter(|dx| dx * dx + dy * dy <= WITHIN) {
                let Some(at) = self.at(x + dx, y + dy) else { continue };
                let value = self.values[at];
                found.pixels += 1;
                found.own += usize::from(value == id);
                found.background += usize::from(value == BACKGROUND);
                found.unlabelled += usize::from(value == UNLABELLED);
            }
        }
        found
    }
}
