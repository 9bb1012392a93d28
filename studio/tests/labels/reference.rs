//! Edits at random, and slow references in whole numbers.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use unet_studio::labels::*;

pub const WIDTH: u32 = 300;
pub const HEIGHT: u32 = 270;

/// Coordinates in quarters of a pixel, also outside of the image.
pub fn quarter() -> impl Strategy<Value = f32> {
    (-60..1260_i32).prop_map(|q| q as f32 / 4.0)
}

pub fn point() -> impl Strategy<Value = [f32; 2]> {
    [quarter(), quarter()]
}

/// Points near the corner of four tiles, where something goes on.
pub fn near() -> impl Strategy<Value = [f32; 2]> {
    let c = || (900..1100_i32).prop_map(|q| q as f32 / 4.0);
    [c(), c()]
}

pub fn value() -> impl Strategy<Value = u32> {
    prop_oneof![1..6_u32, Just(BACKGROUND), Just(UNLABELLED)]
}

pub fn over() -> impl Strategy<Value = Over> {
    prop_oneof![
        Just(Over::Everything),
        Just(Over::OnlyUnlabelledAndBackground),
        (1..6_u32).prop_map(Over::OnlyInstance)
    ]
}

pub fn class() -> impl Strategy<Value = Option<u8>> {
    proptest::option::of(1..4_u8)
}

pub fn brush() -> impl Strategy<Value = Edit> {
    let points = proptest::collection::vec(prop_oneof![3 => near(), 1 => point()], 1..5);
    (points, any::<bool>(), 0..80_u32, value(), over(), class()).prop_map(
        |(mut points, level, quarters, value, over, class)| {
            if level {
                // Along rows, the edge of the disc meets pixel centres exactly.
                let y = points[0][1];
                points.iter_mut().for_each(|p| p[1] = y);
            }
            Edit::Brush { points, radius: quarters as f32 / 4.0, value, over, class }
        },
    )
}

pub fn polygon() -> impl Strategy<Value = Edit> {
    let points = proptest::collection::vec(prop_oneof![3 => near(), 1 => point()], 3..8);
    (points, value(), over(), class()).prop_map(|(points, value, over, class)| Edit::Polygon {
        points,
        value,
        over,
        class,
    })
}

pub fn paste() -> impl Strategy<Value = Edit> {
    (-20..290_i32, -20..260_i32, 1..60_u32, 1..60_u32, any::<u64>(), any::<bool>(), class()).prop_map(
        |(x, y, width, height, seed, replace, class)| {
            let cell = |i: u32| {
                let (x, y) = (i % width / 9, i / width / 9);
                match (u64::from(x * 7 + y * 13 + 1)).wrapping_mul(seed | 1) >> 61 {
                    0 => UNLABELLED,
                    1 => BACKGROUND,
                    id => id as u32,
                }
            };
            Edit::Paste {
                at: [x, y],
                size: [width, height],
                ids: (0..width * height).map(cell).collect(),
                classes: class.map(|c| (3, c)).into_iter().collect(),
                mode: if replace { PasteMode::Replace } else { PasteMode::OnlyUnlabelled },
            }
        },
    )
}

pub fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        4 => brush(),
        2 => polygon(),
        1 => (0..WIDTH, 0..HEIGHT, value(), class()).prop_map(|(x, y, value, class)| Edit::Fill { at: [x, y], value, class }),
        2 => (1..8_u32, proptest::collection::vec(near(), 2..4)).prop_map(|(id, line)| Edit::Split { id, line }),
        1 => proptest::collection::vec(1..8_u32, 1..4).prop_map(|ids| Edit::Merge { ids }),
        1 => (1..8_u32, prop_oneof![Just(BACKGROUND), Just(UNLABELLED)]).prop_map(|(id, to)| Edit::Delete { id, to }),
        1 => (1..8_u32, 1..4_u8).prop_map(|(id, class)| Edit::SetClass { id, class }),
        1 => (1..8_u32).prop_map(|id| Edit::FillHoles { id }),
        1 => (1..8_u32).prop_map(|id| Edit::Smooth { id }),
        1 => paste(),
    ]
}

pub fn edits() -> impl Strategy<Value = Vec<Edit>> {
    proptest::collection::vec(edit(), 1..16)
}

pub fn editor() -> Editor {
    Editor::new(Labels::new(WIDTH, HEIGHT).unwrap())
}

/// The bytes of a map.
pub fn pixels(labels: &Labels) -> Vec<u32> {
    labels.map().to_rows(0..HEIGHT)
}

pub fn scaled(c: f32) -> i128 {
    let scaled = c * 4.0;
    assert_eq!(scaled.fract(), 0.0);
    scaled as i128
}

/// Whether a pixel's centre is within the radius of a segment, in whole numbers of quarter pixels.
pub fn near_segment([x, y]: [u32; 2], a: [f32; 2], b: [f32; 2], radius: f32) -> bool {
    let (px, py) = (i128::from(x) * 4 + 2, i128::from(y) * 4 + 2);
    let ([ax, ay], [bx, by], r) = (a.map(scaled), b.map(scaled), scaled(radius.max(0.5)));
    let (dx, dy) = (bx - ax, by - ay);
    let square = |x: i128, y: i128| x * x + y * y;
    let along = (px - ax) * dx + (py - ay) * dy;
    if along < 0 || square(dx, dy) == 0 {
        return square(px - ax, py - ay) <= r * r;
    }
    if along > square(dx, dy) {
        return square(px - bx, py - by) <= r * r;
    }
    let across = (px - ax) * dy - (py - ay) * dx;
    across * across <= r * r * square(dx, dy)
}

