use proptest::prelude::*;

use super::*;

/// Any valid network description, and a window that is legal or not.
fn cases() -> impl Strategy<Value = (usize, usize, TileSpec)> {
    let spec =
        (0u32..6, 0usize..70, 0usize..100, 1usize..200, any::<bool>()).prop_map(|(depth, halo, margin, b, same)| {
            let align = 1 << depth;
            if same {
                TileSpec { minimum: align * (1 + b % 4), ..TileSpec::same(align, halo) }
            } else {
                TileSpec { halo: if b % 5 == 0 { halo } else { 0 }, ..TileSpec::valid(align, margin, 2 * margin + b) }
            }
        });
    (1usize..1500, 1usize..900, spec)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn every_pixel_is_valid_once((length, window, spec) in cases()) {
        let TileSpec { align, halo, margin, minimum } = spec;
        let smallest = spec.smallest_tile().unwrap();
        let plan = match plan_axis(length, window, &spec) {
            Ok(plan) => plan,
            Err(e) => {
                prop_assert!(window < smallest, "{e}");
                // The tile size named in the message is usable.
                let named: usize = e.to_string().rsplit(' ').next().unwrap().parse().unwrap();
                prop_assert!(named > window);
                prop_assert!(plan_axis(length, named, &spec).is_ok());
                return Ok(());
            }
        };
        let legal = |n: usize| n >= minimum && (n - minimum).is_multiple_of(align);
        let whole = plan.padded + 2 * margin;
        prop_assert!(legal(whole) && plan.padded >= length);
        prop_assert!(whole == minimum || plan.padded - align < length, "the padding is the least");
        prop_assert!(legal(plan.window) && plan.window <= window.max(whole) && plan.window <= whole);
        prop_assert_eq!(plan.output, plan.window - 2 * margin);
        if window >= whole {
            prop_assert_eq!(plan.windows.len(), 1);
            prop_assert_eq!(plan.window, whole);
        }
        let mut next = 0;
        for w in &plan.windows {
            prop_assert_eq!(w.valid.start, next);
            prop_assert!(w.valid.end > w.valid.start);
            next = w.valid.end;
            let first = w.start + margin as isize;
            prop_assert!(first >= 0 && first % align as isize == 0);
            let first = first as usize;
            prop_assert_eq!(w.valid.start - first, w.offset);
            prop_assert!(first + plan.output <= plan.padded, "no window leaves the whole run");
            prop_assert!(first == 0 || w.offset >= halo);
            let from_end = first + plan.output - w.valid.end;
            prop_assert!(first + plan.output == plan.padded || from_end >= halo);
        }
        prop_assert_eq!(next, length);
    }

    #[test]
    fn source_window_contains_the_pixels_of_the_tile(start in -300isize..300, tile in 1usize..200, image in 1usize..120) {
        let range = source_window(start, tile, image);
        let visited: std::collections::BTreeSet<usize> = (0..tile).map(|i| mirror(start + i as isize, image)).collect();
        prop_assert_eq!(visited.first(), Some(&range.start));
        prop_assert_eq!(visited.last(), Some(&(range.end - 1)));
        prop_assert_eq!(visited.len(), range.len());
        prop_assert!(range.len() <= tile.min(image) && range.end <= image);
    }

    #[test]
    fn tiled_equals_whole_with_padding((length, tile) in (1usize..400, 1usize..200), seed in any::<u32>()) {
        let image = image(length, seed);
        let run = |window: usize| run(&image, window, &TileSpec::same(8, 8 + 2 + 8), toy_same);
        if let Some(tiled) = run(tile) {
            prop_assert_eq!(Some(tiled), run(usize::MAX));
        }
    }

    #[test]
    fn tiled_equals_whole_without_padding((length, tile) in (1usize..400, 1usize..200), seed in any::<u32>()) {
        let image = image(length, seed);
        // Legal inputs: a conv takes 2, the rest must divide by 4 and leave one coarse pixel after its own conv.
        let run = |window: usize| run(&image, window, &TileSpec::valid(4, 6, 18), toy_valid);
        if let Some(tiled) = run(tile) {
            prop_assert_eq!(Some(tiled), run(usize::MAX));
        }
    }
}

fn image(length: usize, seed: u32) -> Vec<i64> {
    let mut x = seed | 1;
    let mut next = || {
        x = x.wrapping_mul(1664525).wrapping_add(1013904223);
        i64::from(x >> 20)
    };
    (0..length).map(|_| next()).collect()
}

/// Runs a network over an image as a segmenter does: mirror, run, crop.
fn run(image: &[i64], window: usize, spec: &TileSpec, net: fn(&[i64]) -> Vec<i64>) -> Option<Vec<i64>> {
    let plan = plan_axis(image.len(), window, spec).ok()?;
    let mut out = Vec::new();
    for w in &plan.windows {
        let range = source_window(w.start, plan.window, image.len());
        let source = &image[range.clone()];
        let fetch = |i| source[mirror(w.start + i as isize, image.len()) - range.start];
        let output = net(&(0..plan.window).map(fetch).collect::<Vec<_>>());
        assert_eq!(output.len(), plan.output);
        out.extend(&output[w.offset..w.offset + w.valid.len()]);
    }
    Some(out)
}

