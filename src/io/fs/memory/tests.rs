//! The same operations on a folder of the disk and on one in memory.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::sample::select;

use super::{Change, FileType, NamedTempFile};
use crate::io::fs::memory;

/// A folder in memory that no other test uses; it goes when it is dropped.
struct Root(PathBuf);

impl Root {
    fn new(name: &str) -> Self {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = PathBuf::from(format!("/{name}-{number}"));
        memory::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let _ = memory::remove_dir_all(&self.0);
    }
}

/// How a file is opened: read, write, append, truncate, create, create_new.
type Mode = [bool; 6];

#[derive(Clone, Debug)]
enum Step {
    Write(String, Vec<u8>),
    CreateDir(String),
    CreateDirs(String),
    RemoveFile(String),
    RemoveDir(String),
    RemoveDirs(String),
    Rename(String, String),
    Link(String, String),
    Copy(String, String),
    Look(String),
    Open(String, Mode),
    Clone(usize),
    Close(usize),
    ReadFrom(usize, usize),
    WriteTo(usize, Vec<u8>),
    Seek(usize, u8, i64),
    SetLen(usize, u64),
}

/// Paths of few names, so that they meet; some with `.`, `..` and separators at the end.
fn path() -> impl Strategy<Value = String> {
    let name = select(vec!["a", "a", "b", "b", "c", "d", "d", "..", "."]);
    let last = select(vec!["a", "b", "c", "d"]);
    let end = prop_oneof![12 => Just(""), 1 => Just("/"), 1 => Just("//")];
    (prop::collection::vec(name, 0..3), last, end).prop_map(|(names, last, end)| {
        // Nothing leads out of the folder.
        let mut depth = 0i32;
        let names = names.into_iter().filter(|name| {
            let by = i32::from(*name != ".") * if *name == ".." { -1 } else { 1 };
            let stays = depth + by >= 0;
            depth += if stays { by } else { 0 };
            stays
        });
        names.chain([last]).collect::<Vec<_>>().join("/") + end
    })
}

fn mode() -> impl Strategy<Value = Mode> {
    prop_oneof![
        any::<Mode>(),
        Just([true, true, false, false, true, false]),
        Just([true, false, true, false, true, false])
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..6);
    let handle = || 0usize..4;
    prop_oneof![
        4 => (path(), bytes()).prop_map(|(p, b)| Step::Write(p, b)),
        4 => path().prop_map(Step::CreateDir),
        2 => path().prop_map(Step::CreateDirs),
        2 => path().prop_map(Step::RemoveFile),
        1 => path().prop_map(Step::RemoveDir),
        1 => path().prop_map(Step::RemoveDirs),
        5 => (path(), path()).prop_map(|(a, b)| Step::Rename(a, b)),
        3 => (path(), path()).prop_map(|(a, b)| Step::Link(a, b)),
        2 => (path(), path()).prop_map(|(a, b)| Step::Copy(a, b)),
        2 => path().prop_map(Step::Look),
        6 => (path(), mode()).prop_map(|(p, mode)| Step::Open(p, mode)),
        3 => handle().prop_map(Step::Clone),
        1 => handle().prop_map(Step::Close),
        3 => (handle(), 0usize..5).prop_map(|(h, n)| Step::ReadFrom(h, n)),
        5 => (handle(), bytes()).prop_map(|(h, b)| Step::WriteTo(h, b)),
        3 => (handle(), 0u8..3, -4i64..9).prop_map(|(h, from, by)| Step::Seek(h, from, by)),
        2 => (handle(), 0u64..9).prop_map(|(h, n)| Step::SetLen(h, n)),
    ]
}

/// A value or the kind of an error, as text. What std has no kind for is `Other` in memory.
fn outcome<T: std::fmt::Debug>(of: io::Result<T>) -> String {
    match of {
        Ok(value) => format!("{value:?}"),
        Err(e) => format!("{:?}", e.kind()).replace("Uncategorized", "Other"),
    }
}

