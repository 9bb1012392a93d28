//! Properties of editing labels, against slow references in whole numbers.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use unet_studio::labels::*;

const WIDTH: u32 = 300;
const HEIGHT: u32 = 270;

/// Coordinates in quarters of a pixel, also outside of the image.
fn quarter() -> impl Strategy<Value = f32> {
    (-60..1260_i32).prop_map(|q| q as f32 / 4.0)
}

fn point() -> impl Strategy<Value = [f32; 2]> {
    [quarter(), quarter()]
}

/// Points near the corner of four tiles, where something goes on.
fn near() -> impl Strategy<Value = [f32; 2]> {
    let c = || (900..1100_i32).prop_map(|q| q as f32 / 4.0);
    [c(), c()]
}

fn value() -> impl Strategy<Value = u32> {
    prop_oneof![1..6_u32, Just(BACKGROUND), Just(UNLABELLED)]
}

fn over() -> impl Strategy<Value = Over> {
    prop_oneof![
        Just(Over::Everything),
        Just(Over::OnlyUnlabelledAndBackground),
        (1..6_u32).prop_map(Over::OnlyInstance)
    ]
}

fn class() -> impl Strategy<Value = Option<u8>> {
    proptest::option::of(1..4_u8)
}

fn brush() -> impl Strategy<Value = Edit> {
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

fn polygon() -> impl Strategy<Value = Edit> {
    let points = proptest::collection::vec(prop_oneof![3 => near(), 1 => point()], 3..8);
    (points, value(), over(), class()).prop_map(|(points, value, over, class)| Edit::Polygon {
        points,
        value,
        over,
        class,
    })
}

fn paste() -> impl Strategy<Value = Edit> {
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

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        4 => brush(),
        2 => polygon(),
        1 => (0..WIDTH, 0..HEIGHT, value(), class()).prop_map(|(x, y, value, class)| Edit::Fill { at: [x, y], value, class }),
        2 => (1..8_u32, proptest::collection::vec(near(), 2..4)).prop_map(|(id, line)| Edit::Split { id, line }),
        1 => proptest::collection::vec(1..8_u32, 1..4).prop_map(|ids| Edit::Merge { ids }),
        1 => (1..8_u32, prop_oneof![Just(BACKGROUND), Just(UNLABELLED)]).prop_map(|(id, to)| Edit::Delete { id, to }),
        1 => (1..8_u32, 1..4_u8).prop_map(|(id, class)| Edit::SetClass { id, class }),
        1 => (1..8_u32).prop_map(|id| Edit::FillHoles { id }),
        1 => paste(),
    ]
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    proptest::collection::vec(edit(), 1..16)
}

fn editor() -> Editor {
    Editor::new(Labels::new(WIDTH, HEIGHT).unwrap())
}

/// The bytes of a map.
fn pixels(labels: &Labels) -> Vec<u32> {
    labels.map().to_rows(0..HEIGHT)
}

fn scaled(c: f32) -> i128 {
    let scaled = c * 4.0;
    assert_eq!(scaled.fract(), 0.0);
    scaled as i128
}

