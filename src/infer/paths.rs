//! Paths of input images and of their results.

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

use globset::GlobBuilder;

#[cfg(feature = "ome-zarr")]
use super::decode::zarr;
use super::skipped::{SkipReason, Skipped, Tally, other_format};
use crate::error::{Error, Result};
use crate::io::image_formats::readable_extensions;
use crate::io::{fs, temporary};

/// Suffixes of our own result files: `<stem>_<kind>`.
const KINDS: [&str; 5] = ["mask", "overlay", "prob", "labels", "contours"];

/// The images that arguments refer to, in order and without duplicates.
///
/// An argument is a file, a folder (its images, sorted by name, without subfolders), an OME-Zarr folder (an image, or the images of
/// a plate, a well or several series) or a glob such as `*.png` or
/// `runs/**/t?.tif` for shells that do not expand it. Folders and globs skip hidden files, files without an image
/// extension, and results of this program (`x_mask.png`).
pub fn expand_inputs<S: AsRef<str>>(args: &[S]) -> Result<Vec<PathBuf>> {
    Ok(expand_inputs_and_skipped(args)?.0)
}

/// [`expand_inputs`], also returning what folders and globs skipped.
pub fn expand_inputs_and_skipped<S: AsRef<str>>(args: &[S]) -> Result<(Vec<PathBuf>, Vec<Skipped>)> {
    let (mut paths, mut seen, mut skipped) = (Vec::new(), HashSet::new(), Vec::new());
    for arg in args {
        let path = Path::new(arg.as_ref());
        let found = if let Some(found) = images_of_zarr(path) {
            found?
        } else if fs::is_dir(path) {
            let found = each_image(walk(path, Some(1), is_image_name)?);
            let left: Vec<Skipped> = left_out(path)?.of(arg.as_ref()).collect();
            if found.is_empty() {
                let left = left.first().map_or(String::new(), |s| format!(": {}", s.text()));
                return Err(Error::invalid("input", format!("no images in {}{left}", path.display())));
            }
            skipped.extend(left);
            found
        } else if fs::exists(path) {
            vec![path.to_path_buf()]
        } else if is_glob(arg.as_ref()) {
            let (found, left) = expand_glob(path)?;
            skipped.extend(left.of(arg.as_ref()));
            found
        } else if arg.as_ref().is_empty() {
            return Err(Error::invalid("input", "the name of an image is empty"));
        } else {
            return Err(Error::file(path, "no such file or folder"));
        };
        paths.extend(found.into_iter().filter(|p| seen.insert(p.clone())));
    }
    Ok((paths, skipped))
}

/// What a folder contains besides its images.
fn left_out(folder: &Path) -> Result<Tally> {
    let mut tally = Tally::default();
    for entry in fs::read_dir(folder).map_err(|e| Error::io(folder, e))? {
        let entry = entry.map_err(|e| Error::io(folder, e))?;
        let (path, name) = (entry.path(), PathBuf::from(entry.file_name()));
        let hidden = name.to_string_lossy().starts_with('.');
        match fs::is_dir(&path) {
            // Hidden folders belong to programs and are not reported.
            true if hidden => {}
            true if is_image_file(&path) && is_image_folder(&path) => tally_file(&mut tally, &path, &name),
            true => tally.add(SkipReason::Folder, &name),
            false if hidden => tally.add(SkipReason::Hidden, &name),
            false => tally_file(&mut tally, &path, &name),
        }
    }
    Ok(tally)
}

fn tally_file(tally: &mut Tally, path: &Path, name: &Path) {
    if is_image_name(path) {
        return;
    }
    tally.add(
        match () {
            () if is_image_file(path) || is_result(path) => SkipReason::Result,
            () if other_format(path).is_some() => SkipReason::OtherFormat,
            () => SkipReason::NotAnImage,
        },
        name,
    );
}

fn is_glob(text: &str) -> bool {
    text.contains(['*', '?', '[', '{'])
}

fn expand_glob(pattern: &Path) -> Result<(Vec<PathBuf>, Tally)> {
    let wrong = |reason: String| Error::invalid("input", format!("{}: {reason}", pattern.display()));
    // Walks from the part before the first component with wildcards, and matches the rest.
    let special = |c: &Component| is_glob(&c.as_os_str().to_string_lossy());
    let base: PathBuf = pattern.components().take_while(|c| !special(c)).collect();
    let rest: PathBuf = pattern.components().skip_while(|c| !special(c)).collect();
    let glob = GlobBuilder::new(&rest.to_string_lossy())
        .literal_separator(true)
        .build()
        .map_err(|e| wrong(format!("not a glob: {}", e.kind())))?
        .compile_matcher();
    let depth = rest.components().count();
    let depth = (!rest.to_string_lossy().contains("**")).then_some(depth);
    let start = if base.as_os_str().is_empty() { Path::new(".") } else { base.as_path() };
    let mut tally = Tally::default();
    let found = if fs::is_dir(start) {
        walk(start, depth, |path| {
            let inner = path.strip_prefix(start).unwrap_or(path);
            let matches = glob.is_match(inner);
            if matches && fs::is_file(path) {
                tally_file(&mut tally, path, inner);
            }
            matches && (is_image_name(path) || is_field(path))
        })?
    } else {
        Vec::new()
    };
    if found.is_empty() {
        return Err(wrong("no images match".into()));
    }
    // Removes a leading "./", which the pattern did not have.
    let plain = |p: PathBuf| {
        if base.as_os_str().is_empty() { p.strip_prefix(".").map(Path::to_path_buf).unwrap_or(p) } else { p }
    };
    Ok((each_image(found.into_iter().map(plain).collect()), tally))
}

