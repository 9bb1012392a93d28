use std::path::Path;

use super::super::tests::{SIZE, label, rectangle, write_image, write_mask};
use super::*;
use crate::labels::Edit;
use unet_wgpu::low_level::infer::LabelMap;

/// Three images in classes 1 to 3: one labelled, one with a mask of another program, one without labels.
fn project(dir: &Path) -> Project {
    for name in ["a", "b", "c"] {
        write_image(&dir.join(format!("images/{name}.pgm")), 1);
    }
    write_mask(&dir.join("masks/b.pgm"), |x, _| (x / 10) as u8);
    let mut project = Project::open(dir).unwrap();
    project.change(|s| s.classes[1] = Class::new("dividing", [9, 8, 7])).unwrap();
    label(&project, "a");
    project
}

/// Numbers and classes of the instances of an image.
fn classes(project: &Project, name: &str) -> Vec<(u32, u8)> {
    project.open_labels(name, SIZE).unwrap().labels().instances().iter().map(|i| (i.id, i.class)).collect()
}

fn names(project: &Project) -> Vec<&str> {
    project.settings().classes.iter().map(|class| &*class.name).collect()
}

/// Classes in a mask at the rows and columns of the instances.
fn mask(dir: &Path, name: &str, at: [[usize; 2]; 3]) -> [u32; 3] {
    let map = LabelMap::open(dir.join(format!("masks/{name}.tif"))).unwrap();
    at.map(|[x, y]| map.labels()[y * SIZE[0] as usize + x])
}

const COLUMNS: [[usize; 2]; 3] = [[15, 5], [25, 5], [35, 5]];

#[test]
fn a_class_is_removed_from_all_images_and_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut project = project(dir.path());
    assert_eq!((classes(&project, "a"), classes(&project, "b")), (vec![(1, 1), (2, 2)], vec![(1, 1), (2, 2), (3, 3)]));
    let mut open = project.open_labels("a", SIZE).unwrap();
    open.apply(&rectangle(20.0, 20.0, 7, 3)).unwrap();
    open.apply(&Edit::SetClass { id: 1, class: 2 }).unwrap();
    let before = open.labels().clone();
    let recall = project.remove_class(2, 3, Some(&mut open)).unwrap();
    assert_eq!(names(&project), ["class 1", "class 3"]);
    // Class 3 is class 2 now, and so is what was class 2.
    assert_eq!([1, 2, 7].map(|id| open.labels().class_of(id)), [2, 2, 2]);
    assert_eq!(open.editor().can_undo(), None);
    assert_eq!(classes(&project, "b"), [(1, 1), (2, 2), (3, 2)]);
    assert_eq!(mask(dir.path(), "b", COLUMNS), [1, 2, 2]);
    assert!(!dir.path().join("labels/c.tif").exists() && !dir.path().join("classes.json").exists());

    // Edits after it are undone first; then everything is as it was, with its history.
    open.apply(&rectangle(3.0, 20.0, 9, 1)).unwrap();
    open.undo().unwrap();
    assert!(project.recalls(&recall));
    project.recall_class(recall, Some(&mut open)).unwrap();
    assert!(*open.labels() == before && open.editor().undo_steps() == 2);
    open.undo().unwrap();
    assert_eq!(open.labels().class_of(1), 1);
    drop(open);
    assert_eq!(names(&project), ["class 1", "dividing", "class 3"]);
    assert_eq!(project.settings().classes[1].colour, [9, 8, 7]);
    assert_eq!(
        (classes(&project, "a"), classes(&project, "b")),
        (vec![(1, 1), (2, 2), (7, 3)], vec![(1, 1), (2, 2), (3, 3)])
    );
    assert_eq!(mask(dir.path(), "b", COLUMNS), [1, 2, 3]);
    // What other programs wrote is kept.
    assert!(dir.path().join("imported/masks/b.pgm").is_file());
}

#[test]
fn the_first_class_and_all_but_one_can_be_removed() {
    let dir = tempfile::tempdir().unwrap();
    let mut project = project(dir.path());
    let first = project.remove_class(1, 3, None).unwrap();
    assert_eq!((classes(&project, "a"), classes(&project, "b")), (vec![(1, 2), (2, 1)], vec![(1, 2), (2, 1), (3, 2)]));
    let second = project.remove_class(2, 1, None).unwrap();
    assert_eq!((names(&project), classes(&project, "b")), (vec!["dividing"], vec![(1, 1), (2, 1), (3, 1)]));
    assert!(!dir.path().join("masks").exists(), "with one class there are none");
    assert!(project.remove_class(1, 1, None).unwrap_err().to_string().contains("the project has classes 1 to 1"));
    assert!(!project.recalls(&first) && project.recalls(&second));
    project.recall_class(second, None).unwrap();
    project.recall_class(first, None).unwrap();
    assert_eq!(classes(&project, "b"), [(1, 1), (2, 2), (3, 3)]);
    assert_eq!(mask(dir.path(), "b", COLUMNS), [1, 2, 3]);
    for [class, to] in [[0, 1], [2, 2], [4, 1], [1, 4]] {
        project.remove_class(class, to, None).unwrap_err();
    }
}

#[test]
fn what_a_program_has_begun_is_finished_when_the_project_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    let mut project = project(dir.path());
    let recall = project.remove_class(2, 1, None).unwrap();
    let to = serde_json::to_vec(&Numbering {
        classes: recall.after.clone(),
        images: ["a", "b"]
            .map(|name| {
                let patch = Patch::of_classes(project.open_labels(name, SIZE).unwrap().labels(), |c| c);
                (name.to_string(), patch)
            })
            .into(),
    });
    project.recall_class(recall, None).unwrap();
    drop(project);
    // The program ends before it has done anything, and before it has removed the file.
    for _ in 0..2 {
        std::fs::write(dir.path().join("classes.json"), to.as_ref().unwrap()).unwrap();
        let project = Project::open(dir.path()).unwrap();
        assert!(project.notes().iter().any(|note| note.contains("this is done now")), "{:?}", project.notes());
        assert_eq!(names(&project), ["class 1", "class 3"]);
        assert_eq!(
            (classes(&project, "a"), classes(&project, "b")),
            (vec![(1, 1), (2, 1)], vec![(1, 1), (2, 1), (3, 2)])
        );
        assert_eq!(mask(dir.path(), "b", COLUMNS), [1, 1, 2]);
        assert!(!dir.path().join("classes.json").exists());
    }
    let project = Project::open(dir.path()).unwrap();
    assert!(project.notes().iter().all(|note| !note.contains("this is done now")));
}