/// The steps with the functions and types of one of both modules, as a function of the folder.
macro_rules! runner {
    ($name:ident, $fs:ident, $try_exists:ident) => {
        /// The outcome of every step, and all there is at the end.
        fn $name(root: &Path, steps: &[Step]) -> Vec<String> {
            // Joining drops nothing of a path.
            let at = |path: &str| PathBuf::from(format!("{}/{path}", root.display()));
            let size = |m: $fs::Metadata| (m.is_file(), m.is_dir(), if m.is_dir() { 0 } else { m.len() });
            let mut handles: Vec<$fs::File> = Vec::new();
            let mut run = |step: &Step| match step {
                Step::Write(path, bytes) => outcome($fs::write(at(path), bytes)),
                Step::CreateDir(path) => outcome($fs::create_dir(at(path))),
                Step::CreateDirs(path) => outcome($fs::create_dir_all(at(path))),
                Step::RemoveFile(path) => outcome($fs::remove_file(at(path))),
                Step::RemoveDir(path) => outcome($fs::remove_dir(at(path))),
                Step::RemoveDirs(path) => outcome($fs::remove_dir_all(at(path))),
                Step::Rename(from, to) => outcome($fs::rename(at(from), at(to))),
                Step::Link(from, to) => outcome($fs::hard_link(at(from), at(to))),
                Step::Copy(from, to) => outcome($fs::copy(at(from), at(to))),
                Step::Look(path) => {
                    let names = |dir: $fs::ReadDir| {
                        let mut all: Vec<_> = dir.map(|entry| entry.unwrap().file_name()).collect();
                        all.sort();
                        all
                    };
                    let path = at(path);
                    let canonical = $fs::canonicalize(&path);
                    [
                        outcome($fs::$try_exists(&path)),
                        outcome($fs::metadata(&path).map(size)),
                        outcome($fs::symlink_metadata(&path).map(size)),
                        outcome($fs::read_dir(&path).map(names)),
                        outcome($fs::read(&path)),
                        outcome($fs::read_to_string(&path)),
                        outcome(canonical.map(|path| path.strip_prefix(root).unwrap().to_path_buf())),
                    ]
                    .join(" ")
                }
                Step::Open(path, [read, write, append, truncate, create, create_new]) => {
                    let mut options = $fs::OpenOptions::new();
                    options.read(*read).write(*write).append(*append).truncate(*truncate);
                    let file = options.create(*create).create_new(*create_new).open(at(path));
                    outcome(file.map(|file| handles.insert(0, file)))
                }
                Step::Clone(i) => outcome(match handles.get(*i).map(|file| file.try_clone()) {
                    Some(file) => file.map(|file| handles.insert(0, file)),
                    None => Ok(()),
                }),
                Step::Close(i) => outcome(Ok((*i < handles.len()).then(|| drop(handles.remove(*i))))),
                Step::ReadFrom(i, n) => {
                    let mut bytes = vec![0; *n];
                    let n = handles.get_mut(*i).map(|file| file.read(&mut bytes)).transpose();
                    format!("{} {bytes:?}", outcome(n))
                }
                Step::WriteTo(i, bytes) => outcome(handles.get_mut(*i).map(|file| file.write(bytes)).transpose()),
                Step::Seek(i, from, by) => {
                    let to = match from {
                        0 => SeekFrom::Start(by.unsigned_abs()),
                        1 => SeekFrom::Current(*by),
                        _ => SeekFrom::End(*by),
                    };
                    // A position in a folder means nothing.
                    let file = handles.get_mut(*i).filter(|file| file.metadata().unwrap().is_file());
                    outcome(file.map(|file| file.seek(to)).transpose())
                }
                Step::SetLen(i, n) => outcome(handles.get(*i).map(|file| file.set_len(*n)).transpose()),
            };
            let mut all: Vec<String> = steps.iter().map(|step| format!("{step:?}: {}", run(step))).collect();
            let mut folders = vec![root.to_path_buf()];
            while let Some(folder) = folders.pop() {
                let mut entries: Vec<_> = $fs::read_dir(folder).unwrap().map(Result::unwrap).collect();
                entries.sort_by_key(|entry| entry.file_name());
                for entry in entries {
                    let path = entry.path();
                    let kind = entry.file_type().unwrap();
                    let bytes = if kind.is_file() { $fs::read(&path).unwrap() } else { Vec::new() };
                    let name = path.strip_prefix(root).unwrap();
                    all.push(format!("{} {} {bytes:?}", name.display(), kind.is_dir()));
                    folders.extend(kind.is_dir().then_some(path));
                }
            }
            all
        }
    };
}

