//! Run-length encoded pixels.

use serde::{Deserialize, Serialize};

use super::error::EditError;
use super::{MAX_ID, UNLABELLED};

/// Pixels row by row, as runs of a value and its count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rle(Vec<(u32, u32)>);

impl FromIterator<u32> for Rle {
    fn from_iter<I: IntoIterator<Item = u32>>(values: I) -> Self {
        let mut runs: Vec<(u32, u32)> = Vec::new();
        for value in values {
            match runs.last_mut() {
                Some((last, count)) if *last == value && *count < u32::MAX => *count += 1,
                _ => runs.push((value, 1)),
            }
        }
        Self(runs)
    }
}

impl Rle {
    /// Encodes values.
    pub fn from_ids(ids: &[u32]) -> Self {
        ids.iter().copied().collect()
    }

    /// The runs: value, count.
    pub fn runs(&self) -> &[(u32, u32)] {
        &self.0
    }

    /// Number of pixels.
    pub fn pixels(&self) -> u64 {
        self.0.iter().map(|r| u64::from(r.1)).sum()
    }

    /// Fails unless it holds an area of this size, and ids that a map can hold.
    pub(super) fn check(&self, [width, height]: [u32; 2]) -> Result<(), EditError> {
        let pixels = self.pixels();
        if pixels != u64::from(width) * u64::from(height) {
            return Err(EditError::Pixels { pixels, width, height });
        }
        match self.0.iter().find(|r| r.0 > MAX_ID && r.0 != UNLABELLED) {
            Some(run) => Err(EditError::Value(run.0)),
            None => Ok(()),
        }
    }

    /// Reads from the start.
    pub(super) fn reader(&self) -> RleReader<'_> {
        RleReader { runs: &self.0, used: 0 }
    }
}

/// A position in run-length encoded pixels.
#[derive(Clone, Debug)]
pub(super) struct RleReader<'a> {
    runs: &'a [(u32, u32)],
    /// Pixels of the first run that are behind us.
    used: u32,
}

impl RleReader<'_> {
    /// The next run, at most `most` pixels of it.
    fn next(&mut self, most: u64) -> Option<(u32, u64)> {
        let &(value, count) = self.runs.first()?;
        let left = u64::from(count - self.used);
        let taken = left.min(most);
        if taken == left {
            (self.runs, self.used) = (&self.runs[1..], 0);
        } else {
            self.used += taken as u32;
        }
        Some((value, taken))
    }

    /// Passes over pixels.
    pub fn skip(&mut self, mut pixels: u64) {
        while pixels > 0 {
            let Some((_, taken)) = self.next(pixels) else { return };
            pixels -= taken;
        }
    }

    /// Reads pixels.
    pub fn read(&mut self, out: &mut [u32]) {
        let mut at = 0;
        while at < out.len() {
            let Some((value, taken)) = self.next((out.len() - at) as u64) else { return };
            out[at..at + taken as usize].fill(value);
            at += taken as usize;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_read_in_pieces() {
        let ids = [5, 5, 0, 0, 0, 7, UNLABELLED, UNLABELLED, 5];
        let rle = Rle::from_ids(&ids);
        assert_eq!(rle.runs(), [(5, 2), (0, 3), (7, 1), (UNLABELLED, 2), (5, 1)]);
        for skip in 0..=ids.len() {
            let mut reader = rle.reader();
            reader.skip(skip as u64);
            let mut out = vec![99; ids.len() - skip];
            let (head, tail) = out.split_at_mut((ids.len() - skip) / 2);
            reader.read(head);
            reader.read(tail);
            assert_eq!(out, ids[skip..]);
        }
        let text = serde_json::to_string(&rle).unwrap();
        assert_eq!(text, "[[5,2],[0,3],[7,1],[4294967295,2],[5,1]]");
        assert_eq!(serde_json::from_str::<Rle>(&text).unwrap(), rle);
        assert!(rle.check([3, 3]).is_ok() && rle.check([3, 4]).is_err());
        assert_eq!(Rle::from_ids(&[1 << 31]).check([1, 1]), Err(EditError::Value(1 << 31)));
        let mut end = rle.reader();
        end.skip(u64::MAX);
        end.read(&mut [0]);
    }
}