/// The images in a folder and its subfolders, sorted, including those named like our own results. Plates become their images.
pub(crate) fn all_images(folder: &Path) -> Result<Vec<PathBuf>> {
    Ok(each_image(walk(folder, None, is_image_file)?))
}

/// The images of an OME-Zarr folder; `None` for anything else.
#[cfg(feature = "ome-zarr")]
fn images_of_zarr(path: &Path) -> Option<Result<Vec<PathBuf>>> {
    zarr::is_zarr(path).then(|| zarr::images(path)).map(|images| match images {
        // An image itself, by its own name.
        Ok(images) if images.len() == 1 => Ok(vec![path.to_path_buf()]),
        images => images,
    })
}

#[cfg(not(feature = "ome-zarr"))]
fn images_of_zarr(_: &Path) -> Option<Result<Vec<PathBuf>>> {
    None
}

/// Plates among images become their images. What cannot be read is reported when it is opened.
fn each_image(found: Vec<PathBuf>) -> Vec<PathBuf> {
    let each = |path: PathBuf| match images_of_zarr(&path) {
        Some(Ok(images)) => images,
        _ => vec![path],
    };
    found.into_iter().flat_map(each).collect()
}

/// Whether a folder without an extension is an image, as those of a plate are.
fn is_field(path: &Path) -> bool {
    path.extension().is_none() && matches!(images_of_zarr(path), Some(Ok(images)) if images == [path])
}

/// Whether a folder is an image, of whatever name.
#[cfg(feature = "ome-zarr")]
fn is_image_folder(path: &Path) -> bool {
    fs::is_dir(path) && zarr::is_zarr(path)
}

#[cfg(not(feature = "ome-zarr"))]
fn is_image_folder(_: &Path) -> bool {
    false
}

/// The path after which results of an image are named: its own, but of an image inside an OME-Zarr folder one beside that folder,
/// `plate_A_1_0.zarr` of `plate.zarr/A/1/0`.
pub fn name_for_results(input: &Path) -> PathBuf {
    // The rows of a plate may be plain folders.
    const DEPTH: usize = 4;
    if !is_image_folder(input) {
        return input.to_path_buf();
    }
    let above = input.ancestors().skip(1).take(DEPTH);
    let Some(around) = above.filter(|p| !p.as_os_str().is_empty() && is_image_folder(p)).last() else {
        return input.to_path_buf();
    };
    let mut name = around.file_stem().unwrap_or_default().to_os_string();
    for part in input.strip_prefix(around).unwrap_or(input) {
        name.push("_");
        name.push(part);
    }
    name.push(".zarr");
    around.with_file_name(name)
}

