//! The warping error (Jain et al., "Boundary learning by optimization with topological constraints", CVPR 2010; details
//! as in Fiji).

use super::check_plane;
use crate::error::Result;
use crate::infer::LabelMap;

/// Share of pixels that still differ after the ground truth's foreground (above 0) was warped towards the prediction
/// (probability `[H, W]` above `threshold`) without a change of topology, and the warped ground truth (0 and 1).
///
/// Among the pixels that differ, those of the clearest probability first (then column by column), every one is flipped
/// whose flip merges, splits, makes or removes nothing (foreground 4-connected, background 8-connected), again and again
/// until that changes nothing more. Outside the image is background.
pub fn warping_error(prob: &[f32], ground_truth: &LabelMap, threshold: f64) -> Result<(f64, LabelMap)> {
    check_plane(prob, ground_truth)?;
    let (w, h) = (ground_truth.width(), ground_truth.height());
    let goal: Vec<bool> = prob.iter().map(|&p| f64::from(p) > threshold).collect();
    let mut now: Vec<bool> = ground_truth.labels().iter().map(|&t| t > 0).collect();
    let mut before = None;
    let left = loop {
        let columns = (0..w).flat_map(|x| (0..h).map(move |y| y * w + x));
        let mut wrong: Vec<usize> = columns.filter(|&i| now[i] != goal[i]).collect();
        if wrong.is_empty() || before == Some(wrong.len()) {
            break wrong.len();
        }
        before = Some(wrong.len());
        let clear = |i: usize| (f64::from(prob[i]) - threshold).abs();
        wrong.sort_by(|&a, &b| clear(b).total_cmp(&clear(a)));
        for i in wrong {
            if is_simple(&now, [w, h], i) {
                now[i] = !now[i];
            }
        }
    };
    let mut at = 0;
    let warped = ground_truth.map(|_| {
        at += 1;
        now[at - 1].into()
    });
    Ok((left as f64 / (w * h) as f64, warped))
}

/// Whether a pixel may flip without a change of topology: whether exactly one run of its ring's foreground touches it by
/// an edge and is followed by a gap (the crossing number of 4-connectivity).
fn is_simple(map: &[bool], [w, h]: [usize; 2], i: usize) -> bool {
    const RING: [(isize, isize); 8] = [(-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1)];
    let (x, y) = (i % w, i / w);
    let ring = RING.map(|(dy, dx)| match (y.checked_add_signed(dy), x.checked_add_signed(dx)) {
        (Some(y), Some(x)) if y < h && x < w => map[y * w + x],
        _ => false,
    });
    let ends = [1, 3, 5, 7].iter().filter(|&&k| ring[k] && !(ring[(k + 1) % 8] && ring[(k + 2) % 8]));
    ends.count() == 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infer::{Connectivity, components};

    fn map(rows: &[&str]) -> LabelMap {
        LabelMap::from_fn(rows[0].len(), rows.len(), |x, y| (rows[y].as_bytes()[x] == b'#').into()).unwrap()
    }

    fn error(pred: &[&str], ground_truth: &[&str]) -> (f64, LabelMap) {
        let prob: Vec<f32> = map(pred).labels().iter().map(|&l| l as f32).collect();
        warping_error(&prob, &map(ground_truth), 0.5).unwrap()
    }

    #[test]
    fn shifted_borders_are_no_error() {
        let (e, warped) = error(&["######", "######", "......"], &["######", "......", "......"]);
        assert_eq!((e, warped), (0.0, map(&["######", "######", "......"])));
    }

    #[test]
    fn mergers_and_lost_objects_are() {
        assert_eq!(error(&["#####"], &["##.##"]), (0.2, map(&["##.##"])));
        assert_eq!(error(&["##.##"], &["#####"]).0, 0.2);
        // An instance cannot vanish: one pixel of it stays.
        assert_eq!(error(&["....", "....", "...."], &["....", ".##.", "...."]).0, 1.0 / 12.0);
    }

    /// A flip is allowed exactly if it changes neither the number of 4-connected pieces of the foreground nor that of the
    /// 8-connected pieces of the background, both in the neighbourhood and with the centre among them: all 512.
    #[test]
    fn simple_points_keep_the_topology() {
        for bits in 0..512u32 {
            let at = |bits: u32| LabelMap::from_fn(3, 3, |x, y| bits >> (3 * y + x) & 1).unwrap();
            let now: Vec<bool> = at(bits).labels().iter().map(|&l| l > 0).collect();
            let without = at(bits & !16);
            // Pieces of the ring alone that touch the centre: one of each kind in a simple neighbourhood.
            let pieces = |map: &LabelMap, c, touching: &[usize]| {
                let ring = components(map, c);
                let mut found: Vec<u32> = touching.iter().map(|&i| ring.labels()[i]).filter(|&l| l > 0).collect();
                found.sort();
                found.dedup();
                found.len()
            };
            let inside = pieces(&without, Connectivity::Four, &[1, 3, 5, 7]);
            let background = at(!(bits | 16) & 511);
            let outside = pieces(&background, Connectivity::Eight, &[0, 1, 2, 3, 5, 6, 7, 8]);
            assert_eq!(is_simple(&now, [3, 3], 4), inside == 1 && outside == 1, "{bits:09b}");
        }
    }
}
