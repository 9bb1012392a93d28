use std::fs;

use unet_wgpu::low_level::infer::{Image, LabelOptions, OpenOptions, read_image};
use unet_wgpu::low_level::train::{Dataset, GroundTruth, GroundTruthKind};

use super::*;
use crate::labels::{BACKGROUND, Edit, Over};

pub(super) const SIZE: [u32; 2] = [40, 30];

/// A grey image.
pub(super) fn write_image(path: &Path, grey: u8) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, [b"P5 40 30 255\n".as_slice(), &[grey; 40 * 30]].concat()).unwrap();
}

pub(super) fn rectangle(x: f32, y: f32, value: u32, class: u8) -> Edit {
    let points = vec![[x, y], [x + 5.0, y], [x + 5.0, y + 4.0], [x, y + 4.0]];
    Edit::Polygon { points, value, over: Over::Everything, class: Some(class) }
}

/// Labels two cells in the left half; the right half stays unlabelled.
pub(super) fn label(project: &Project, name: &str) {
    let mut open = project.open_labels(name, SIZE).unwrap();
    let left = vec![[0.0, 0.0], [20.0, 0.0], [20.0, 30.0], [0.0, 30.0]];
    let background = Edit::Polygon { points: left, value: BACKGROUND, over: Over::Everything, class: None };
    for edit in [background, rectangle(2.0, 3.0, 1, 1), rectangle(10.0, 3.0, 2, 2)] {
        open.apply(&edit).unwrap();
    }
    open.save().unwrap();
}

#[test]
fn a_folder_of_images_becomes_a_project() {
    let dir = tempfile::tempdir().unwrap();
    write_image(&dir.path().join("a.pgm"), 1);
    write_image(&dir.path().join("b.c.pgm"), 2);
    fs::write(dir.path().join("notes.txt"), "x").unwrap();
    let before = fs::read(dir.path().join("a.pgm")).unwrap();
    let project = Project::open(dir.path()).unwrap();
    assert_eq!(project.folder(), dir.path().join("unet-studio"));
    assert!(project.notes()[0].starts_with("The project of the images in "), "{:?}", project.notes());
    assert_eq!(project.images(), ["a", "b.c"]);
    label(&project, "b.c");
    drop(project);
    // It is found again, with its labels, and nothing is added twice.
    let mut project = Project::open(dir.path()).unwrap();
    assert_eq!((project.images(), project.notes().len()), (vec!["a".into(), "b.c".into()], 1));
    assert_eq!(project.open_labels("b.c", SIZE).unwrap().labels().instances().len(), 2);
    project.change_image("a", |image| (image.state, image.held_out) = (State::Reviewed, true)).unwrap();
    assert!(project.change_image("z", |_| ()).is_err());
    drop(project);
    let project = Project::open(dir.path()).unwrap();
    assert_eq!(
        (project.settings().images["a"].state, project.settings().images["a"].held_out),
        (State::Reviewed, true)
    );
    assert_eq!(fs::read(dir.path().join("a.pgm")).unwrap(), before);
    drop(project);
    // An image that goes is told, and its entry stays.
    fs::remove_file(dir.path().join("unet-studio/images/b.c.pgm")).unwrap();
    fs::remove_file(dir.path().join("b.c.pgm")).unwrap();
    let project = Project::open(dir.path()).unwrap();
    assert_eq!(project.images(), ["a"]);
    assert!(project.notes().iter().any(|n| n == "The image b.c is missing: there is no images/b.c.pgm."));
    assert!(project.settings().images.contains_key("b.c"));
}

#[test]
fn names_do_not_clash() {
    let (dir, from) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let paths = ["one/a.pgm", "two/a.pgm", "three/A.pgm", "four/a.pgm", "four/.b.pgm"].map(|p| from.path().join(p));
    paths.iter().zip([1, 2, 3, 1, 4]).for_each(|(path, grey)| write_image(path, grey));
    let text = from.path().join("text.png");
    fs::write(&text, "no image").unwrap();
    let mut project = Project::create(dir.path()).unwrap();
    let all: Vec<PathBuf> = paths.iter().cloned().chain([text, from.path().join("none.png")]).collect();
    let added = project.add_images(&all).unwrap();
    assert_eq!(added.names, ["a", "a-2", "A-3", "b"]);
    assert_eq!(project.images(), ["A-3", "a", "a-2", "b"]);
    let notes = added.notes.join("\n");
    for note in ["is called a-2 in the project", "is in the project already, as a.", "text.png", "none.png"] {
        assert!(notes.contains(note), "{note}: {notes}");
    }
    assert_eq!(project.add_images(&[from.path().join("two")]).unwrap().names, [""; 0]);
    assert_eq!(project.images().len(), 4);
    for (name, path) in [("a", &paths[0]), ("a-2", &paths[1]), ("A-3", &paths[2]), ("b", &paths[4])] {
        assert_eq!(fs::read(project.image_path(name).unwrap()).unwrap(), fs::read(path).unwrap());
    }
}