runner!(on_disk, fs, exists);
runner!(in_memory, memory, try_exists);

/// Other systems have other kinds of errors.
#[cfg(target_os = "linux")]
#[test]
fn it_does_what_the_disk_does() {
    let both = |steps: &[Step]| {
        let (dir, root) = (tempfile::tempdir().unwrap(), Root::new("steps"));
        (on_disk(&dir.path().canonicalize().unwrap(), steps), in_memory(&root.0, steps))
    };
    // Two names of one file, which chance seldom renames to each other.
    let [a, b] = ["a", "b"].map(String::from);
    let (disk, memory) = both(&[
        Step::Write(a.clone(), vec![1]),
        Step::Link(a.clone(), b.clone()),
        Step::Rename(a.clone(), b.clone()),
        Step::Write(b.clone(), vec![2, 3]),
        Step::Look(a),
    ]);
    assert_eq!(disk, memory);
    let config = ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(steps in prop::collection::vec(step(), 1..40))| {
        let (disk, memory) = both(&steps);
        for (disk, memory) in disk.iter().zip(&memory) {
            prop_assert_eq!(disk, memory);
        }
        prop_assert_eq!(disk.len(), memory.len());
    });
}

/// The only test that takes changes: they are the process's.
#[test]
fn changes_lead_from_one_tree_to_the_next() {
    let config = ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(parts in prop::collection::vec(prop::collection::vec(step(), 1..12), 1..6))| {
        let root = Root::new("changes");
        let mut stored: BTreeMap<PathBuf, Option<Vec<u8>>> = BTreeMap::from([(root.0.clone(), None)]);
        memory::take_changes();
        for steps in parts {
            in_memory(&root.0, &steps);
            let changes = memory::take_changes();
            for change in changes {
                let (Change::Folder(path) | Change::Written(path) | Change::Removed(path)) = &change;
                if !path.starts_with(&root.0) {
                    continue;
                }
                let above = stored.get(path.parent().unwrap()).cloned();
                prop_assert_eq!(above, Some(None), "{:?} is in no folder", change);
                match &change {
                    Change::Folder(path) => prop_assert_eq!(stored.insert(path.clone(), None), None),
                    Change::Written(path) => {
                        let old = stored.insert(path.clone(), Some(memory::read(path).unwrap()));
                        prop_assert_ne!(old, Some(None), "{:?} is a folder", path);
                    }
                    Change::Removed(path) => {
                        prop_assert!(stored.contains_key(path));
                        stored.retain(|other, _| !other.starts_with(path));
                    }
                }
            }
            let mut now = BTreeMap::from([(root.0.clone(), None)]);
            for (path, metadata) in memory::list().into_iter().filter(|(path, _)| path.starts_with(&root.0)) {
                let bytes = metadata.is_file().then(|| memory::read(&path).unwrap());
                now.insert(path, bytes);
            }
            prop_assert_eq!(&stored, &now);
            let ours = |change: &&Change| {
                let (Change::Folder(path) | Change::Written(path) | Change::Removed(path)) = change;
                path.starts_with(&root.0)
            };
            let again = memory::take_changes();
            prop_assert_eq!(again.iter().find(ours), None, "told already");
        }
    });

    // In the order of their last changes; what is temporary does not show.
    let root = Root::new("changes");
    let at = |name: &str| root.0.join(name);
    memory::take_changes();
    for name in ["journal", "labels", "state"] {
        memory::write(at(name), name).unwrap();
    }
    let temporary = NamedTempFile::create(&root.0, ".state.", ".tmp").unwrap();
    temporary.as_file().write_all(b"new").unwrap();
    temporary.persist(at("state")).unwrap();
    memory::write(at("journal"), "").unwrap();
    memory::rename(at("labels"), at("moved")).unwrap();
    let taken = |ours: &Path| -> Vec<String> {
        let text = |change| match change {
            Change::Folder(path) => path.strip_prefix(ours).ok().map(|p| format!("+{}", p.display())),
            Change::Written(path) => path.strip_prefix(ours).ok().map(|p| format!("={}", p.display())),
            Change::Removed(path) => path.strip_prefix(ours).ok().map(|p| format!("-{}", p.display())),
        };
        memory::take_changes().into_iter().filter_map(text).collect()
    };
    assert_eq!(taken(&root.0), ["=state", "=journal", "=moved"]);
    memory::rename(at("moved"), at("labels")).unwrap();
    memory::remove_file(at("state")).unwrap();
    assert_eq!(taken(&root.0), ["=labels", "-moved", "-state"]);
    memory::remove_file(at("labels")).unwrap();
    memory::create_dir(at("labels")).unwrap();
    memory::write(at("labels/a"), "a").unwrap();
    assert_eq!(taken(&root.0), ["-labels", "+labels", "=labels/a"]);
}

