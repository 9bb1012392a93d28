use std::fs;

use unet_wgpu::low_level::infer::{OpenOptions, read_image};
use unet_wgpu::low_level::train::Dataset;

use super::super::Project;
use super::super::tests::{SIZE, label, write_image};
use super::*;

/// An OME-Zarr of version 2, one plane of [`SIZE`] in chunks of 20 x 15.
fn write_zarr(folder: &Path, grey: u8) {
    fs::create_dir_all(folder.join("0")).unwrap();
    let axes = r#"[{"name":"y","type":"space"},{"name":"x","type":"space"}]"#;
    let scale = r#"[{"type":"scale","scale":[0.5,0.5]}]"#;
    let datasets = format!(r#"[{{"path":"0","coordinateTransformations":{scale}}}]"#);
    let text = format!(r#"{{"multiscales":[{{"version":"0.4","axes":{axes},"datasets":{datasets}}}]}}"#);
    fs::write(folder.join(".zattrs"), text).unwrap();
    fs::write(folder.join(".zgroup"), r#"{"zarr_format":2}"#).unwrap();
    let array = r#"{"zarr_format":2,"shape":[30,40],"chunks":[15,20],"dtype":"|u1","compressor":null,"fill_value":0,"order":"C","filters":null}"#;
    fs::write(folder.join("0/.zarray"), array).unwrap();
    for (i, chunk) in ["0.0", "0.1", "1.0", "1.1"].iter().enumerate() {
        fs::write(folder.join("0").join(chunk), [grey + i as u8; 15 * 20]).unwrap();
    }
}

/// The files of a folder with their bytes.
fn content(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    files(folder).unwrap().into_iter().map(|file| (file.clone(), fs::read(folder.join(file)).unwrap())).collect()
}

#[test]
fn an_ome_zarr_is_an_image_of_a_project() {
    let dir = tempfile::tempdir().unwrap();
    let [cells, other] = ["cells.zarr", "other/cells.zarr"].map(|name| dir.path().join(name));
    write_zarr(&cells, 10);
    write_zarr(&other, 20);
    write_image(&dir.path().join("a.pgm"), 1);
    let before = content(&cells);
    assert_eq!(before.len(), 7);
    let mut project = Project::open(dir.path()).unwrap();
    assert_eq!(project.images(), ["a", "cells"]);
    let path = project.image_path("cells").unwrap();
    assert_eq!(content(&path), before);
    assert_eq!(read_image(&path, &OpenOptions::default()).unwrap().0.width(), SIZE[0] as usize);
    // Known again, also as another copy; another image of its name gets a number.
    let copy = dir.path().join("copies/x.zarr");
    fs::create_dir_all(&copy).unwrap();
    write_zarr(&copy, 10);
    let added = project.add_images(&[cells.clone(), copy, other]).unwrap();
    assert_eq!(added.names, ["cells-2"]);
    assert_eq!(added.notes.iter().filter(|note| note.ends_with(" is in the project already, as cells.")).count(), 2);
    // It is trained on, held out, and found again.
    label(&project, "cells");
    label(&project, "cells-2");
    project.change_image("cells-2", |image| image.held_out = true).unwrap();
    let set = project.training_set().unwrap();
    let pairs = Dataset::open(&set.train).unwrap();
    assert_eq!((pairs.pairs().len(), pairs.pairs()[0].name.as_str()), (1, "cells"));
    assert_eq!(content(&pairs.pairs()[0].image), before);
    assert_eq!(set.validation_names, ["cells-2"]);
    drop(project);
    let project = Project::open(dir.path()).unwrap();
    assert_eq!(project.images(), ["a", "cells", "cells-2"]);
    assert_eq!(project.open_labels("cells", SIZE).unwrap().labels().instances().len(), 2);
    // The original may go.
    drop(project);
    fs::remove_dir_all(&cells).unwrap();
    let project = Project::open(dir.path()).unwrap();
    assert_eq!((project.images().len(), content(&path)), (3, before));
}

#[test]
fn a_link_replaces_nothing_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let [from, to, none] = ["from.zarr", "to.zarr", "none.zarr"].map(|name| dir.path().join(name));
    write_zarr(&from, 1);
    // What an earlier program has left.
    write_zarr(&dir.path().join(".to.zarr.part/left"), 1);
    link(&from, &to).unwrap();
    assert_eq!(content(&to), content(&from));
    assert!(same(&from, &to).unwrap());
    assert_eq!(length(&to).unwrap(), content(&from).iter().map(|(_, bytes)| bytes.len() as u64).sum::<u64>());
    assert!(link(&none, &dir.path().join("x.zarr")).is_err());
    write_zarr(&none, 2);
    assert!(link(&none, &to).unwrap_err().to_string().contains("to.zarr"));
    assert!(same(&from, &to).unwrap() && !same(&none, &to).unwrap());
    let names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len(), 3, "{names:?}");
}

#[test]
fn a_plate_is_several_images() {
    let dir = tempfile::tempdir().unwrap();
    let plate = dir.path().join("plate.zarr");
    let well = plate.join("A/1");
    write_zarr(&well.join("0"), 10);
    write_zarr(&well.join("1"), 20);
    for (folder, ome) in [
        (
            &plate,
            r#"{"plate":{"rows":[{"name":"A"}],"columns":[{"name":"1"}],"wells":[{"path":"A/1","rowIndex":0,"columnIndex":0}]}}"#,
        ),
        (&well, r#"{"well":{"images":[{"path":"0"},{"path":"1"}]}}"#),
    ] {
        fs::write(folder.join(".zattrs"), ome).unwrap();
        fs::write(folder.join(".zgroup"), r#"{"zarr_format":2}"#).unwrap();
    }
    let mut project = Project::create(dir.path().join("project")).unwrap();
    assert_eq!(project.add_images(&[plate]).unwrap().names, ["plate_A_1_0", "plate_A_1_1"]);
    for (name, grey) in [("plate_A_1_0", 10), ("plate_A_1_1", 20)] {
        let image = read_image(project.image_path(name).unwrap(), &OpenOptions::default()).unwrap().0;
        assert!(matches!(image.pixels(), unet_wgpu::Pixels::U8(v) if v[0] == grey), "{name}");
    }
}