#[test]
fn the_folder_is_a_data_set() {
    let dir = tempfile::tempdir().unwrap();
    for (name, grey) in [("a", 1), ("day1/b", 2)] {
        write_image(&dir.path().join(format!("images/{name}.pgm")), grey);
    }
    let mut project = Project::open(dir.path()).unwrap();
    assert_eq!(project.images(), ["a", "day1/b"]);
    label(&project, "a");
    label(&project, "day1/b");
    let options = LabelOptions { ignore: Some(-1), ..LabelOptions::default() };
    let image: Image = read_image(project.image_path("a").unwrap(), &OpenOptions::default()).unwrap().0;
    let check = |folder: &Path, classes: usize, count: usize| {
        let data = Dataset::open(folder).unwrap();
        assert_eq!(data.pairs().len(), count);
        for pair in data.pairs() {
            assert_eq!(pair.mask.is_some(), classes > 2);
            let truth = GroundTruth::read_for(&image, pair, classes, &options).unwrap();
            let (at, ids) = (|x: usize, y: usize| y * 40 + x, truth.instances.unwrap());
            let second = if classes > 2 { 2 } else { 1 };
            let seen = [(1, 1), (3, 4), (11, 4), (30, 4)].map(|(x, y)| truth.classes.labels()[at(x, y)]);
            assert_eq!(seen, [0, 1, second, 255]);
            assert_eq!([(3, 4), (11, 4)].map(|(x, y)| ids.labels()[at(x, y)]), [1, 2]);
        }
        data.readings().to_vec()
    };
    assert_eq!(check(dir.path(), 2, 2)[0].numbers, GroundTruthKind::Instances);
    // With a second class there are masks, also of what was labelled before.
    project.change(|s| s.classes.push(Class::new("other", [1, 2, 3]))).unwrap();
    project.change_image("day1/b", |image| image.held_out = true).unwrap();
    let set = project.training_set().unwrap();
    assert_eq!((set.train_names.join(","), set.validation_names.join(",")), ("a".into(), "day1/b".into()));
    check(&set.train, 3, 1);
    check(&set.validation.unwrap(), 3, 1);
    check(dir.path(), 3, 2);
    // Edits that only a journal holds are saved; those of open labels are not lost silently.
    let mut open = project.open_labels("a", SIZE).unwrap();
    open.apply(&rectangle(2.0, 20.0, 7, 1)).unwrap();
    assert!(project.training_set().unwrap_err().to_string().contains("have changes that are not saved"));
    drop(open);
    let set = project.training_set().unwrap();
    let read = label_files::read(&set.train.join("labels/a.tif"), SIZE).unwrap();
    assert!(read.labels.contains(7));
    project.change(|s| s.classes.truncate(1)).unwrap();
    assert!(!project.training_set().unwrap().train.join("masks").exists());
    check(dir.path(), 2, 2);
}

/// A mask of another program: a class per pixel, by column and row.
pub(super) fn write_mask(path: &Path, class: impl Fn(u32, u32) -> u8) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let pixels: Vec<u8> = (0..SIZE[0] * SIZE[1]).map(|i| class(i % SIZE[0], i / SIZE[0])).collect();
    fs::write(path, [b"P5 40 30 255\n".as_slice(), &pixels].concat()).unwrap();
}

#[test]
fn classes_of_a_data_set_become_those_of_the_project() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a", "b"] {
        write_image(&dir.path().join(format!("images/{name}.pgm")), 1);
    }
    // Two columns of class 1, beside them one of class 3; another region of class 1 below.
    let class = |x, y| match (x, y) {
        (0..2, 0..5) | (1, 20) => 1,
        (2, 0..5) => 3,
        _ => 0,
    };
    write_mask(&dir.path().join("masks/a.pgm"), class);
    write_mask(&dir.path().join("masks/b.pgm"), |x, _| if x < 4 { 2 } else { 0 });
    write_mask(&dir.path().join("labels/b.pgm"), |x, _| if x < 4 { 9 } else { 0 });
    let project = Project::open(dir.path()).unwrap();
    let classes = &project.settings().classes;
    assert_eq!(classes.iter().map(|c| &*c.name).collect::<Vec<_>>(), ["class 1", "class 2", "class 3"]);
    assert_eq!(classes.iter().map(|c| c.colour).collect::<Vec<_>>(), [1, 2, 3].map(class_colour));
    assert_eq!(["a", "b"].map(|name| project.settings().images[name].state), [State::Labelled; 2]);
    let mut open = project.open_labels("a", SIZE).unwrap();
    let found: Vec<_> = open.labels().instances().iter().map(|i| (i.id, i.class, i.area)).collect();
    assert_eq!(found, [(1, 1, 10), (2, 3, 5), (3, 1, 1)]);
    assert!(open.is_from_mask() && open.unsaved() == 0 && !dir.path().join("labels/a.tif").exists());
    // An edit is in the journal before there is a label file: the regions and the edit are there again.
    open.apply(&rectangle(20.0, 20.0, 7, 2)).unwrap();
    drop(open);
    let open = project.open_labels("a", SIZE).unwrap();
    assert_eq!(
        open.labels().instances().iter().map(|i| (i.id, i.class)).collect::<Vec<_>>(),
        [(1, 1), (2, 3), (3, 1), (7, 2)]
    );
    drop(open);
    let other = project.open_labels("b", SIZE).unwrap();
    assert_eq!(other.labels().instances().iter().map(|i| (i.id, i.class)).collect::<Vec<_>>(), [(9, 2)]);
    drop(other);
    // Training has both, and the mask of the other program is kept.
    let set = project.training_set().unwrap();
    assert_eq!(set.train_names, ["a", "b"]);
    let read = label_files::read(&set.train.join("labels/a.tif"), SIZE).unwrap();
    assert_eq!(read.labels.instances().len(), 4);
    assert!(set.train.join("masks/b.tif").is_file() && dir.path().join("imported/masks/b.pgm").is_file());
    // Its names and colours can be changed, and stay.
    let mut project = project;
    project.change(|s| (s.classes[2].name, s.classes[2].colour) = ("dividing".into(), [1, 2, 3])).unwrap();
    drop(project);
    let project = Project::open(dir.path()).unwrap();
    assert_eq!((&*project.settings().classes[2].name, project.settings().classes[2].colour), ("dividing", [1, 2, 3]));
    assert_eq!(project.settings().classes[0].name, "class 1");
}