/// A 1-D network on integers: zero-padded convolution, pooling by 8, convolution, upsampling, skip connection,
/// convolution.
fn toy_same(x: &[i64]) -> Vec<i64> {
    let conv = |x: &[i64], [a, b, c]: [i64; 3]| -> Vec<i64> {
        let at = |i: usize| x.get(i).copied().unwrap_or(0);
        (0..x.len()).map(|i| a * at(i.wrapping_sub(1)) + b * at(i) + c * at(i + 1) + 5).collect()
    };
    assert_eq!(x.len() % 8, 0);
    let skip = conv(x, [1, -2, 3]);
    let pooled: Vec<i64> = skip.chunks(8).map(|c| *c.iter().max().unwrap()).collect();
    let coarse = conv(&pooled, [2, 1, -3]);
    let sum: Vec<i64> = skip.iter().enumerate().map(|(i, s)| s + coarse[i / 8]).collect();
    conv(&sum, [-1, 4, 2])
}

/// The same without padding, pooling by 4: 4b + 2 pixels in, 4b - 10 out.
fn toy_valid(x: &[i64]) -> Vec<i64> {
    let conv = |x: &[i64]| -> Vec<i64> { x.windows(3).map(|w| w[0] - 2 * w[1] + 3 * w[2] + 5).collect() };
    let skip = conv(x);
    assert_eq!(skip.len() % 4, 0);
    let pooled: Vec<i64> = skip.chunks(4).map(|c| *c.iter().max().unwrap()).collect();
    let coarse = conv(&pooled);
    let sum: Vec<i64> = coarse
        .iter()
        .enumerate()
        .flat_map(|(b, c)| (0..4).map(move |i| (b, i, c)))
        .map(|(b, i, c)| skip[4 * b + 4 + i] + c)
        .collect();
    conv(&sum)
}

#[test]
fn the_paper_net_strides_384() {
    let spec = TileSpec::valid(16, 92, 188);
    let plan = plan_axis(1000, 572, &spec).unwrap();
    // The smallest legal output of at least 1000 is 4 mod 16.
    assert_eq!((plan.padded, plan.window, plan.output), (1012, 572, 388));
    let starts: Vec<isize> = plan.windows.iter().map(|w| w.start).collect();
    assert_eq!(starts, [-92, 384 - 92, 1012 - 388 - 92]);
    assert_eq!(plan.windows[1].valid, 388..772);
    assert_eq!(plan_axis(300, 572, &spec).unwrap().window, 308 + 184);
    // Between two legal sizes the smaller one is used.
    assert_eq!(plan_axis(1000, 580, &spec).unwrap().window, 572);
}

#[test]
fn too_small_tiles_name_a_usable_size() {
    let e = plan_axis(1000, 64, &TileSpec::same(16, 94)).unwrap_err().to_string();
    assert_eq!(e, "tile: 64 pixels are too few for this network; the smallest usable tile is 208");
    assert_eq!(plan_axis(1000, 208, &TileSpec::same(16, 94)).unwrap().windows.len(), 51);
    assert_eq!(plan_axis(40, 64, &TileSpec::same(16, 94)).unwrap().windows.len(), 1);
}

#[test]
fn invalid_specs_are_errors() {
    let huge = usize::MAX;
    assert!(plan_axis(0, 64, &TileSpec::same(16, 0)).is_err());
    assert!(plan_axis(huge, 64, &TileSpec::same(16, 0)).is_err());
    assert!(plan_axis(huge, 572, &TileSpec::valid(16, 92, 188)).is_err());
    for spec in [
        TileSpec::same(0, 0),
        TileSpec::same(16, huge),
        TileSpec::same(huge, 1),
        TileSpec::valid(16, huge, huge),
        TileSpec::valid(16, 92, 184),
    ] {
        assert!(plan_axis(100, 64, &spec).is_err(), "{spec:?}");
    }
}

#[test]
fn mirroring_at_the_extremes() {
    let expected = [2, 1, 0, 1, 2, 3, 2, 1, 0];
    assert_eq!((-2..7).map(|i| mirror(i, 4)).collect::<Vec<_>>(), expected);
    assert_eq!(mirror(isize::MIN, 1), 0);
    assert!(mirror(isize::MIN, usize::MAX) < usize::MAX);
    assert_eq!(source_window(isize::MAX, usize::MAX, 7), 0..7);
    assert_eq!(source_window(-3, 0, 5).len(), 0);
    assert_eq!(source_window(3, 4, 0), 0..0);
}

#[test]
fn a_grid_is_row_major() {
    let grid = TileGrid::plan(40, 70, (32, 32), &TileSpec::same(8, 4)).unwrap();
    let tiles: Vec<Tile> = grid.iter().collect();
    assert_eq!(tiles.len(), grid.len());
    let mut visited = vec![0; 40 * 70];
    for t in &tiles {
        for y in t.y.valid.clone() {
            for x in t.x.valid.clone() {
                visited[y * 70 + x] += 1;
            }
        }
    }
    assert!(visited.iter().all(|&n| n == 1));
    assert!(tiles.windows(2).all(|p| (p[0].y.start, p[0].x.start) < (p[1].y.start, p[1].x.start)));
}
