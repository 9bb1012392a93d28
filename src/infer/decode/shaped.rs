//! tifffile's page descriptions: the shape of an array, and sometimes the names of its axes.

use serde::Deserialize;

use super::MAX_CHANNELS;
use super::plane::Stack;

/// Descriptions of more planes are ignored.
const MAX_PLANES: usize = 1 << 16;

#[derive(Deserialize)]
struct Shaped {
    shape: Vec<usize>,
    axes: Option<String>,
}

/// The pages of an array with named axes whose channels are in separate directories; `None` for any other.
pub(super) fn stack(description: &str) -> Option<Stack> {
    let Shaped { shape, axes } = serde_json::from_str(description).ok()?;
    let axes: Vec<char> = axes?.chars().collect();
    if axes.len() != shape.len() {
        return None;
    }
    let channel = axes.iter().position(|&a| a == 'C')?;
    // Interleaved samples, such as RGB, share a directory.
    let planes = axes.strip_suffix(&['Y', 'X', 'S']).or(axes.strip_suffix(&['Y', 'X']))?.len();
    let (before, after) = (shape.get(..channel)?, shape.get(channel + 1..planes)?);
    let size = |axes: &[usize]| axes.iter().try_fold(1usize, |n, &a| n.checked_mul(a));
    let (before, channels, after) = (size(before)?, *shape.get(channel)?, size(after)?);
    let count = before.checked_mul(channels)?.checked_mul(after)?;
    if !(2..=MAX_CHANNELS).contains(&channels) || !(1..=MAX_PLANES).contains(&count) {
        return None;
    }
    let page = |page: usize| {
        let first = page / after * channels * after + page % after;
        (0..channels).map(|c| Ok(first + c * after)).collect()
    };
    Some((0..before * after).map(page).collect())
}

/// Z planes and times of an array with named axes, if pages run through the planes of a time first.
pub(super) fn axes(description: &str) -> Option<[usize; 2]> {
    let Shaped { shape, axes } = serde_json::from_str(description).ok()?;
    let axes: Vec<char> = axes?.chars().collect();
    let stacked = axes.iter().copied().filter(|a| !matches!(a, 'C' | 'Y' | 'X' | 'S')).collect::<String>();
    let size = |name| axes.iter().position(|&a| a == name).map_or(Some(1), |i| shape.get(i).copied());
    matches!(stacked.as_str(), "TZ" | "T" | "Z").then(|| Some([size('Z')?, size('T')?]))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_channels_are_channels() {
        let of = |text: &str| -> Option<Vec<Vec<usize>>> {
            Some(stack(text)?.into_iter().map(|page| page.into_iter().map(Result::unwrap).collect()).collect())
        };
        assert_eq!(of(r#"{"shape": [3, 60, 70], "axes": "CYX"}"#).unwrap(), [[0, 1, 2]]);
        // numpy.arange(12).reshape(2, 3, 2): channels in the middle.
        let all = of(r#"{"shape": [2, 3, 2, 60, 70], "axes": "TCZYX"}"#).unwrap();
        assert_eq!(all, [[0, 2, 4], [1, 3, 5], [6, 8, 10], [7, 9, 11]]);
        assert_eq!(of(r#"{"shape": [2, 60, 70, 3], "axes": "CYXS"}"#).unwrap(), [[0, 1]]);
    }

    #[test]
    fn planes_and_times() {
        assert_eq!(axes(r#"{"shape": [2, 3, 4, 60, 70], "axes": "TCZYX"}"#), Some([4, 2]));
        assert_eq!(axes(r#"{"shape": [5, 60, 70], "axes": "TYX"}"#), Some([1, 5]));
        assert_eq!(axes(r#"{"shape": [2, 4, 60, 70], "axes": "ZTYX"}"#), None);
        assert_eq!((axes(r#"{"shape": [12, 60, 70]}"#), axes("")), (None, None));
    }

    #[test]
    fn other_descriptions_are_ignored() {
        for text in [
            r#"{"shape": [12, 60, 70]}"#,
            r#"{"shape": [12, 60, 70], "axes": "ZYX"}"#,
            r#"{"shape": [60, 70, 3], "axes": "YXC"}"#,
            r#"{"shape": [3, 60], "axes": "CYX"}"#,
            r#"{"shape": [0, 60, 70], "axes": "CYX"}"#,
            r#"{"shape": [4294967296, 4294967296, 4294967296, 60, 70], "axes": "TCZYX"}"#,
            r#"{"shape": [1000, 60, 70], "axes": "CYX"}"#,
            "{",
            "",
        ] {
            assert!(stack(text).is_none(), "{text}");
        }
    }
}
