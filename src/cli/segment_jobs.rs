//! What `unet segment` has to do: the images, and where the results of each go.

use super::shard::Shard;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use unet_wgpu::low_level::infer::{
    Calibration, Output, PageChoice, Stack, Writer, check_distinct, check_writable, describe_image, has_labels,
    is_own_result, labels_folder, name_for_results, output_path, page_axes, page_count,
};
use unet_wgpu::{Error, Result};

/// A kind of result.
pub(super) type Save = &'static dyn Writer;

/// One image of a file, and where its results go.
pub(super) struct Job<'a> {
    pub input: &'a Path,
    pub page: usize,
    pub outputs: Vec<(Save, PathBuf)>,
    /// Where further results go, together with those of the file's other pages.
    stack: Option<Arc<Stacks>>,
}

/// Results of all pages of a file, in one file (of OME-Zarr: in one folder) for each kind.
struct Stacks {
    files: Vec<(Save, PathBuf, Stack)>,
    /// The files of single pages.
    of_pages: Vec<(Save, PathBuf)>,
    pages: usize,
    /// The first page that failed.
    failed: OnceLock<usize>,
    skipped: OnceLock<bool>,
}

/// The arguments that results are named after.
pub(super) struct Naming<'s> {
    pub out: Option<&'s Path>,
    pub save: &'s [Save],
    pub page: PageChoice,
    /// Whether an input was a folder of images.
    pub of_folder: bool,
}

impl Naming<'_> {
    /// Whether results of all pages are one of this kind.
    pub(super) fn stacks(&self, save: Save) -> bool {
        self.page == PageChoice::Stack && (is_tiff(save) || save.is_folder())
    }
}

fn is_tiff(save: Save) -> bool {
    save.extensions().contains(&"tif")
}

fn exists((save, path): &(Save, PathBuf)) -> bool {
    if save.is_folder() { has_labels(path) } else { path.is_file() }
}

impl Job<'_> {
    /// Kinds of results, and where each goes.
    pub(super) fn places(&self) -> Vec<(Save, Output)> {
        // A folder takes the pages of the same numbers as TIFF.
        let kind = |save: Save| <dyn Writer>::named("labels").filter(|_| save.is_folder()).unwrap_or(save);
        let stacked = self.stack.iter().flat_map(|s| &s.files).map(|(save, _, s)| (kind(*save), s.page(self.page)));
        self.outputs.iter().map(|(save, path)| (*save, Output::from(path))).chain(stacked).collect()
    }

    /// The files that exist once this image is done: with the last page also those of all pages.
    pub(super) fn written(&self) -> Vec<(Save, &Path)> {
        let last = self.stack.iter().filter(|s| self.page + 1 == s.pages).flat_map(|s| &s.files);
        let stacked = last.filter(|(.., stack)| stack.is_complete()).map(|(save, path, _)| (*save, path.as_path()));
        self.outputs.iter().map(|(save, path)| (*save, path.as_path())).chain(stacked).collect()
    }

    /// Its results, each by one image alone.
    fn results(&self) -> impl Iterator<Item = (Save, &Path)> {
        let first = self.stack.iter().filter(|_| self.page == 0).flat_map(|s| &s.files);
        let stacked = first.map(|(save, path, _)| (*save, path.as_path()));
        self.outputs.iter().map(|(save, path)| (*save, path.as_path())).chain(stacked)
    }

    /// Whether its results exist; of a stack, those of all pages.
    pub(super) fn is_done(&self) -> bool {
        match &self.stack {
            None => self.outputs.iter().all(exists),
            // Pages that are done meanwhile do not count.
            Some(s) => *s.skipped.get_or_init(|| {
                s.of_pages.iter().all(exists) && s.files.iter().all(|(k, p, _)| exists(&(*k, p.clone())))
            }),
        }
    }

    /// Tells its stack the image's calibration. Fails if the file's pages are of several sizes.
    pub(super) fn begin_stack(&self, calibration: &Calibration) -> Result<()> {
        let Some(stacks) = self.stack.as_ref().filter(|_| self.page == 0) else { return Ok(()) };
        stacks.files.iter().for_each(|(.., stack)| stack.calibrate(calibration.clone()));
        // An image whose labels cannot be extended is found before any work.
        for (save, path, _) in stacks.files.iter().filter(|(save, ..)| save.is_folder()) {
            save.sink(Output::from(path), calibration)?;
        }
        one_size(self.input)
    }

    /// Gives up the files of all pages, since one failed. Returns the page that failed before, if any.
    pub(super) fn fail(&self) -> Option<usize> {
        let stacks = self.stack.as_ref()?;
        stacks.files.iter().for_each(|(.., stack)| stack.abandon());
        let first = *stacks.failed.get_or_init(|| self.page);
        (first != self.page).then_some(first)
    }

    /// An error if an earlier page of its stack has failed.
    pub(super) fn check_stack(&self) -> Result<()> {
        match self.stack.as_ref().and_then(|s| s.failed.get()) {
            Some(&first) if first < self.page => Err(Error::file(self.input, "another page failed")),
            _ => Ok(()),
        }
    }

    fn check_own(&self) -> Result<()> {
        for (_, path) in self.results() {
            if (path.is_file() || path.is_dir()) && !is_own_result(path)? {
                return Err(Error::file(path, "exists and is no result of this program; --overwrite replaces it"));
            }
        }
        Ok(())
    }
}

