use proptest::prelude::*;

fn area([h, w]: [usize; 2]) -> u128 {
    h as u128 * w as u128
}

use super::*;
use crate::infer::tile::grid::plan_axis;

/// The built-in networks, and the U-Net of the paper.
const UNET: TileSpec = TileSpec::same(16, 96);
const UNET_3_PLUS: TileSpec = TileSpec::same(16, 128);
const PAPER: TileSpec = TileSpec::valid(16, 92, 188);

fn too_large() -> Error {
    Error::Limit { what: "a tile".into(), needed: "more".into(), limit: "less".into() }
}

/// The best grid under a limit on a tile's area, and the number of sizes tried.
fn best(size: [usize; 2], cap: usize, spec: &TileSpec, limit: usize) -> (Result<TileGrid>, usize) {
    let mut tried = 0;
    let grid = choose(size, cap, spec, area, |[h, w]| {
        tried += 1;
        if h.saturating_mul(w) <= limit { Ok(()) } else { Err(too_large()) }
    });
    (grid, tried)
}

fn work(g: &TileGrid) -> usize {
    g.len() * g.rows.window * g.columns.window
}

#[test]
fn fitting_images_are_not_divided() {
    let (grid, tried) = best([768, 869], usize::MAX >> 1, &UNET, 1 << 20);
    let grid = grid.unwrap();
    assert_eq!((grid.len(), grid.rows.window, grid.columns.window, tried), (1, 768, 880, 1));
}

/// Squares shrinking by 3/4 until they fit, as a simpler planner would do.
fn squares(size: [usize; 2], spec: &TileSpec, limit: usize) -> Option<usize> {
    let mut edge = size[0].max(size[1]).next_multiple_of(16);
    loop {
        let grid = TileGrid::plan(size[0], size[1], (edge, edge), spec).ok()?;
        if grid.rows.window * grid.columns.window <= limit {
            return Some(work(&grid));
        }
        edge = edge * 3 / 4;
    }
}

#[test]
fn work_is_at_most_that_of_squares() {
    let mut saved = 0.0f64;
    for size in [[3000, 4000], [300, 5000], [1100, 1100], [30_000, 30_000], [2048, 2048]] {
        for spec in [UNET, UNET_3_PLUS, PAPER] {
            for limit in [(300 * 300), 400 * 400, 1 << 18, 1 << 19, 1 << 20, 1 << 22] {
                let chosen = work(&best(size, usize::MAX >> 1, &spec, limit).0.unwrap());
                let Some(simple) = squares(size, &spec, limit) else { continue };
                // The sizes tried are not squares of any side: a few percent may be lost, much is gained.
                assert!(chosen * 100 <= simple * 103, "{size:?} {spec:?} {limit}: {chosen} against {simple}");
                saved = saved.max(simple as f64 / chosen as f64);
            }
        }
    }
    assert!(saved > 2.0, "{saved}");
}

#[test]
fn planning_tries_few_sizes() {
    for length in [500, 1000, 5000, 30_000, 1 << 30] {
        for limit in [0, 1 << 16, 1 << 18, 1 << 20, 1 << 24] {
            for spec in [UNET, UNET_3_PLUS, PAPER] {
                let (_, tried) = best([length, length], usize::MAX >> 1, &spec, limit);
                assert!(tried <= 10, "{length} {limit} {spec:?}: {tried}");
            }
        }
    }
}

#[test]
fn the_smallest_tile_is_the_last_resort() {
    let smallest = UNET.smallest_tile().unwrap();
    let grid = best([5000, 5000], usize::MAX >> 1, &UNET, smallest * smallest).0.unwrap();
    assert_eq!((grid.rows.window, grid.columns.window), (smallest, smallest));
    let e = best([5000, 5000], usize::MAX >> 1, &UNET, smallest * smallest - 1).0.unwrap_err();
    assert!(matches!(e, Error::Limit { .. }));
    let e = choose([500, 500], 100, &UNET, area, |_| Ok(())).unwrap_err().to_string();
    assert_eq!(e, "tile: 100 pixels are too few for this network; the smallest usable tile is 208");
    let fails = choose([500, 500], 300, &UNET, area, |_| Err(Error::Cancelled));
    assert!(matches!(fails, Err(Error::Cancelled)));
}

fn cases() -> impl Strategy<Value = ([usize; 2], usize, TileSpec)> {
    let spec =
        (0u32..6, 0usize..70, 0usize..100, 1usize..200, any::<bool>()).prop_map(|(depth, halo, margin, b, same)| {
            let align = 1 << depth;
            if same { TileSpec::same(align, halo) } else { TileSpec::valid(align, margin, 2 * margin + b) }
        });
    ([1usize..3000, 1usize..3000], 1usize..3000, spec)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn cuts_match_planned_axes((size, cap, spec) in cases()) {
        let [length, _] = size;
        let Ok(largest) = plan_axis(length, cap, &spec) else { return Ok(()) };
        let cuts = cuts(length, cap, &spec).unwrap();
        prop_assert_eq!(cuts[0].window, largest.window);
        for c in &cuts {
            let plan = plan_axis(length, c.window, &spec).unwrap();
            prop_assert_eq!((plan.window, plan.windows.len()), (c.window, c.count));
            prop_assert!(c.window <= cap || c.count == 1);
        }
        prop_assert!(cuts.windows(2).all(|p| p[1].window < p[0].window));
        let min = spec.smallest_tile().unwrap().min(largest.window);
        prop_assert!(cuts.last().unwrap().window <= min);
    }

    #[test]
    fn the_choice_is_the_best_of_all_candidates((size, cap, spec) in cases(), limit in 1usize..4_000_000) {
        if TileGrid::plan(size[0], size[1], (cap, cap), &spec).is_err() {
            return Ok(());
        }
        let [rows, columns] = size.map(|n| cuts(n, cap, &spec).unwrap());
        let all = rows.iter().flat_map(|r| columns.iter().map(move |c| (r.window * c.window, r.count * c.count)));
        let expected = all.filter(|c| c.0 <= limit).map(|c| c.0 * c.1).min();
        let (actual, tried) = best(size, cap, &spec, limit);
        prop_assert!(tried <= 12);
        match actual {
            Ok(grid) => {
                prop_assert!(grid.rows.window * grid.columns.window <= limit);
                prop_assert_eq!(Some(work(&grid)), expected);
            }
            Err(e) => prop_assert!(expected.is_none(), "{}", e),
        }
    }
}
