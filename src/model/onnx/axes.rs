//! Axis orders of the tensors of a file.

use serde::Deserialize;
use std::fmt;

/// Meaning of an axis of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// Images of a batch.
    N,
    /// Channels.
    C,
    /// Rows.
    H,
    /// Columns.
    W,
}

impl Axis {
    /// Its index in N, C, H, W.
    pub fn place(self) -> usize {
        self as usize
    }
}

/// Axes in the order of a file; absent ones have one element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Layout {
    /// Batch, channels, rows, columns: PyTorch.
    Nchw,
    /// Batch, rows, columns, channels: TensorFlow and Keras.
    Nhwc,
    /// Channels, rows, columns of one image.
    Chw,
    /// Rows, columns, channels of one image.
    Hwc,
    /// Batch, rows, columns of one channel.
    Nhw,
    /// Rows, columns of one channel of one image.
    Hw,
}

impl Layout {
    const ALL: [Self; 6] = [Self::Nchw, Self::Nhwc, Self::Chw, Self::Hwc, Self::Nhw, Self::Hw];

    /// Its axes.
    pub fn axes(self) -> &'static [Axis] {
        use Axis::{C, H, N, W};
        match self {
            Self::Nchw => &[N, C, H, W],
            Self::Nhwc => &[N, H, W, C],
            Self::Chw => &[C, H, W],
            Self::Hwc => &[H, W, C],
            Self::Nhw => &[N, H, W],
            Self::Hw => &[H, W],
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Nchw => "NCHW",
            Self::Nhwc => "NHWC",
            Self::Chw => "CHW",
            Self::Hwc => "HWC",
            Self::Nhw => "NHW",
            Self::Hw => "HW",
        }
    }

    /// Whether channels come last.
    pub fn channels_last(self) -> bool {
        self.axes().last() == Some(&Axis::C)
    }

    /// The possible orders of an input of these dimensions, most likely first.
    pub fn of_rank(dims: &[Option<usize>]) -> Vec<Self> {
        let mut all: Vec<Self> = Self::ALL.into_iter().filter(|l| l.axes().len() == dims.len()).collect();
        let last = Self::last_by_dims(dims).unwrap_or(false);
        all.sort_by_key(|l| l.channels_last() != last);
        all
    }

    /// Whether channels come last, if the dimensions show it: at most 4 channels, or two equal sides.
    pub fn last_by_dims(dims: &[Option<usize>]) -> Option<bool> {
        let [.., a, b, c] = *dims else { return Some(false) };
        let few = |n: Option<usize>| n.is_some_and(|n| n <= 4);
        let sides = |a: Option<usize>, b: Option<usize>, other: Option<usize>| a.is_some() && a == b && other < a;
        match (few(a), few(c)) {
            (false, true) => Some(true),
            (true, false) => Some(false),
            _ if c.is_some() && sides(a, b, c) => Some(true),
            _ if a.is_some() && sides(b, c, a) => Some(false),
            _ => None,
        }
    }

    /// Dimensions of the file as N, C, H, W.
    pub fn dims(self, file: &[Option<usize>]) -> [Option<usize>; 4] {
        let mut dims = [Some(1); 4];
        self.axes().iter().zip(file).for_each(|(axis, n)| dims[axis.place()] = *n);
        dims
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl TryFrom<String> for Layout {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::name).join(", ");
        let found = Self::ALL.into_iter().find(|l| l.name().eq_ignore_ascii_case(&name));
        found.ok_or_else(|| format!("layout `{name}` is not one of {}", known()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_likely_order_comes_first() {
        let first = |dims: &[usize]| {
            let dims: Vec<Option<usize>> = dims.iter().map(|&n| (n > 0).then_some(n)).collect();
            Layout::of_rank(&dims)[0].to_string()
        };
        for (dims, expected) in [
            (&[0, 0, 0, 0][..], "NCHW"),
            (&[1, 3, 64, 64], "NCHW"),
            (&[0, 12, 64, 64], "NCHW"),
            (&[0, 64, 64, 12], "NHWC"),
            (&[0, 64, 64, 1], "NHWC"),
            (&[0, 0, 0, 3], "NHWC"),
            (&[0, 1, 0, 0], "NCHW"),
            (&[0, 64, 96, 12], "NCHW"),
            (&[1, 4, 4, 4], "NCHW"),
            (&[64, 64, 3], "HWC"),
            (&[3, 64, 64], "CHW"),
            (&[64, 64], "HW"),
        ] {
            assert_eq!(first(dims), expected, "{dims:?}");
        }
        assert!(Layout::of_rank(&[None; 5]).is_empty());
        assert_eq!(Layout::Hwc.dims(&[Some(5), None, Some(3)]), [Some(1), Some(3), Some(5), None]);
        assert_eq!(Layout::try_from("nhwc".to_string()), Ok(Layout::Nhwc));
        assert!(Layout::try_from("NWHC".to_string()).unwrap_err().contains("NCHW, NHWC"));
    }
}
