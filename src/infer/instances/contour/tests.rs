use proptest::prelude::*;

use super::*;
use crate::infer::Connectivity;
use crate::infer::instances::{ConnectedComponents, InstanceOptions};

/// The instances of a mask, and the mask of each.
fn instances(w: usize, h: usize, mask: &[u8], connectivity: Connectivity) -> Vec<Instance> {
    let options = InstanceOptions { connectivity, ..Default::default() };
    let mut components_of_rows = ConnectedComponents::new(w, h, &options).unwrap();
    mask.chunks(w).for_each(|row| components_of_rows.push_row(row).unwrap());
    let mut found = Vec::new();
    let keep = |o| {
        found.push(o);
        Ok(())
    };
    components_of_rows.finish().unwrap().instances(keep).unwrap();
    found
}

fn pixels(w: usize, h: usize, instance: &Instance) -> Vec<bool> {
    let mut all = vec![false; w * h];
    instance.runs().iter().for_each(|r| all[r.y as usize * w..][r.start as usize..r.end as usize].fill(true));
    all
}

/// Pixels inside the outer rings and outside the holes.
fn filled(w: usize, h: usize, polygons: &[Polygon]) -> Vec<bool> {
    let inside = |p: &Polygon, at| contains(&p.outer, at) && !p.holes.iter().any(|hole| contains(hole, at));
    let pixel = |i: usize| [(i % w) as u32, (i / w) as u32];
    (0..w * h).map(|i| polygons.iter().filter(|p| inside(p, pixel(i))).count() == 1).collect()
}

fn check(w: usize, h: usize, mask: &[u8], connectivity: Connectivity) {
    for instance in instances(w, h, mask, connectivity) {
        let polygons = instance.contours();
        assert_eq!(filled(w, h, &polygons), pixels(w, h, &instance), "{instance:?}");
        if connectivity == Connectivity::Four {
            assert_eq!(polygons.len(), 1, "{instance:?}");
        }
        let mut area = 0;
        for polygon in &polygons {
            assert!(twice_area(&polygon.outer) > 0);
            for ring in std::iter::once(&polygon.outer).chain(&polygon.holes) {
                area += twice_area(ring);
                let mut corners = ring.clone();
                corners.sort_unstable();
                corners.dedup();
                assert_eq!(corners.len(), ring.len(), "a ring meets itself: {ring:?}");
                for i in 0..ring.len() {
                    let [a, b, c] = [0, 1, 2].map(|k| ring[(i + k) % ring.len()]);
                    let turns = (a[0] == b[0]) != (b[0] == c[0]) && (a[1] == b[1]) != (b[1] == c[1]);
                    assert!(turns, "no corner at {b:?} of {ring:?}");
                }
            }
            assert!(polygon.holes.iter().all(|hole| twice_area(hole) < 0));
        }
        assert_eq!(area, 2 * instance.area() as i64);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn an_outline_filled_again_is_the_object(
        w in 1usize..14,
        h in 1usize..12,
        noise in prop::collection::vec(0u8..8, 154),
        density in 1u8..8,
        eight: bool,
    ) {
        let mask: Vec<u8> = (0..w * h).map(|i| u8::from(noise[i] < density)).collect();
        check(w, h, &mask, if eight { Connectivity::Eight } else { Connectivity::Four });
    }
}

#[test]
fn a_ring_of_pixels_has_a_hole() {
    let mask = [1, 1, 1, 1, 0, 1, 1, 1, 1];
    let [instance] = &instances(3, 3, &mask, Connectivity::Four)[..] else { panic!() };
    let expected =
        Polygon { outer: vec![[0, 0], [3, 0], [3, 3], [0, 3]], holes: vec![vec![[2, 1], [1, 1], [1, 2], [2, 2]]] };
    let mut got = instance.contours();
    // Where a ring begins does not matter.
    let hole = &mut got[0].holes[0];
    let first = hole.iter().position(|p| *p == [2, 1]).unwrap();
    hole.rotate_left(first);
    assert_eq!(got, [expected]);
}

#[test]
fn pieces_that_meet_at_a_corner_are_polygons_of_their_own() {
    let mask = [1, 0, 0, 1];
    let [instance] = &instances(2, 2, &mask, Connectivity::Eight)[..] else { panic!() };
    let square = |x, y| Polygon { outer: vec![[x, y], [x + 1, y], [x + 1, y + 1], [x, y + 1]], holes: vec![] };
    assert_eq!(instance.contours(), [square(0, 0), square(1, 1)]);
}
