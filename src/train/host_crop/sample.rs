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

/// The label at the pixel nearest to (row, column). Beyond the map it is `outside`, or without that the mirrored one.
pub(super) fn nearest(map: &LabelMap, [y, x]: [f64; 2], outside: Option<u32>) -> u32 {
    let [row, column] = [y, x].map(|v| (v + 0.5).floor() as isize);
    let inside = row >= 0 && column >= 0 && (row as usize) < map.height() && (column as usize) < map.width();
    match outside {
        Some(outside) if !inside => outside,
        _ => map.labels()[mirror(row, map.height()) * map.width() + mirror(column, map.width())],
    }
}
