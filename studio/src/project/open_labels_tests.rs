use std::path::PathBuf;

use proptest::prelude::*;

use super::super::label_files::Mark;
use super::super::{Class, Project, State};
use super::*;
use crate::labels::{BACKGROUND, Over, UNLABELLED};

const SIZE: [u32; 2] = [300, 280];

/// An empty project with the image `a`, and its files.
fn project() -> (tempfile::TempDir, Project) {
    let dir = tempfile::tempdir().unwrap();
    let mut project = Project::create(dir.path()).unwrap();
    let image = dir.path().join("images/a.pgm");
    fs::write(&image, [b"P5 300 280 255\n".as_slice(), &[9; 300 * 280]].concat()).unwrap();
    project.refresh().unwrap();
    assert_eq!(project.images(), ["a"]);
    (dir, project)
}

fn dot(x: f32, value: u32, class: Option<u8>) -> Edit {
    Edit::Brush { points: vec![[x, 255.0]], radius: 6.0, value, over: Over::Everything, class }
}

fn journal(dir: &tempfile::TempDir) -> PathBuf {
    dir.path().join("journal/a.jsonl")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), &target).unwrap()),
        }
    }
}

/// What another studio finds if the process dies now.
fn after_death(dir: &tempfile::TempDir) -> (Labels, Vec<String>) {
    let other = tempfile::tempdir().unwrap();
    copy(dir.path(), other.path());
    let project = Project::open(other.path()).unwrap();
    let open = project.open_labels("a", SIZE).unwrap();
    (open.labels().clone(), open.notes().to_vec())
}

/// What happens to labels in a studio.
#[derive(Clone, Debug)]
enum Act {
    Edit(u32, u32, Option<u8>),
    Class(u32, u8),
    Undo,
    Redo,
    Save,
    /// Labels are saved on another thread, which gets so far while this edit comes.
    SaveMeanwhile(u32, u32),
    /// The process dies in the middle of a save, after so many of its writes.
    DieSaving(u32),
    Die,
}

