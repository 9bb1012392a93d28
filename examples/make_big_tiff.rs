//! Makes a large 16-bit BigTIFF in uncompressed tiles of 256x256: nuclei in noise, deterministic for a size.
//!
//! ```text
//! cargo run --release --example make_big_tiff -- big.tif 30000
//! unet segment big.tif -m nuclei-unet --memory 1G
//! ```
//!
//! Only one tile is in memory; 30,000 x 30,000 pixels are 1.8 GB.

use std::fs::File;
use std::io::{self, BufWriter, Write};

const TILE: usize = 256;
/// Grid spacing in pixels, with at most one nucleus per grid cell.
const CELL: i64 = 48;

/// Pseudo-random bits of a position.
fn hash(x: i64, y: i64, salt: u64) -> u64 {
    let mut h = (x as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (y as u64).wrapping_mul(0xc2b2_ae3d_27d4_eb4f) ^ salt;
    for shift in [33, 29, 32] {
        h = (h ^ (h >> shift)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    }
    h ^ (h >> 31)
}

/// A pseudo-random number from 0 to 1 of a position.
fn random(x: i64, y: i64, salt: u64) -> f32 {
    (hash(x, y, salt) >> 40) as f32 / (1u64 << 24) as f32
}

/// Intensity of a pixel: background, noise, and the nuclei of the cells around.
fn pixel(x: i64, y: i64) -> u16 {
    let mut light = 300.0 + 60.0 * random(x, y, 1);
    for cy in y.div_euclid(CELL) - 1..=y.div_euclid(CELL) + 1 {
        for cx in x.div_euclid(CELL) - 1..=x.div_euclid(CELL) + 1 {
            if random(cx, cy, 2) < 0.35 {
                continue;
            }
            let middle = |c: i64, salt| (c as f32 + 0.25 + 0.5 * random(cx, cy, salt)) * CELL as f32;
            let (dx, dy) = (x as f32 - middle(cx, 3), y as f32 - middle(cy, 4));
            let (a, b) = (10.0 + 6.0 * random(cx, cy, 5), 8.0 + 5.0 * random(cx, cy, 6));
            let (sin, cos) = (3.2 * random(cx, cy, 7)).sin_cos();
            let distance = ((dx * cos + dy * sin) / a).hypot((dy * cos - dx * sin) / b);
            let inside = 1.0 / (1.0 + ((distance - 1.0) * 8.0).exp());
            light += inside * (1500.0 + 1200.0 * random(cx, cy, 8)) * (0.85 + 0.3 * random(x, y, 9));
        }
    }
    light.min(65535.0) as u16
}

fn write(path: &str, side: usize) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let across = side.div_ceil(TILE);
    let (count, bytes) = ((across * across) as u64, (2 * TILE * TILE) as u64);
    // Header, tiles, their offsets and lengths, the directory.
    let (data, offsets) = (16, 16 + count * bytes);
    let lengths = offsets + 8 * count;
    let directory = lengths + 8 * count;
    out.write_all(b"II\x2b\0\x08\0\0\0")?;
    out.write_all(&directory.to_le_bytes())?;
    for (tile_y, tile_x) in (0..across).flat_map(|y| (0..across).map(move |x| (y, x))) {
        for y in (tile_y * TILE..).take(TILE) {
            for x in (tile_x * TILE..).take(TILE) {
                let value = if x < side && y < side { pixel(x as i64, y as i64) } else { 0 };
                out.write_all(&value.to_le_bytes())?;
            }
        }
    }
    for i in 0..count {
        out.write_all(&(data + i * bytes).to_le_bytes())?;
    }
    for _ in 0..count {
        out.write_all(&bytes.to_le_bytes())?;
    }
    let side = side as u64;
    // Tag, type (3 SHORT, 16 LONG8), count, value or where the values are.
    let entries: [(u16, u16, u64, u64); 11] = [
        (256, 16, 1, side),
        (257, 16, 1, side),
        (258, 3, 1, 16),
        (259, 3, 1, 1),
        (262, 3, 1, 1),
        (277, 3, 1, 1),
        (322, 3, 1, TILE as u64),
        (323, 3, 1, TILE as u64),
        (324, 16, count, if count == 1 { data } else { offsets }),
        (325, 16, count, if count == 1 { bytes } else { lengths }),
        (339, 3, 1, 1),
    ];
    out.write_all(&(entries.len() as u64).to_le_bytes())?;
    for (tag, kind, count, value) in entries {
        out.write_all(&[tag.to_le_bytes(), kind.to_le_bytes()].concat())?;
        out.write_all(&[count.to_le_bytes(), value.to_le_bytes()].concat())?;
    }
    out.write_all(&0u64.to_le_bytes())?;
    out.flush()
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (path, side) = match &arguments[..] {
        [path] => (path, Some(30_000)),
        [path, side] => (path, side.parse().ok()),
        _ => {
            eprintln!("usage: make_big_tiff FILE.tif [SIDE]");
            std::process::exit(2);
        }
    };
    let Some(side) = side.filter(|s| (1..=1_000_000).contains(s)) else {
        eprintln!("make_big_tiff: the side is a number of pixels");
        std::process::exit(2);
    };
    if let Err(e) = write(path, side) {
        eprintln!("make_big_tiff: {path}: {e}");
        std::process::exit(1);
    }
}