/// Fails unless the pages of a file that is to be a stack are of one size, as far as its headers tell.
fn one_size(input: &Path) -> Result<()> {
    let Some(facts) = describe_image(input)? else { return Ok(()) };
    let sizes = facts.pages.iter().filter_map(|page| {
        let [w, h] = *page.levels.first()?;
        Some(if page.orientation >= 5 { [h, w] } else { [w, h] })
    });
    let sizes: Vec<[u64; 2]> = sizes.collect();
    let Some(([w, h], other)) = sizes.first().and_then(|first| Some((*first, sizes.iter().position(|s| s != first)?)))
    else {
        return Ok(());
    };
    let [w2, h2] = sizes.get(other).copied().unwrap_or_default();
    let reason = format!(
        "page 0 has {w}x{h} pixels, page {other} {w2}x{h2}: pages of a stack are of one size (--page all for files of single pages)"
    );
    Err(Error::file(input, reason))
}

/// The images of all files, one per page, with the paths of their results.
pub(super) fn jobs<'a>(inputs: &'a [PathBuf], naming: &Naming) -> Result<Vec<Job<'a>>> {
    // A file that cannot be read is reported when it is opened.
    let pages = |input: &PathBuf| match naming.page {
        PageChoice::One(page) => vec![page],
        PageChoice::All | PageChoice::Stack => (0..page_count(input).unwrap_or(1)).collect(),
    };
    let pages: Vec<Vec<usize>> = inputs.iter().map(pages).collect();
    let several = pages.iter().map(Vec::len).sum::<usize>() > 1 || naming.of_folder;
    let (together, single): (Vec<Save>, Vec<Save>) = naming.save.iter().copied().partition(|s| naming.stacks(*s));
    let mut all = Vec::new();
    for (input, pages) in inputs.iter().zip(pages) {
        let (named, count) = (name_for_results(input), pages.len());
        let of_page = |&page: &usize| -> Result<Vec<(Save, PathBuf)>> {
            let number = (count > 1).then_some(page);
            let named = with_number(&named, number);
            let path = |s: &Save| match s.is_folder() {
                true => Ok((*s, labels_folder(naming.out, input, &named, number, several)?)),
                false => Ok((*s, output_path(naming.out, &named, s.suffix(), s.extension(naming.out), several)?)),
            };
            single.iter().map(path).collect()
        };
        let outputs: Vec<_> = pages.iter().map(of_page).collect::<Result<_>>()?;
        let stack = match together.as_slice() {
            [] => None,
            kinds => {
                let axes = page_axes(input).ok().filter(|[a, b]| a.checked_mul(*b) == Some(count));
                let several = inputs.len() > 1 || naming.of_folder;
                let axes = axes.unwrap_or([count, 1]);
                let file = |s: &Save| match s.is_folder() {
                    true => {
                        let path = labels_folder(naming.out, input, &named, None, several)?;
                        Ok((*s, path.clone(), Stack::folder(path, axes)))
                    }
                    false => {
                        let path = stack_path(*s, naming.out, &named, several)?;
                        Ok((*s, path.clone(), Stack::new(path, axes)))
                    }
                };
                let files = kinds.iter().map(file).collect::<Result<_>>()?;
                let (failed, skipped) = Default::default();
                Some(Arc::new(Stacks { files, of_pages: outputs.concat(), pages: count, failed, skipped }))
            }
        };
        let job = |(page, outputs)| Job { input: input.as_path(), page, outputs, stack: stack.clone() };
        all.extend(pages.into_iter().zip(outputs).map(job));
    }
    Ok(all)
}

/// The part of the images that one of several processes takes. Pages of a stack stay together.
pub(super) fn part(jobs: Vec<Job>, shard: Shard) -> Vec<Job> {
    let mut groups: Vec<Vec<Job>> = Vec::new();
    for job in jobs {
        let joins = |last: &Job| last.stack.as_ref().zip(job.stack.as_ref()).is_some_and(|(a, b)| Arc::ptr_eq(a, b));
        match groups.last_mut().filter(|group| group.last().is_some_and(joins)) {
            Some(group) => group.push(job),
            None => groups.push(vec![job]),
        }
    }
    shard.of(groups).into_iter().flatten().collect()
}