fn act() -> impl Strategy<Value = Act> {
    let class = || proptest::option::of(1..4_u8);
    prop_oneof![
        5 => (0..300_u32, 0..6_u32, class()).prop_map(|(x, v, c)| Act::Edit(x, v, c)),
        1 => (1..6_u32, 1..4_u8).prop_map(|(id, c)| Act::Class(id, c)),
        3 => Just(Act::Undo),
        2 => Just(Act::Redo),
        1 => Just(Act::Save),
        1 => (0..300_u32, 0..6_u32).prop_map(|(x, v)| Act::SaveMeanwhile(x, v)),
        1 => (0..3_u32).prop_map(Act::DieSaving),
        1 => Just(Act::Die),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever comes, labels that are opened again are those that were there.
    #[test]
    fn nothing_is_lost(acts in proptest::collection::vec(act(), 1..30)) {
        let (dir, project) = project();
        let mut open = project.open_labels("a", SIZE).unwrap();
        for act in acts {
            match act {
                Act::Edit(x, value, class) => drop(open.apply(&dot(x as f32, value, class))),
                Act::Class(id, class) => drop(open.apply(&Edit::SetClass { id, class })),
                Act::Undo => drop(open.undo()),
                Act::Redo => drop(open.redo()),
                Act::Save => {
                    open.save().unwrap();
                    prop_assert_eq!(open.unsaved(), 0);
                    prop_assert_eq!(fs::read(journal(&dir)).unwrap().split_inclusive(|&b| b == b'\n').count(), 1);
                }
                Act::SaveMeanwhile(x, value) => {
                    let job = open.begin_save().unwrap();
                    prop_assert!(open.begin_save().is_none() && open.save().is_err());
                    open.undo();
                    let _ = open.apply(&dot(x as f32, value, None));
                    open.undo();
                    prop_assert!(after_death(&dir).0 == *open.labels());
                    open.redo();
                    job.run().unwrap();
                }
                Act::DieSaving(writes) => {
                    let job = open.begin_save().unwrap();
                    let bytes = label_files::labels_tiff(&job.labels).unwrap();
                    let base = Base::of(&job.labels, Some(Mark::of(&bytes)));
                    let _ = open.apply(&dot(5.0, 3, None));
                    if writes > 0 {
                        lock(&job.journal).announce(&base).unwrap();
                    }
                    if writes > 1 {
                        replace(&dir.path().join("labels/a.tif"), &bytes).unwrap();
                    }
                    drop(job);
                    // This process, too, may go on after a save that failed half way.
                    let _ = open.apply(&dot(250.0, 4, None));
                    open.undo();
                    open.undo();
                }
                Act::Die => {
                    let before = open.labels().clone();
                    drop(open);
                    open = project.open_labels("a", SIZE).unwrap();
                    prop_assert!(open.labels() == &before);
                    prop_assert_eq!(open.notes(), [""; 0]);
                }
            }
            let (found, notes) = after_death(&dir);
            prop_assert!(found == *open.labels());
            prop_assert_eq!(notes, [""; 0]);
            prop_assert_eq!(open.trouble(), None);
        }
    }
}

#[test]
fn a_torn_line_is_dropped_and_a_damaged_one_ends_the_replay() {
    let (dir, project) = project();
    let mut open = project.open_labels("a", SIZE).unwrap();
    let mut states = vec![open.labels().clone()];
    for i in 0..6_u8 {
        open.apply(&dot(20.0 * f32::from(i), u32::from(i) + 1, None)).unwrap();
        states.push(open.labels().clone());
    }
    drop(open);
    let whole = fs::read(journal(&dir)).unwrap();
    // Torn in the last line.
    fs::write(journal(&dir), &whole[..whole.len() - 9]).unwrap();
    let mut open = project.open_labels("a", SIZE).unwrap();
    assert!(*open.labels() == states[5]);
    assert!(open.notes()[0].contains("is not complete and is dropped"), "{:?}", open.notes());
    open.apply(&dot(100.0, 6, None)).unwrap();
    drop(open);
    assert_eq!(fs::read(journal(&dir)).unwrap(), whole, "the line was cut off and written again");
    // Damaged in the third edit.
    let lines: Vec<&[u8]> = whole.split_inclusive(|&b| b == b'\n').collect();
    let at = lines[..3].concat().len();
    let mut damaged = whole.clone();
    damaged[at + 40] ^= 1;
    fs::write(journal(&dir), &damaged).unwrap();
    let open = project.open_labels("a", SIZE).unwrap();
    assert!(*open.labels() == states[2]);
    assert!(open.notes()[0].contains("its last 4 lines are not used"), "{:?}", open.notes());
    drop(open);
    assert_eq!(fs::read(dir.path().join("journal/a.jsonl.damaged")).unwrap(), damaged[at..]);
    assert!(project.open_labels("a", SIZE).unwrap().notes().is_empty());
    // An edit that is whole, but does not go with what is before it.
    let foreign = super::super::journal::line(&Entry::Edit(Edit::Delete { id: 77, to: 0 })).unwrap();
    fs::write(journal(&dir), [&lines[..2].concat(), &foreign, lines[2]].concat()).unwrap();
    let open = project.open_labels("a", SIZE).unwrap();
    assert!(*open.labels() == states[1] && dir.path().join("journal/a.jsonl.damaged.2").is_file());
}

#[test]
fn edits_that_cannot_be_written_wait() {
    let (dir, project) = project();
    let mut open = project.open_labels("a", SIZE).unwrap();
    fs::create_dir_all(journal(&dir)).unwrap();
    open.apply(&dot(20.0, 1, None)).unwrap();
    open.apply(&dot(50.0, 2, None)).unwrap();
    let trouble = open.trouble().unwrap();
    assert!(trouble.starts_with("The last edits are not on the disk: ") && trouble.contains("a.jsonl"), "{trouble}");
    assert!(open.save().is_err() && open.sync().is_err() && !dir.path().join("labels/a.tif").exists());
    fs::remove_dir(journal(&dir)).unwrap();
    open.apply(&dot(80.0, 3, None)).unwrap();
    assert_eq!(open.trouble(), None);
    assert!(after_death(&dir).0 == *open.labels());
    open.save().unwrap();
    // A label file that cannot be written leaves the earlier one and the journal.
    let (labels, away) = (dir.path().join("labels"), dir.path().join("away"));
    fs::rename(&labels, &away).unwrap();
    fs::write(&labels, "in the way").unwrap();
    open.apply(&dot(110.0, 4, None)).unwrap();
    assert!(open.save().unwrap_err().to_string().contains("labels"));
    fs::remove_file(&labels).unwrap();
    fs::rename(&away, &labels).unwrap();
    assert!(after_death(&dir).0 == *open.labels());
    open.save().unwrap();
    assert!(after_death(&dir).0 == *open.labels());
}

#[test]
fn labels_of_another_program_are_imported_and_kept() {
    let (dir, mut project) = project();
    project.change(|s| s.classes.push(Class::new("other", [9, 9, 9]))).unwrap();
    let labels = dir.path().join("labels");
    fs::create_dir_all(&labels).unwrap();
    let pixels: Vec<u8> = (0..300 * 280).map(|i| u8::from(i % 300 / 10 == 3 && i / 300 > 9)).collect();
    fs::write(labels.join("a_cp_masks.pgm"), [b"P5 300 280 255\n".as_slice(), &pixels].concat()).unwrap();
    project.refresh().unwrap();
    let mut open = project.open_labels("a", SIZE).unwrap();
    assert_eq!(open.labels().instances().iter().map(|i| (i.id, i.area)).collect::<Vec<_>>(), [(1, 2700)]);
    assert_eq!(open.labels().get(0, 0), Some(BACKGROUND));
    assert!(open.notes()[0].contains("are imported from"), "{:?}", open.notes());
    open.apply(&dot(200.0, 2, Some(2))).unwrap();
    open.save().unwrap();
    assert!(dir.path().join("imported/labels/a_cp_masks.pgm").is_file() && !labels.join("a_cp_masks.pgm").exists());
    let state = open.labels().clone();
    drop(open);
    // Another program changes the studio's file: its labels count, the journal's edits are kept aside.
    let mut open = project.open_labels("a", SIZE).unwrap();
    assert!(*open.labels() == state && open.notes().is_empty());
    let saved = fs::read(labels.join("a.tif")).unwrap();
    open.apply(&dot(250.0, 3, None)).unwrap();
    open.apply(&Edit::Delete { id: 2, to: UNLABELLED }).unwrap();
    let changed = label_files::labels_tiff(open.labels()).unwrap();
    drop(open);
    fs::write(labels.join("a.tif"), &changed).unwrap();
    let mut open = project.open_labels("a", SIZE).unwrap();
    assert!(open.notes()[0].contains("has changed since the edits"), "{:?}", open.notes());
    assert!(dir.path().join("journal/a.jsonl.old").is_file() && open.labels().contains(3));
    open.apply(&dot(20.0, 9, None)).unwrap();
    open.save().unwrap();
    assert_eq!(fs::read(dir.path().join("imported/labels/a.tif")).unwrap(), changed);
    assert_ne!(saved, changed);
    // Without a journal, classes come from the mask.
    open.apply(&dot(200.0, 2, Some(2))).unwrap();
    open.save().unwrap();
    drop(open);
    fs::remove_dir_all(dir.path().join("journal")).unwrap();
    let open = project.open_labels("a", SIZE).unwrap();
    assert_eq!([1, 2, 9].map(|id| open.labels().class_of(id)), [1, 2, 1]);
    assert_eq!(project.settings().images["a"].state, State::Unlabelled, "it was there before its labels");
}

#[test]
fn labels_are_opened_once() {
    let (dir, project) = project();
    let open = project.open_labels("a", SIZE).unwrap();
    assert!(project.open_labels("a", SIZE).unwrap_err().to_string().contains("open already"));
    drop(open);
    assert!(project.open_labels("b", SIZE).is_err());
    let open = project.open_labels("a", SIZE).unwrap();
    let second = Project::open(dir.path()).unwrap_err().to_string();
    assert!(second.contains("is open in another unet studio (process "), "{second}");
    drop(project);
    assert!(Project::open(dir.path()).is_err(), "labels are still open");
    drop(open);
    Project::open(dir.path()).unwrap();
}

/// An instance that was painted over keeps its class for when its id comes again; so does its journal.
#[test]
fn classes_of_absent_instances_are_kept() {
    let (dir, project) = project();
    let mut open = project.open_labels("a", SIZE).unwrap();
    open.apply(&dot(20.0, 5, Some(3))).unwrap();
    open.apply(&dot(20.0, 6, None)).unwrap();
    open.save().unwrap();
    open.apply(&dot(100.0, 5, None)).unwrap();
    assert_eq!(open.labels().class_of(5), 3);
    assert!(after_death(&dir).0 == *open.labels());
}