pub fn brushed([x, y]: [u32; 2], points: &[[f32; 2]], radius: f32) -> bool {
    let contains = |p: &[f32; 2]| p[0].floor() as i64 == i64::from(x) && p[1].floor() as i64 == i64::from(y);
    points.iter().any(contains)
        || (0..points.len()).any(|i| near_segment([x, y], points[i.saturating_sub(1)], points[i], radius))
}

/// The even-odd rule for a pixel's centre: edges that cross the row to the right of it, in whole numbers.
pub fn inside_polygon([x, y]: [u32; 2], corners: &[[f32; 2]]) -> bool {
    let (px, py) = (i128::from(x) * 4 + 2, i128::from(y) * 4 + 2);
    let mut inside = false;
    for i in 0..corners.len() {
        let ([ax, ay], [bx, by]) = (corners[i].map(scaled), corners[(i + 1) % corners.len()].map(scaled));
        if (ay <= py) != (by <= py) {
            // The crossing ax + (py - ay) (bx - ax) / (by - ay) lies right of px.
            let (left, right) = ((py - ay) * (bx - ax), (px - ax) * (by - ay));
            inside ^= if by > ay { left > right } else { left < right };
        }
    }
    inside
}

pub fn allowed(over: Over, old: u32) -> bool {
    match over {
        Over::Everything => true,
        Over::OnlyUnlabelledAndBackground => old == BACKGROUND || old == UNLABELLED,
        Over::OnlyInstance(id) => old == id,
    }
}

/// Ids with their bounding box and sums, pixel by pixel.
pub fn measured(pixels: &[u32]) -> BTreeMap<u32, (u64, Rect, [f64; 2])> {
    let mut all: BTreeMap<u32, Vec<[u32; 2]>> = BTreeMap::new();
    for (i, &v) in (0u32..).zip(pixels).filter(|(_, v)| is_instance(**v)) {
        all.entry(v).or_default().push([i % WIDTH, i / WIDTH]);
    }
    let describe = |pixels: Vec<[u32; 2]>| {
        let range = |i: usize| (pixels.iter().map(|p| p[i]).min().unwrap(), pixels.iter().map(|p| p[i]).max().unwrap());
        let ((x0, x1), (y0, y1)) = (range(0), range(1));
        let n = pixels.len() as f64;
        let mean = |i: usize| pixels.iter().map(|p| f64::from(p[i]) + 0.5).sum::<f64>() / n;
        (pixels.len() as u64, Rect::new(x0.into(), y0.into(), x1 - x0 + 1, y1 - y0 + 1), [mean(0), mean(1)])
    };
    all.into_iter().map(|(id, pixels)| (id, describe(pixels))).collect()
}

/// The pixels after an instance is smoothed, one by one.
pub fn smoothed(old: &[u32], id: u32) -> Vec<u32> {
    let at = |x: i64, y: i64| {
        let inside = x >= 0 && y >= 0 && x < i64::from(WIDTH) && y < i64::from(HEIGHT);
        inside.then(|| old[(y * i64::from(WIDTH) + x) as usize])
    };
    let vote = |i: usize| {
        let (x, y) = (i as i64 % i64::from(WIDTH), i as i64 / i64::from(WIDTH));
        let steps = (-2..=2).flat_map(|dy: i64| (-2..=2).map(move |dx: i64| [dx, dy]));
        let disc: Vec<u32> =
            steps.filter(|[dx, dy]| dx.abs() + dy.abs() < 4).filter_map(|[dx, dy]| at(x + dx, y + dy)).collect();
        let share = |value: u32| disc.iter().filter(|&&v| v == value).count();
        match old[i] {
            other if other != id && is_instance(other) => other,
            _ if share(id) * 2 > disc.len() => id,
            free if free != id => free,
            _ if share(UNLABELLED) > share(BACKGROUND) => UNLABELLED,
            _ => BACKGROUND,
        }
    };
    (0..old.len()).map(vote).collect()
}

/// The 8-connected parts of an instance.
pub fn parts(pixels: &[u32], id: u32) -> Vec<BTreeSet<[i64; 2]>> {
    let mut left: BTreeSet<[i64; 2]> = (0..pixels.len())
        .filter(|&i| pixels[i] == id)
        .map(|i| [(i as u32 % WIDTH) as i64, (i as u32 / WIDTH) as i64])
        .collect();
    let mut found = Vec::new();
    while let Some(start) = left.pop_first() {
        let (mut part, mut stack) = (BTreeSet::from([start]), vec![start]);
        while let Some([x, y]) = stack.pop() {
            for [dx, dy] in [[-1, -1], [0, -1], [1, -1], [-1, 0], [1, 0], [-1, 1], [0, 1], [1, 1]] {
                if left.remove(&[x + dx, y + dy]) {
                    part.insert([x + dx, y + dy]);
                    stack.push([x + dx, y + dy]);
                }
            }
        }
        found.push(part);
    }
    found
}