/// Fails if results would be written twice, over an input, or where nothing can be written.
pub(super) fn check_results(jobs: &[Job], inputs: &[PathBuf]) -> Result<()> {
    let results = jobs.iter().flat_map(|job| job.results().map(|(_, path)| path.to_path_buf()).collect::<Vec<_>>());
    check_distinct(&results.collect::<Vec<_>>(), inputs)
}

/// Fails if a result could not be written, or, unless `overwrite`, would replace a file that is none of ours.
pub(super) fn check_places(jobs: &[Job], overwrite: bool, skips: impl Fn(&Job) -> bool) -> Result<()> {
    let writable = |(save, path): (Save, &Path)| match save.is_folder() {
        // It takes the place of an older one.
        true if path.is_dir() => check_writable(path.with_extension("tmp")),
        _ => check_writable(path),
    };
    jobs.iter().try_for_each(|job| job.results().try_for_each(writable))?;
    if overwrite { Ok(()) } else { jobs.iter().filter(|j| !skips(j)).try_for_each(Job::check_own) }
}

/// `cells_page3.tif` of `cells.tif`.
fn with_number(named: &Path, number: Option<usize>) -> PathBuf {
    let (Some(number), Some(stem)) = (number, named.file_stem()) else { return named.to_path_buf() };
    let mut name = stem.to_os_string();
    name.push(format!("_page{number}"));
    if let Some(extension) = named.extension() {
        name.push(".");
        name.push(extension);
    }
    named.with_file_name(name)
}

fn stack_path(save: Save, out: Option<&Path>, named: &Path, several: bool) -> Result<PathBuf> {
    let extension = match (save.extension(out), out) {
        ("png", Some(out)) if !several && out.extension().is_some_and(|e| e.eq_ignore_ascii_case("png")) => {
            return Err(Error::file(out, "the mask of a stack is a .tif file; give it a name that ends so"));
        }
        ("png", _) => "tif",
        (extension, _) => extension,
    };
    output_path(out, named, save.suffix(), extension, several)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stacks_are_named_after_their_image() {
        let of = |kind: &str, out: Option<&str>| {
            let save = <dyn Writer>::named(kind).unwrap();
            stack_path(save, out.map(Path::new), Path::new("in/cells.tif"), false)
        };
        assert_eq!(of("labels", None).unwrap(), Path::new("in/cells_labels.tif"));
        assert_eq!(of("mask", Some("no-such-folder")).unwrap(), Path::new("no-such-folder/cells_mask.tif"));
        assert_eq!(of("mask", Some("a/m.tiff")).unwrap(), Path::new("a/m.tiff"));
        assert_eq!(of("prob", Some("a/m.png")).unwrap(), Path::new("a/m_prob.tif"));
        assert!(of("mask", Some("a/m.png")).unwrap_err().to_string().contains("is a .tif file"));
        let kinds: Vec<&str> =
            unet_wgpu::low_level::infer::WRITERS.iter().filter(|w| is_tiff(**w)).map(|w| w.name()).collect();
        assert_eq!(kinds, ["mask", "prob", "labels"]);
    }

    #[test]
    fn pages_of_a_stack_stay_together() {
        let inputs = ["a", "b", "c"].map(PathBuf::from);
        let job = |(input, page): (usize, usize), stack: &Option<Arc<Stacks>>| Job {
            input: inputs[input].as_path(),
            page,
            outputs: Vec::new(),
            stack: stack.clone(),
        };
        let stacks = |pages| {
            let (failed, skipped) = Default::default();
            Some(Arc::new(Stacks { files: Vec::new(), of_pages: Vec::new(), pages, failed, skipped }))
        };
        let [a, b] = [stacks(3), stacks(2)];
        let all = || {
            let first = (0..3).map(|page| job((0, page), &a));
            first.chain((0..2).map(|page| job((1, page), &b))).chain([job((2, 0), &None)]).collect()
        };
        let of = |text: &str| -> Vec<(&Path, usize)> {
            part(all(), super::super::shard::shard(text).unwrap()).iter().map(|j| (j.input, j.page)).collect()
        };
        assert_eq!(of("1/2"), [(Path::new("a"), 0), (Path::new("a"), 1), (Path::new("a"), 2), (Path::new("c"), 0)]);
        assert_eq!(of("2/2"), [(Path::new("b"), 0), (Path::new("b"), 1)]);
    }
}