/// Whether a pixel's centre is within the radius of a segment, in whole numbers of quarter pixels.
fn near_segment([x, y]: [u32; 2], a: [f32; 2], b: [f32; 2], radius: f32) -> bool {
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

fn brushed([x, y]: [u32; 2], points: &[[f32; 2]], radius: f32) -> bool {
    let contains = |p: &[f32; 2]| p[0].floor() as i64 == i64::from(x) && p[1].floor() as i64 == i64::from(y);
    points.iter().any(contains)
        || (0..points.len()).any(|i| near_segment([x, y], points[i.saturating_sub(1)], points[i], radius))
}

/// The even-odd rule for a pixel's centre: edges that cross the row to the right of it, in whole numbers.
fn inside_polygon([x, y]: [u32; 2], corners: &[[f32; 2]]) -> bool {
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

fn allowed(over: Over, old: u32) -> bool {
    match over {
        Over::Everything => true,
        Over::OnlyUnlabelledAndBackground => old == BACKGROUND || old == UNLABELLED,
        Over::OnlyInstance(id) => old == id,
    }
}

/// Ids with their bounding box and sums, pixel by pixel.
fn measured(pixels: &[u32]) -> BTreeMap<u32, (u64, Rect, [f64; 2])> {
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

/// The 8-connected parts of an instance.
fn parts(pixels: &[u32], id: u32) -> Vec<BTreeSet<[i64; 2]>> {
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn edits_are_undone_and_redone(edits in edits()) {
        let mut editor = editor();
        let first = editor.labels().clone();
        let mut states = vec![first.clone()];
        for edit in &edits {
            let before = editor.labels().clone();
            match editor.apply(edit) {
                Ok(change) if !change.is_empty() => states.push(editor.labels().clone()),
                _ => prop_assert!(before == *editor.labels(), "what fails or changes nothing leaves everything"),
            }
        }
        prop_assert_eq!(editor.undo_steps(), states.len() - 1);
        for state in states.iter().rev().skip(1) {
            prop_assert!(editor.can_undo().is_some() && editor.undo().is_some());
            prop_assert!(state == editor.labels());
        }
        prop_assert!(editor.undo().is_none() && pixels(editor.labels()) == pixels(&first));
        for state in &states[1..] {
            prop_assert!(editor.redo().is_some());
            prop_assert!(state == editor.labels());
        }
        prop_assert!(editor.redo().is_none());
        prop_assert_eq!(pixels(editor.labels()), pixels(states.last().unwrap()));
    }

    #[test]
    fn serialised_edits_replay(edits in edits()) {
        let (mut one, mut two) = (editor(), editor());
        for edit in &edits {
            let text = serde_json::to_string(edit).unwrap();
            let read: Edit = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(&read, edit);
            prop_assert_eq!(one.apply(edit), two.apply(&read));
        }
        prop_assert_eq!(pixels(one.labels()), pixels(two.labels()));
        prop_assert!(one.labels() == two.labels());
    }

    #[test]
    fn changes_are_told(edits in edits()) {
        let mut editor = editor();
        editor.take_changed();
        for edit in &edits {
            let before = pixels(editor.labels());
            let Ok(change) = editor.apply(edit) else { continue };
            let after = pixels(editor.labels());
            let differ: Vec<usize> = (0..before.len()).filter(|&i| before[i] != after[i]).collect();
            let ids: BTreeSet<u32> = differ.iter().flat_map(|&i| [before[i], after[i]]).filter(|&v| is_instance(v)).collect();
            if !matches!(edit, Edit::SetClass { .. }) {
                prop_assert_eq!(&change.ids, &ids.into_iter().collect::<Vec<_>>());
            }
            let boxes = differ.iter().map(|&i| Rect::new((i as u32 % WIDTH).into(), (i as u32 / WIDTH).into(), 1, 1));
            prop_assert_eq!(change.bounds, boxes.reduce(Rect::union));
            let tiles: BTreeSet<[u32; 2]> = differ.iter().map(|&i| [i as u32 % WIDTH / 256, i as u32 / WIDTH / 256]).collect();
            let told: BTreeSet<[u32; 2]> = editor.take_changed().into_iter().collect();
            prop_assert_eq!(told, tiles);
        }
        let pixels = pixels(editor.labels());
        let table = editor.labels().instances();
        let reference = measured(&pixels);
        prop_assert_eq!(table.len(), reference.len());
        for instance in table {
            let (area, bounds, centroid) = reference[&instance.id];
            prop_assert_eq!((instance.area, instance.bounds), (area, bounds));
            prop_assert!((0..2).all(|i| (instance.centroid[i] - centroid[i]).abs() < 1e-6));
            prop_assert!(instance.id < editor.labels().next_id());
        }
        let share = |wanted: fn(u32) -> bool| pixels.iter().filter(|v| wanted(**v)).count() as f64 / pixels.len() as f64;
        let fractions = editor.labels().fractions();
        prop_assert!((fractions.unlabelled - share(|v| v == UNLABELLED)).abs() < 1e-12);
        prop_assert!((fractions.background - share(|v| v == BACKGROUND)).abs() < 1e-12);
        prop_assert!((fractions.labelled - share(is_instance)).abs() < 1e-12);
    }

    #[test]
    fn a_brush_is_its_reference(before in edits(), stroke in brush()) {
        let mut editor = editor();
        before.iter().for_each(|e| drop(editor.apply(e)));
        let old = pixels(editor.labels());
        editor.apply(&stroke).unwrap();
        let Edit::Brush { points, radius, value, over, .. } = stroke else { unreachable!() };
        let new = pixels(editor.labels());
        for i in 0..old.len() {
            let at = [i as u32 % WIDTH, i as u32 / WIDTH];
            let expected = if allowed(over, old[i]) && brushed(at, &points, radius) { value } else { old[i] };
            prop_assert_eq!(new[i], expected, "{:?}", at);
        }
    }

    #[test]
    fn a_live_stroke_is_its_edit(before in edits(), stroke in brush()) {
        let (mut live, mut whole) = (editor(), editor());
        before.iter().for_each(|e| drop((live.apply(e), whole.apply(e))));
        let start = live.labels().clone();
        let Edit::Brush { points, radius, value, over, class } = stroke.clone() else { unreachable!() };
        let first = Edit::Brush { points: vec![points[0]], radius, value, over, class };
        let changes = whole.apply(&stroke).unwrap();
        for keep in [false, true] {
            live.begin(first.clone()).unwrap();
            prop_assert!(live.begin(first.clone()).is_err() && live.undo().is_none() && live.can_undo().is_none());
            let mut last = live.extend(points[0]);
            for &point in &points[1..] {
                last = live.extend(point);
            }
            prop_assert_eq!(&last, &changes);
            prop_assert!(live.labels() == whole.labels());
            if keep {
                let edit = live.finish();
                prop_assert_eq!(edit.is_some(), !changes.is_empty());
                prop_assert_eq!(live.undo_steps(), whole.undo_steps());
                if let Some(edit) = edit {
                    let mut again = Editor::new(start.clone());
                    again.apply(&edit).unwrap();
                    prop_assert!(again.labels() == whole.labels());
                    live.undo();
                    prop_assert!(live.labels() == &start);
                }
            } else {
                live.cancel();
                prop_assert!(live.labels() == &start);
            }
        }
    }

    #[test]
    fn a_polygon_is_its_reference(before in edits(), shape in polygon()) {
        let mut editor = editor();
        before.iter().for_each(|e| drop(editor.apply(e)));
        let old = pixels(editor.labels());
        editor.apply(&shape).unwrap();
        let Edit::Polygon { points, value, over, .. } = shape else { unreachable!() };
        let new = pixels(editor.labels());
        for i in 0..old.len() {
            let at = [i as u32 % WIDTH, i as u32 / WIDTH];
            let expected = if allowed(over, old[i]) && inside_polygon(at, &points) { value } else { old[i] };
            prop_assert_eq!(new[i], expected, "{:?}", at);
        }
    }

    #[test]
    fn a_fill_is_its_reference(before in edits(), x in 0..WIDTH, y in 0..HEIGHT, value in value()) {
        let mut editor = editor();
        before.iter().for_each(|e| drop(editor.apply(e)));
        let old = pixels(editor.labels());
        editor.apply(&Edit::Fill { at: [x, y], value, class: None }).unwrap();
        let mut expected = old.clone();
        let (index, mut stack) = (|x: u32, y: u32| (y * WIDTH + x) as usize, vec![[x, y]]);
        let from = old[index(x, y)];
        while let Some([x, y]) = stack.pop() {
            if x >= WIDTH || y >= HEIGHT || from == value || expected[index(x, y)] != from {
                continue;
            }
            expected[index(x, y)] = value;
            stack.extend([[x.wrapping_sub(1), y], [x + 1, y], [x, y.wrapping_sub(1)], [x, y + 1]]);
        }
        prop_assert!(pixels(editor.labels()) == expected);
    }

    #[test]
    fn a_split_loses_nothing(before in edits(), id in 1..8_u32, line in proptest::collection::vec(near(), 2..4)) {
        let mut editor = editor();
        before.iter().for_each(|e| drop(editor.apply(e)));
        let old = pixels(editor.labels());
        let (next, class) = (editor.labels().next_id(), editor.labels().class_of(id));
        let split = editor.apply(&Edit::Split { id, line });
        let new = pixels(editor.labels());
        let Ok(change) = split else {
            prop_assert!(old == new);
            return Ok(());
        };
        let fresh: Vec<u32> = change.ids.iter().copied().filter(|&i| i != id).collect();
        prop_assert!(!fresh.is_empty());
        prop_assert_eq!(&fresh, &(next..next + fresh.len() as u32).collect::<Vec<_>>());
        for i in 0..old.len() {
            let fine = if old[i] == id { new[i] == id || fresh.contains(&new[i]) } else { new[i] == old[i] };
            prop_assert!(fine, "pixel {} was {} and is {}", i, old[i], new[i]);
        }
        for id in fresh {
            prop_assert!(editor.labels().class_of(id) == class);
            prop_assert_eq!(parts(&new, id).len(), 1, "each new instance is one part");
        }
    }

    #[test]
    fn a_paste_keeps_what_it_must(before in edits(), paste in paste()) {
        let mut editor = editor();
        before.iter().for_each(|e| drop(editor.apply(e)));
        let old = pixels(editor.labels());
        editor.apply(&paste).unwrap();
        let new = pixels(editor.labels());
        let Edit::Paste { at, size, ids, mode, .. } = paste else { unreachable!() };
        let source: Vec<u32> = ids.runs().iter().flat_map(|&(v, n)| std::iter::repeat_n(v, n as usize)).collect();
        let mut names: BTreeMap<u32, u32> = BTreeMap::new();
        let mut kept = BTreeSet::new();
        for i in 0..old.len() {
            let (x, y) = ((i as u32 % WIDTH) as i32 - at[0], (i as u32 / WIDTH) as i32 - at[1]);
            let inside = x >= 0 && y >= 0 && (x as u32) < size[0] && (y as u32) < size[1];
            let from = if inside { source[(y as u32 * size[0] + x as u32) as usize] } else { UNLABELLED };
            let takes = from != UNLABELLED && (mode == PasteMode::Replace || old[i] == UNLABELLED);
            if !takes {
                prop_assert_eq!(new[i], old[i]);
                kept.insert(old[i]);
            } else if from == BACKGROUND {
                prop_assert_eq!(new[i], BACKGROUND);
            } else {
                prop_assert_eq!(*names.entry(from).or_insert(new[i]), new[i], "one id stays one");
            }
        }
        let targets: BTreeSet<u32> = names.values().copied().collect();
        prop_assert_eq!(targets.len(), names.len(), "two ids stay two");
        prop_assert!(targets.is_disjoint(&kept), "no pasted instance joins one that was there");
        for (from, to) in names {
            prop_assert!(from == to || kept.contains(&from), "{} has a new name without need", from);
        }
    }

    #[test]
    fn windows_are_read(edits in edits(), x in -30..320_i64, y in -30..300_i64, width in 0..90_u32, height in 0..90_u32) {
        let mut editor = editor();
        edits.iter().for_each(|e| drop(editor.apply(e)));
        let mut out = vec![7; (width * height) as usize];
        editor.labels().map().read(Rect::new(x, y, width, height), &mut out);
        for (i, &v) in (0i64..).zip(&out) {
            let (x, y) = (x + i % i64::from(width), y + i / i64::from(width));
            let at = |c: i64| u32::try_from(c).ok();
            let expected = at(x).zip(at(y)).and_then(|(x, y)| editor.labels().get(x, y)).unwrap_or(UNLABELLED);
            prop_assert_eq!(v, expected);
        }
        let all = pixels(editor.labels());
        prop_assert!(*editor.labels().map() == LabelMap::from_ids(WIDTH, HEIGHT, &all).unwrap());
    }

    #[test]
    fn patches_are_what_undo_leads_to(edits in edits(), undone in 1..6_usize) {
        let (mut one, mut two) = (editor(), editor());
        edits.iter().for_each(|e| drop((one.apply(e), two.apply(e))));
        for _ in 0..undone {
            if one.undo().is_none() {
                break;
            }
            let text = serde_json::to_string(&one.undone_patch().unwrap()).unwrap();
            two.restore(&serde_json::from_str(&text).unwrap()).unwrap();
            prop_assert!(one.labels() == two.labels());
        }
        while one.redo().is_some() {
            two.restore(&one.redone_patch().unwrap()).unwrap();
            prop_assert!(one.labels() == two.labels());
        }
    }
}

/// A square of instance 1 in background.
fn square(from: u32, to: u32) -> Editor {
    let corner = |x: u32, y: u32| [x as f32, y as f32];
    let points = vec![corner(from, from), corner(to, from), corner(to, to), corner(from, to)];
    let mut editor = editor();
    editor.apply(&Edit::Fill { at: [0, 0], value: BACKGROUND, class: None }).unwrap();
    editor.apply(&Edit::Polygon { points, value: 1, over: Over::Everything, class: None }).unwrap();
    editor
}

#[test]
fn a_line_divides_a_square() {
    let mut editor = square(200, 260);
    // A line beside it, one that ends inside, and one along its edge divide nothing.
    for line in
        [vec![[0.0, 0.0], [199.0, 300.0]], vec![[0.0, 230.5], [258.9, 230.5]], vec![[200.5, 0.0], [200.5, 300.0]]]
    {
        let e = editor.apply(&Edit::Split { id: 1, line }).unwrap_err();
        assert_eq!(e, EditError::NotDivided(1));
        assert!(e.to_string().starts_with("The line does not divide instance 1"), "{e}");
    }
    editor.apply(&Edit::SetClass { id: 1, class: 3 }).unwrap();
    // Rows 200 to 219 are above the line, 221 to 259 below; row 220 goes one half to each.
    editor.apply(&Edit::Split { id: 1, line: vec![[190.0, 220.5], [270.0, 220.5]] }).unwrap();
    let table = editor.labels().instances();
    assert_eq!(table.iter().map(|i| (i.id, i.class)).collect::<Vec<_>>(), [(1, 3), (2, 3)]);
    assert_eq!(table.iter().map(|i| i.area).sum::<u64>(), 3600);
    assert!(table[0].area >= 39 * 60 && table[1].area >= 20 * 60, "{table:?}");
    assert_eq!(table[0].bounds.right(), 260);
    // Of two rows under a line, each goes to the part next to it.
    let mut editor = square(200, 260);
    let there_and_back = vec![[190.0, 220.5], [270.0, 220.5], [270.0, 221.5], [190.0, 221.5]];
    editor.apply(&Edit::Split { id: 1, line: there_and_back }).unwrap();
    let areas: Vec<_> = editor.labels().instances().iter().map(|i| (i.id, i.area)).collect();
    assert_eq!(areas, [(1, 39 * 60), (2, 21 * 60)]);
    // A slanted line leaves no bridge over corners.
    let mut editor = square(200, 260);
    editor.apply(&Edit::Split { id: 1, line: vec![[195.0, 190.3], [262.0, 268.7]] }).unwrap();
    assert_eq!(editor.labels().instances().len(), 2);
}

#[test]
fn holes_are_filled_but_not_neighbours() {
    let mut editor = square(200, 260);
    let dot = |x: f32, value| Edit::Brush {
        points: vec![[x, 230.5]],
        radius: 2.0,
        value,
        over: Over::Everything,
        class: None,
    };
    editor.apply(&dot(210.5, BACKGROUND)).unwrap();
    editor.apply(&dot(225.5, UNLABELLED)).unwrap();
    editor.apply(&dot(240.5, 2)).unwrap();
    // A bay is no hole.
    editor.apply(&dot(259.5, BACKGROUND)).unwrap();
    let bay = editor.labels().get(259, 230);
    editor.apply(&Edit::FillHoles { id: 1 }).unwrap();
    let at = |x| editor.labels().get(x, 230).unwrap();
    assert_eq!((at(210), at(225), at(240), bay, at(259)), (1, 1, 2, Some(BACKGROUND), BACKGROUND));
}

#[test]
fn instances_merge_and_go() {
    let mut editor = square(200, 260);
    editor.apply(&Edit::Split { id: 1, line: vec![[190.0, 220.5], [270.0, 220.5]] }).unwrap();
    for ids in [vec![], vec![2], vec![2, 2]] {
        assert_eq!(editor.apply(&Edit::Merge { ids }), Err(EditError::NothingToMerge));
    }
    assert_eq!(editor.apply(&Edit::Merge { ids: vec![2, 9] }), Err(EditError::NoInstance(9)));
    editor.apply(&Edit::Merge { ids: vec![2, 1] }).unwrap();
    assert_eq!(editor.labels().instances().iter().map(|i| (i.id, i.area)).collect::<Vec<_>>(), [(2, 3600)]);
    assert_eq!(editor.apply(&Edit::Delete { id: 2, to: 5 }), Err(EditError::DeletedTo(5)));
    editor.apply(&Edit::Delete { id: 2, to: UNLABELLED }).unwrap();
    assert!(editor.labels().instances().is_empty());
    assert_eq!((editor.labels().get(230, 230), editor.labels().next_id()), (Some(UNLABELLED), 3));
    assert_eq!((editor.can_undo(), editor.can_redo()), (Some("Delete"), None));
    editor.undo();
    assert_eq!((editor.can_undo(), editor.can_redo()), (Some("Merge"), Some("Delete")));
}

#[test]
fn a_new_edit_ends_what_could_be_redone() {
    let mut editor = square(200, 260);
    editor.undo();
    assert_eq!((editor.can_redo(), editor.redo_steps()), (Some("Polygon"), 1));
    // What changes nothing is no edit.
    editor.apply(&Edit::Fill { at: [0, 0], value: BACKGROUND, class: None }).unwrap();
    assert_eq!(editor.redo_steps(), 1);
    editor.apply(&Edit::Fill { at: [0, 0], value: 5, class: None }).unwrap();
    assert_eq!((editor.can_redo(), editor.redo(), editor.undo_steps()), (None, None, 2));
}

#[test]
fn the_oldest_steps_go_beyond_the_budget() {
    let mut editor = editor();
    let dot = |i: u32| Edit::Brush {
        points: vec![[(i * 7 % 200) as f32, 20.0]],
        radius: 3.0,
        value: i + 1,
        over: Over::Everything,
        class: None,
    };
    (0..40).for_each(|i| drop(editor.apply(&dot(i)).unwrap()));
    assert_eq!(editor.undo_steps(), 40);
    // Every step but the first, whose tile was uniform, holds one tile of 256 KiB.
    let bytes = editor.history_bytes();
    assert!((39 << 18..40 << 18).contains(&bytes), "{bytes}");
    editor.set_memory_budget(10 << 18);
    assert_eq!(editor.undo_steps(), 9, "each is a little more than its tile");
    assert!(editor.history_bytes() <= 10 << 18);
    let state = editor.labels().clone();
    (0..9).for_each(|_| drop(editor.undo().unwrap()));
    assert!(editor.undo().is_none() && editor.labels().contains(31) && !editor.labels().contains(32));
    (0..9).for_each(|_| drop(editor.redo().unwrap()));
    assert!(*editor.labels() == state);
    editor.set_memory_budget(0);
    assert_eq!(editor.undo_steps(), 1, "the latest stays");
}

#[test]
fn large_maps_of_one_value_cost_nothing() {
    let mut editor = Editor::new(Labels::new(10_000, 10_000).unwrap());
    editor.apply(&Edit::Fill { at: [5000, 5000], value: BACKGROUND, class: None }).unwrap();
    assert_eq!(editor.labels().map().bytes(), 0);
    assert!(editor.history_bytes() < 1 << 20);
    assert_eq!(editor.labels().fractions().background, 1.0);
    let dot =
        Edit::Brush { points: vec![[5000.0, 5000.0]], radius: 20.0, value: 1, over: Over::Everything, class: None };
    editor.apply(&dot).unwrap();
    assert_eq!(editor.labels().map().bytes(), 1 << 18);
    editor
        .apply(&Edit::Brush { points: vec![[0.0, 0.0]], radius: 1e9, value: 2, over: Over::Everything, class: None })
        .unwrap();
    assert_eq!(editor.labels().map().bytes(), 0, "uniform again");
    let copy = editor.labels().clone();
    assert_eq!(copy.instance(2).unwrap().area, 100_000_000);
}

#[test]
fn nothing_panics() {
    let mut editor = square(200, 260);
    let before = editor.labels().clone();
    let line =
        |points: Vec<[f32; 2]>, radius| Edit::Brush { points, radius, value: 2, over: Over::Everything, class: None };
    let bad = [
        line(vec![], 1.0),
        line(vec![[f32::NAN, 0.0]], 1.0),
        line(vec![[0.0, f32::INFINITY]], 1.0),
        line(vec![[0.0, 0.0]], f32::NAN),
        line(vec![[0.0, 0.0]], f32::INFINITY),
        Edit::Brush { points: vec![[0.0; 2]], radius: 1.0, value: 1 << 31, over: Over::Everything, class: None },
        Edit::Brush { points: vec![[0.0; 2]], radius: 1.0, value: 1, over: Over::Everything, class: Some(0) },
        Edit::Polygon { points: vec![[0.0; 2]; 2], value: 1, over: Over::Everything, class: None },
        Edit::Polygon { points: vec![[f32::NAN; 2]; 3], value: 1, over: Over::Everything, class: None },
        Edit::Fill { at: [WIDTH, 0], value: 1, class: None },
        Edit::Fill { at: [0, u32::MAX], value: 1, class: None },
        Edit::Split { id: 1, line: vec![[0.0; 2]] },
        Edit::Split { id: 0, line: vec![[0.0; 2]; 2] },
        Edit::Split { id: UNLABELLED, line: vec![[0.0; 2]; 2] },
        Edit::Split { id: 1, line: vec![[f32::NAN; 2]; 2] },
        Edit::Delete { id: 77, to: 0 },
        Edit::SetClass { id: 1, class: 0 },
        Edit::SetClass { id: 77, class: 1 },
        Edit::FillHoles { id: 0 },
        Edit::Paste { at: [0; 2], size: [2, 2], ids: Rle::from_ids(&[1]), classes: vec![], mode: PasteMode::Replace },
        Edit::Paste {
            at: [0; 2],
            size: [1, 1],
            ids: Rle::from_ids(&[1 << 31]),
            classes: vec![],
            mode: PasteMode::Replace,
        },
        Edit::Paste { at: [0; 2], size: [u32::MAX; 2], ids: Rle::default(), classes: vec![], mode: PasteMode::Replace },
    ];
    for edit in bad {
        assert!(editor.apply(&edit).is_err(), "{edit:?}");
        assert!(*editor.labels() == before, "{edit:?}");
    }
    let far = [f32::MAX, f32::MIN];
    let odd = [
        line(vec![far], f32::MAX),
        line(vec![far, [f32::MIN, f32::MAX], [1.0, 1.0]], 1.0),
        line(vec![[-1e9, -1e9], [1e9, 1e9]], -4.0),
        Edit::Polygon {
            points: vec![far, [f32::MIN; 2], [f32::MAX; 2]],
            value: 3,
            over: Over::Everything,
            class: None,
        },
        Edit::Split { id: 1, line: vec![far, [f32::MIN, f32::MAX]] },
        Edit::Paste {
            at: [i32::MIN; 2],
            size: [1; 2],
            ids: Rle::from_ids(&[1]),
            classes: vec![],
            mode: PasteMode::Replace,
        },
        Edit::Paste {
            at: [-3, i32::MAX],
            size: [5, 1],
            ids: Rle::from_ids(&[1; 5]),
            classes: vec![],
            mode: PasteMode::Replace,
        },
    ];
    for edit in odd {
        let _ = editor.apply(&edit);
    }
    assert!(Labels::new(0, 5).is_err() && Labels::new(u32::MAX, u32::MAX).is_err());
    assert!(Labels::from_ids(2, 1, &[1]).is_err() && Labels::from_ids(1, 1, &[1 << 31]).is_err());
    // The largest id is the last: then free numbers are taken.
    let mut editor = Editor::new(Labels::from_ids(3, 1, &[1, 3, MAX_ID]).unwrap());
    assert_eq!(editor.labels().next_id(), 2);
    editor.apply(&Edit::Fill { at: [0, 0], value: 2, class: Some(9) }).unwrap();
    assert_eq!((editor.labels().next_id(), editor.labels().class_of(2)), (1, 9));
    assert_eq!(editor.extend([0.0; 2]), Change::default());
    assert_eq!((editor.finish(), editor.begin(Edit::FillHoles { id: 1 })), (None, Err(EditError::NotAStroke)));
}