#[test]
fn black_and_white_masks_are_of_one_class() {
    let dir = tempfile::tempdir().unwrap();
    write_image(&dir.path().join("images/a.pgm"), 1);
    write_mask(&dir.path().join("masks/a.pgm"), |x, y| if x < 3 && y < 2 { 255 } else { 0 });
    let project = Project::open(dir.path()).unwrap();
    assert_eq!(project.settings().classes.len(), 1);
    let open = project.open_labels("a", SIZE).unwrap();
    assert_eq!(open.labels().instances().iter().map(|i| (i.id, i.class, i.area)).collect::<Vec<_>>(), [(1, 1, 6)]);
    assert_eq!(open.labels().fractions().unlabelled, 0.0);
}

#[test]
fn a_mask_of_another_program_is_kept_when_it_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    write_image(&dir.path().join("images/a.pgm"), 1);
    // With the very name that the studio gives its own.
    let ids: Vec<u32> = (0..SIZE[0] * SIZE[1]).map(|i| (i % SIZE[0] / 10).min(2)).collect();
    let mut labels = crate::labels::Labels::from_ids(SIZE[0], SIZE[1], &ids).unwrap();
    labels = labels.with_classes([(2, 2)], 0);
    let before = label_files::mask_tiff(&labels).unwrap();
    fs::create_dir_all(dir.path().join("masks")).unwrap();
    fs::write(dir.path().join("masks/a.tif"), &before).unwrap();
    let project = Project::open(dir.path()).unwrap();
    let mut open = project.open_labels("a", SIZE).unwrap();
    open.apply(&Edit::Delete { id: 2, to: BACKGROUND }).unwrap();
    open.save().unwrap();
    assert_ne!(fs::read(dir.path().join("masks/a.tif")).unwrap(), before);
    assert_eq!(fs::read(dir.path().join("imported/masks/a.tif")).unwrap(), before);
    assert!(!open.is_from_mask());
}

#[test]
fn a_label_file_belongs_to_the_image_of_its_name() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a", "a_mask"] {
        write_image(&dir.path().join(format!("images/{name}.pgm")), 1);
    }
    write_image(&dir.path().join("labels/a_mask.pgm"), 7);
    let project = Project::open(dir.path()).unwrap();
    assert_eq!(project.settings().images["a"].state, State::Unlabelled);
    assert_eq!(project.settings().images["a_mask"].state, State::Labelled);
    label(&project, "a");
    let other = project.open_labels("a_mask", SIZE).unwrap();
    assert_eq!(other.labels().instances().iter().map(|i| i.id).collect::<Vec<_>>(), [7]);
}

#[test]
fn settings_that_cannot_be_written_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let mut project = Project::create(dir.path()).unwrap();
    let file = dir.path().join("studio.json");
    let before = fs::read(&file).unwrap();
    fs::rename(&file, dir.path().join("away")).unwrap();
    fs::create_dir(&file).unwrap();
    assert!(project.change(|s| s.base_model = Some("nuclei".into())).is_err());
    fs::remove_dir(&file).unwrap();
    fs::rename(dir.path().join("away"), &file).unwrap();
    assert_eq!(fs::read(&file).unwrap(), before);
    project.change(|_| ()).unwrap();
    assert_eq!(project.settings().base_model.as_deref(), Some("nuclei"));
    assert_ne!(fs::read(&file).unwrap(), before);
    assert!(Project::open(dir.path().join("none")).is_err());
}
