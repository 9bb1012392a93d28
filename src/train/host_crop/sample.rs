//! Sampling of images and labels at any position.

use crate::infer::{LabelMap, mirror};

/// A plane of `[width, height]` pixels at (row, column), bilinear; mirrored beyond its edges.
pub(super) fn bilinear(plane: &[f32], [width, height]: [usize; 2], [y, x]: [f64; 2]) -> f32 {
    let (top, left) = (y.floor(), x.floor());
    let (fy, fx) = ((y - top) as f32, (x - left) as f32);
    let (top, left) = (top as isize, left as isize);
    let [rows, columns] = [[top, height as isize], [left, width as isize]].map(|[from, size]| {
        let inside = from >= 0 && from + 1 < size;
        if inside { [from as usize, from as usize + 1] } else { [0, 1].map(|k| mirror(from + k, size as usize)) }
    });
    let at = |row: usize, column: usize| plane[row * width + column];
    let [above, below] = rows.map(|row| {
        let [a, b] = columns.map(|column| at(row, column));
        a + fx * (b - a)
    });
    above + fy * (below - above)
}

/// The label at the pixel nearest to (row, column); `None` beyond the map.
pub(super) fn nearest(map: &LabelMap, [y, x]: [f64; 2]) -> Option<u32> {
    let (row, column) = ((y + 0.5).floor(), (x + 0.5).floor());
    let inside = row >= 0.0 && column >= 0.0 && row < map.height() as f64 && column < map.width() as f64;
    inside.then(|| map.labels()[row as usize * map.width() + column as usize])
}
