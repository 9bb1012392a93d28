//! What holds after any edits.

use std::collections::{BTreeMap, BTreeSet};

use crate::reference::*;
use proptest::prelude::*;
use unet_studio::labels::*;

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
    fn smoothing_is_a_majority_and_changes_no_other_instance(before in edits(), id in 1..6_u32) {
        let mut editor = editor();
        before.iter().for_each(|e| drop(editor.apply(e)));
        let old = pixels(editor.labels());
        let outcome = editor.apply(&Edit::Smooth { id });
        let new = pixels(editor.labels());
        let voted = smoothed(&old, id);
        match outcome {
            Ok(_) => prop_assert!(new == voted),
            Err(e) => {
                let there = old.contains(&id);
                prop_assert_eq!(e, if there { EditError::TooThin(id) } else { EditError::NoInstance(id) });
                prop_assert!(new == old && !(there && voted.contains(&id)));
            }
        }
        for i in (0..old.len()).filter(|&i| old[i] != new[i]) {
            prop_assert!(old[i] == id || !is_instance(old[i]), "pixel {} of instance {}", i, old[i]);
            prop_assert!(new[i] == id || !is_instance(new[i]), "pixel {} became instance {}", i, new[i]);
        }
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
