use super::*;

struct Tree(tempfile::TempDir);

impl Tree {
    fn new(files: &[&str]) -> Self {
        let tree = Self(tempfile::tempdir().unwrap());
        for f in files {
            let path = tree.path(f);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        tree
    }
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
    fn expand(&self, args: &[&str]) -> Result<Vec<String>> {
        let args: Vec<String> = args.iter().map(|a| self.path(a).display().to_string()).collect();
        let relative = |p: PathBuf| p.strip_prefix(self.0.path()).unwrap().display().to_string();
        Ok(expand_inputs(&args)?.into_iter().map(relative).collect())
    }
    fn fails(&self, arg: &str, with: &str) {
        let text = self.expand(&[arg]).unwrap_err().to_string();
        assert!(text.contains(with) && !text.contains('\n'), "{text}");
    }
}

const FILES: [&str; 12] = [
    "b.png",
    "a.TIF",
    "c.jpeg",
    "a_mask.png",
    "a_overlay.png",
    "a_prob.tif",
    "notes.txt",
    ".hidden.png",
    "sub/d.png",
    "sub/deep/e.tiff",
    "empty/readme.md",
    "odd[1].png",
];

#[test]
fn folders_globs_and_files() {
    let t = Tree::new(&FILES);
    assert_eq!(t.expand(&[""]).unwrap(), ["a.TIF", "b.png", "c.jpeg", "odd[1].png"]);
    assert_eq!(t.expand(&["*.png"]).unwrap(), ["b.png", "odd[1].png"]);
    assert_eq!(t.expand(&["[ab].*"]).unwrap(), ["a.TIF", "b.png"]);
    assert_eq!(t.expand(&["{b,c}*"]).unwrap(), ["b.png", "c.jpeg"]);
    assert_eq!(t.expand(&["*/d.png"]).unwrap(), ["sub/d.png"]);
    assert_eq!(t.expand(&["sub/**"]).unwrap(), ["sub/d.png", "sub/deep/e.tiff"]);
    assert_eq!(t.expand(&["**/?.tiff"]).unwrap(), ["sub/deep/e.tiff"]);
    // An existing file is taken literally; results may be given explicitly; duplicates are removed.
    assert_eq!(
        t.expand(&["odd[1].png", "a_mask.png", "notes.txt"]).unwrap(),
        ["odd[1].png", "a_mask.png", "notes.txt"]
    );
    assert_eq!(t.expand(&["c.jpeg", "b.png", "", "*.png"]).unwrap(), ["c.jpeg", "b.png", "a.TIF", "odd[1].png"]);
}

#[test]
fn missing_inputs_are_named() {
    let t = Tree::new(&FILES);
    t.fails("z.png", "z.png: no such file or folder");
    t.fails("empty", "no images in ");
    t.fails("*.bmp", "no images match");
    t.fails("nowhere/*.png", "nowhere/*.png: no images match");
    t.fails("*_mask.png", "no images match");
    t.fails("a[.png", "not a glob");
    assert!(expand_inputs::<String>(&[]).unwrap().is_empty());
}

#[test]
fn skipped_files_are_counted_by_reason() {
    let more = ["b.txt", "c_objects.csv", "scan.CZI", "brain.nii.gz", ".DS_Store", ".git/config"];
    let t = Tree::new(&[&FILES[..], &more].concat());
    let root = t.path("").display().to_string();
    let texts = |arg: &str| {
        let (_, skipped) = expand_inputs_and_skipped(&[t.path(arg).display().to_string()]).unwrap();
        let mut lines: Vec<String> = skipped.iter().map(|s| s.text().replace(&root, "in/")).collect();
        lines.sort();
        lines
    };
    assert_eq!(
        texts(""),
        [
            "2 files in in/ are hidden and passed over (first: .DS_Store)",
            "2 files in in/ are not images (first: b.txt)",
            "2 files in in/ are of formats that are not read (first: brain.nii.gz, NIfTI)",
            "2 folders in in/ are not searched (first: empty); 'in/**/*' names all files below it",
            "4 files in in/ are called like results of this program (first: a_mask.png); name them to use them",
        ]
    );
    // For a pattern only its matches; for a file nothing.
    assert_eq!(
        texts("b*"),
        [
            "1 file in in/b* is not an image (b.txt)",
            "1 file in in/b* is of a format that is not read (first: brain.nii.gz, NIfTI)",
        ]
    );
    assert!(texts("b.png").is_empty());
    assert!(expand_inputs(&[t.path("empty").display().to_string()]).unwrap_err().to_string().contains("readme.md"));
}

/// Links to files are files; folders are entered by their own names alone.
#[cfg(unix)]
#[test]
fn walks_go_through_no_links_and_into_nothing_hidden() {
    use std::os::unix::fs::symlink;
    let t = Tree::new(&["in/a.png", "in/sub/b.png", "in/.git/c.png", "in/sub/.d.png", "out/e.png"]);
    symlink(t.path("out/e.png"), t.path("in/file.png")).unwrap();
    symlink(t.path("out"), t.path("in/folder")).unwrap();
    symlink(t.path("in"), t.path("in/sub/circle")).unwrap();
    symlink(t.path("nowhere.png"), t.path("in/dangling.png")).unwrap();
    symlink(t.path("in"), t.path("start")).unwrap();
    let all = ["a.png", "file.png", "sub/b.png"];
    let relative = |folder: &str| -> Vec<String> {
        let found = all_images(&t.path(folder)).unwrap();
        found.iter().map(|p| p.strip_prefix(t.path(folder)).unwrap().display().to_string()).collect()
    };
    assert_eq!((relative("in"), relative("start")), (all.map(String::from).to_vec(), all.map(String::from).to_vec()));
    assert_eq!(t.expand(&["in/*"]).unwrap(), ["in/a.png", "in/file.png"]);
    assert_eq!(t.expand(&["in/*/*"]).unwrap(), ["in/sub/b.png"]);
    let missing = all_images(&t.path("none")).unwrap_err();
    assert!(missing.to_string().contains("none"), "{missing}");
}

#[test]
fn globs_relative_to_here() {
    // The tests run in the crate's folder, which has no images at its top.
    assert!(expand_inputs(&["*.nothing"]).is_err());
}

#[test]
fn paths_of_results() {
    let t = Tree::new(&["dir/x.png"]);
    let dir = t.path("dir");
    let to = |out: Option<&str>, kind, ext, several| {
        output_path(out.map(Path::new), Path::new("in/cells.v2.tif"), kind, ext, several).unwrap()
    };
    assert_eq!(to(None, "mask", "png", false), Path::new("in/cells.v2_mask.png"));
    assert_eq!(to(dir.to_str(), "mask", "png", false), dir.join("cells.v2_mask.png"));
    assert_eq!(to(Some("new/"), "prob", "npy", false), Path::new("new/cells.v2_prob.npy"));
    assert_eq!(to(Some("new"), "overlay", "png", true), Path::new("new/cells.v2_overlay.png"));
    assert_eq!(to(Some("o/r.PNG"), "mask", "png", false), Path::new("o/r.PNG"));
    assert_eq!(to(Some("o/r.png"), "overlay", "png", false), Path::new("o/r_overlay.png"));
    assert_eq!(to(Some("o/r.png"), "prob", "tif", false), Path::new("o/r_prob.tif"));
    assert_eq!(to(Some("r"), "mask", "png", false), Path::new("r/cells.v2_mask.png"));
    let error = output_path(Some(Path::new("r.jpg")), Path::new("a.png"), "mask", "png", false).unwrap_err();
    assert!(error.to_string().starts_with("r.jpg: the mask is a .png or a .tif file"));
    assert!(output_path(None, Path::new("/"), "mask", "png", false).is_err());
}

#[test]
fn an_image_is_never_overwritten() {
    let t = Tree::new(&["x.png", "d/x.png", "e/x.png"]);
    let input = t.path("x.png");
    for out in [input.clone(), t.path("d/../x.png")] {
        let text = output_path(Some(&out), &input, "mask", "png", false).unwrap_err().to_string();
        assert!(text.contains("would overwrite the image"), "{text}");
    }
    let inputs = [t.path("d/x.png"), t.path("e/x.png")];
    let outputs: Vec<_> =
        inputs.iter().map(|i| output_path(Some(&t.path("o")), i, "mask", "png", true).unwrap()).collect();
    assert!(check_distinct(&outputs, &inputs).unwrap_err().to_string().contains("x_mask.png: two images"));
    assert!(check_distinct(&outputs[..1], &inputs).is_ok());
    assert!(check_distinct(&[t.path("d/../e/x.png")], &inputs).unwrap_err().to_string().contains("one of the images"));
}