#[test]
fn relative_paths_begin_at_the_root() {
    let root = Root::new("relative");
    let relative = root.0.strip_prefix("/").unwrap();
    memory::write(relative.join("a"), "text").unwrap();
    assert_eq!(memory::read_to_string(root.0.join("a")).unwrap(), "text");
    assert_eq!(memory::canonicalize(relative.join("../").join(relative)).unwrap(), root.0);
    assert_eq!(memory::read_dir(relative).unwrap().next().unwrap().unwrap().path(), relative.join("a"));
    assert_eq!(memory::metadata("").unwrap_err().kind(), io::ErrorKind::NotFound);
    assert_eq!(memory::metadata(".").unwrap().file_type(), FileType::Folder);
    assert_eq!(memory::metadata("/..").unwrap().file_type(), FileType::Folder);
}

#[test]
fn temporary_files_go_unless_they_get_a_name() {
    let root = Root::new("temporary");
    let names = || memory::read_dir(&root.0).unwrap().count();
    let file = NamedTempFile::create(&root.0, ".x-", ".tmp").unwrap();
    assert_eq!((names(), memory::metadata(file.path()).is_ok()), (1, true));
    drop(file);
    assert_eq!(names(), 0);
    let mut file = NamedTempFile::create(&root.0, ".x-", ".tmp").unwrap();
    file.write_all(b"bytes").unwrap();
    file.persist(root.0.join("x")).unwrap();
    assert_eq!((names(), memory::read(root.0.join("x")).unwrap()), (1, b"bytes".to_vec()));
    let missing = NamedTempFile::create(&root.0.join("none"), "", "").unwrap_err();
    assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    let nowhere = NamedTempFile::create(&root.0, "", "").unwrap().persist(root.0.join("x/y")).unwrap_err();
    assert_eq!((nowhere.error.kind(), names()), (io::ErrorKind::NotADirectory, 1));
}

/// There is not so much memory, and no more than that goes wrong.
#[test]
fn files_beyond_memory_are_a_full_disk() {
    let root = Root::new("full");
    let mut file = memory::File::create_new(root.0.join("a")).unwrap();
    file.write_all(b"abc").unwrap();
    let kind = |e: io::Error| e.kind();
    assert_eq!(file.set_len(1 << 62).map_err(kind), Err(io::ErrorKind::StorageFull));
    assert_eq!(file.set_len(u64::MAX).map_err(kind), Err(io::ErrorKind::InvalidInput));
    file.seek(SeekFrom::Start(1 << 62)).unwrap();
    assert_eq!(file.write(b"d").map_err(kind), Err(io::ErrorKind::StorageFull));
    assert_eq!(memory::read(root.0.join("a")).unwrap(), b"abc");
}
