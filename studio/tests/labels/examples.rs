//! Edits whose result is known.

use crate::reference::*;
use unet_studio::labels::*;

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
fn smoothing_cuts_spikes_and_fills_notches() {
    let mut editor = square(200, 260);
    let dot = |x: f32, y: f32, value| Edit::Brush {
        points: vec![[x, y]],
        radius: 0.5,
        value,
        over: Over::Everything,
        class: None,
    };
    // A spike and a notch of one pixel, and a neighbour at the edge.
    for edit in [dot(210.5, 199.5, 1), dot(230.5, 200.5, BACKGROUND), dot(250.5, 200.5, 2)] {
        editor.apply(&edit).unwrap();
    }
    editor.apply(&Edit::Smooth { id: 1 }).unwrap();
    let seen = [[210, 199], [230, 200], [250, 200], [240, 200]].map(|[x, y]| editor.labels().get(x, y));
    assert_eq!(seen, [BACKGROUND, 1, 2, 1].map(Some));
    // Corners become round, and everything comes back.
    assert_eq!(editor.labels().get(200, 200), Some(BACKGROUND));
    assert_eq!(editor.can_undo(), Some("Smooth"));
    editor.undo();
    assert_eq!([[210, 199], [230, 200], [200, 200]].map(|[x, y]| editor.labels().get(x, y)), [1, 0, 1].map(Some));
    // In what nobody has labelled it claims no background.
    let mut editor = self::editor();
    editor
        .apply(&Edit::Brush { points: vec![[99.5, 99.5]], radius: 8.0, value: 1, over: Over::Everything, class: None })
        .unwrap();
    editor.apply(&dot(99.5, 90.5, 1)).unwrap();
    editor.apply(&Edit::Smooth { id: 1 }).unwrap();
    assert_eq!((editor.labels().get(99, 90), editor.labels().fractions().background), (Some(UNLABELLED), 0.0));
    // What would vanish stays.
    editor.apply(&dot(20.5, 20.5, 2)).unwrap();
    let e = editor.apply(&Edit::Smooth { id: 2 }).unwrap_err();
    assert!(e == EditError::TooThin(2) && e.to_string().contains("too thin"), "{e}");
    assert_eq!(editor.labels().get(20, 20), Some(2));
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
        Edit::Smooth { id: 9 },
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