/// The files under a folder that `requested` accepts, sorted, and the image folders.
fn walk(folder: &Path, depth: Option<usize>, mut requested: impl FnMut(&Path) -> bool) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut visit = |path: PathBuf| {
        if requested(&path) && (fs::is_file(&path) || is_image_folder(&path)) {
            found.push(path);
        }
    };
    visit(folder.to_path_buf());
    // Folders to read, with the depth of what is in them.
    let mut folders = vec![(folder.to_path_buf(), 1)];
    while let Some((folder, at)) = folders.pop() {
        // What lies in an image folder are its chunks, unless that folder is what was named.
        let chunks = at > 1 && is_image_file(&folder) && is_image_folder(&folder);
        if chunks || depth.is_some_and(|depth| at > depth) {
            continue;
        }
        for entry in fs::read_dir(&folder).map_err(|e| Error::io(&folder, e))? {
            let entry = entry.map_err(|e| Error::io(&folder, e))?;
            if is_hidden(&entry) {
                continue;
            }
            let path = entry.path();
            let kind = entry.file_type().map_err(|e| Error::io(&path, e))?;
            // Not through links, which may lead in circles.
            if kind.is_dir() {
                folders.push((path.clone(), at + 1));
            }
            visit(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Whether an entry is hidden: by its name, on Windows also by an attribute.
fn is_hidden(entry: &fs::DirEntry) -> bool {
    #[cfg(windows)]
    {
        const HIDDEN: u32 = 2;
        let attributes = |m: fs::Metadata| std::os::windows::fs::MetadataExt::file_attributes(&m);
        if entry.metadata().is_ok_and(|metadata| attributes(metadata) & HIDDEN != 0) {
            return true;
        }
    }
    entry.file_name().as_encoded_bytes().starts_with(b".")
}

/// Whether the extension is that of an image.
pub(crate) fn is_image_file(path: &Path) -> bool {
    let known = |e: &str| readable_extensions().any(|k| k.eq_ignore_ascii_case(e));
    path.extension().and_then(|e| e.to_str()).is_some_and(known)
}

fn is_image_name(path: &Path) -> bool {
    let ours = |s: &str| s.rsplit_once('_').is_some_and(|(stem, kind)| !stem.is_empty() && KINDS.contains(&kind));
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    is_image_file(path) && !ours(stem.strip_suffix(".ome").unwrap_or(&stem))
}

/// Whether a file is named like one of our results that are not images.
fn is_result(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    [".geojson", ".json", ".zip", ".csv", ".npy"]
        .iter()
        .zip(["_contours", "_coco", "_rois", "_objects", "_prob"])
        .any(|(extension, kind)| name.strip_suffix(extension).is_some_and(|stem| stem.ends_with(kind)))
}

/// Whether an output is meant as a folder: image file names have an extension.
fn is_folder_name(out: &Path) -> bool {
    fs::is_dir(out) || ends_in_separator(out) || (out.extension().is_none() && !fs::is_file(out))
}

/// The path of the result `kind` (`mask`, `overlay`, ...) with extension `ext` for the image `input`.
///
/// Without `out`, the result is next to the image: `<stem>_<kind>.<ext>`. If `out` is a folder (it exists as one, ends
/// in a separator, has no extension, or there are several inputs), the result has that name inside it. Otherwise `out`
/// is the file of the mask, and other kinds are named after it in the same folder. The result is never the input
/// itself, and the mask's file must have the extension `ext`. Two inputs with equal stems in one folder get equal
/// result paths: see [`check_distinct`].
pub fn output_path(out: Option<&Path>, input: &Path, kind: &str, ext: &str, several_inputs: bool) -> Result<PathBuf> {
    let Some(stem) = input.file_stem() else {
        return Err(Error::file(input, "is not the name of a file"));
    };
    let named = |stem: &std::ffi::OsStr| {
        let mut name = stem.to_os_string();
        name.push(format!("_{kind}.{ext}"));
        name
    };
    let path = match out {
        None => input.with_file_name(named(stem)),
        Some(out) if several_inputs && is_image_file(out) && !fs::is_dir(out) && !ends_in_separator(out) => {
            return Err(Error::file(out, "is one file; several images need a folder for their results"));
        }
        Some(out) if several_inputs || is_folder_name(out) => out.join(named(stem)),
        Some(out) => match out.file_stem() {
            None => return Err(Error::file(out, "is not the name of a file")),
            Some(_) if kind == "mask" => {
                if out.extension().is_some_and(|e| !e.eq_ignore_ascii_case(ext)) {
                    return Err(Error::file(out, "the mask is a .png or a .tif file; give it a name that ends so"));
                }
                out.to_path_buf()
            }
            Some(stem) => out.with_file_name(named(stem)),
        },
    };
    let same = path == input || matches!((fs::canonicalize(&path), fs::canonicalize(input)), (Ok(a), Ok(b)) if a == b);
    if same {
        return Err(Error::file(path, format!("the {kind} would overwrite the image it is made from")));
    }
    Ok(path)
}

/// Fails if a result would be written twice, or over an input: call it with all paths before starting.
pub fn check_distinct(outputs: &[PathBuf], inputs: &[PathBuf]) -> Result<()> {
    let mut seen: HashSet<PathBuf> = inputs.iter().filter_map(|p| fs::canonicalize(p).ok()).collect();
    for path in outputs {
        if fs::canonicalize(path).is_ok_and(|p| seen.contains(&p)) {
            return Err(Error::file(path, "a result would overwrite one of the images"));
        }
    }
    seen.clear();
    match outputs.iter().find(|path| !seen.insert(path.to_path_buf())) {
        Some(path) => Err(Error::file(path, "two images would both be written here; use folders of their own")),
        None => Ok(()),
    }
}

/// Fails if a file could not be written there: call it before starting. Creates nothing, not even folders.
pub fn check_writable(path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    let wrong = |reason: String| Err(Error::file(path, format!("cannot be written: {reason}")));
    if fs::is_dir(path) || ends_in_separator(path) {
        return wrong("it is a folder".into());
    }
    // Missing folders are created later in the nearest existing one.
    let above = path.ancestors().skip(1).find(|p| p.as_os_str().is_empty() || fs::symlink_metadata(p).is_ok());
    let folder = above.filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !fs::is_dir(folder) {
        return wrong(format!("{} is not a folder", folder.display()));
    }
    match temporary::probe(folder) {
        Ok(()) => Ok(()),
        // The original message names a temporary file, which would confuse users.
        Err(e) => wrong(format!("no file can be made in {}: {}", folder.display(), std::io::Error::from(e.kind()))),
    }
}

fn ends_in_separator(path: &Path) -> bool {
    path.as_os_str().to_string_lossy().ends_with(std::path::is_separator)
}

#[cfg(test)]
mod tests;
