//! Ground ground truth of a pair: class ids and instances.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Once;

use super::dataset::Pair;
use crate::error::{Error, Hint, Message, Result};
use crate::infer::{Image, LabelMap, LabelOptions, orientation_of};

/// What white is in masks of two classes.
const WHITE: [u32; 2] = [255, 65535];

/// What an image shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroundTruth {
    /// Class ids; those from the number of classes on are to be ignored.
    pub classes: LabelMap,
    /// Single instances, if the data set has `labels/`.
    pub instances: Option<LabelMap>,
}

impl GroundTruth {
    /// Reads the ground truth of a pair: `classes` classes, background first, but for pixels of `options.ignore`, which are left out.
    ///
    /// Masks and labels are turned as their own orientation tags say, unless `options` say otherwise.
    ///
    /// With two classes masks may also be of 0 and 255 or of 0 and 65535 (unless those are to be ignored), and without a mask
    /// the instances are the foreground. Fails on a class that does not exist, on maps of different sizes, and on files that
    /// hold no labels.
    pub fn read(pair: &Pair, classes: usize, options: &LabelOptions) -> Result<Self> {
        // A number for every instance has nothing to do with a table of classes.
        let numbers = LabelOptions { colours: Default::default(), ..options.clone() };
        let instances = |path| match LabelMap::open_with(path, &numbers) {
            Err(Error::File { path, reason }) if !options.colours.is_empty() => {
                let reason = reason.then("; it is read as instances, for which `colours` does not count");
                Err(Error::File { path, reason })
            }
            map => map,
        };
        let instances = pair.labels.as_ref().map(instances).transpose()?;
        let negative = options.ignore.is_some_and(|i| i < 0);
        let left_out = ignored_as(classes);
        let maps = match (&pair.mask, instances) {
            (Some(path), instances) => {
                (class_ids(path, LabelMap::open_with(path, options)?, classes, options)?, instances)
            }
            (None, Some(instances)) if classes == 2 => {
                let unknown = |l: u32| negative && l == LabelMap::IGNORED;
                let foreground = |l: u32| if unknown(l) { left_out } else { u32::from(l > 0) };
                (instances.map(foreground), Some(instances))
            }
            (None, Some(_)) => {
                let path = pair.labels.as_deref().unwrap_or(&pair.image);
                let reason = Message::from(format!(
                    "labels say which pixels are instances, not of which of {classes} classes; add masks/, or say that they \
                     are classes: ground_truth = \"classes\" ("
                ));
                let reason = reason.then(Hint::GroundTruthClasses).then(")");
                return Err(Error::file(path, reason));
            }
            (None, None) => return Err(Error::file(&pair.image, "has neither mask nor labels")),
        };
        let (classes, mut instances) = maps;
        if let (Some(instances), Some(labels), Some(mask)) = (&instances, &pair.labels, &pair.mask) {
            check_size(labels, instances, mask, [classes.width(), classes.height()])?;
        }
        if negative {
            instances = instances.map(|o| o.map(|l| if l == LabelMap::IGNORED { 0 } else { l }));
        }
        Ok(Self { classes, instances })
    }

    /// [`Self::read`], and fails unless it has the size of its image.
    pub fn read_for(image: &Image, pair: &Pair, classes: usize, options: &LabelOptions) -> Result<Self> {
        let ground_truth = Self::read(pair, classes, options)?;
        let path = pair.mask.as_ref().or(pair.labels.as_ref()).unwrap_or(&pair.image);
        check_size(path, &ground_truth.classes, &pair.image, [image.width(), image.height()])?;
        Ok(ground_truth)
    }
}

/// The id that pixels have which do not count: one that is no class.
fn ignored_as(classes: usize) -> u32 {
    u32::try_from(classes).unwrap_or(u32::MAX).max(255)
}

fn check_size(path: &Path, map: &LabelMap, other: &Path, [width, height]: [usize; 2]) -> Result<()> {
    if [map.width(), map.height()] == [width, height] {
        return Ok(());
    }
    let own = format!("{}x{}", map.width(), map.height());
    // A mask drawn over stored rows does not fit an image that its tag turns.
    let tagged = |path: &Path| orientation_of(&path.into()).is_ok_and(|o| o.transpose);
    let hint = match [map.height(), map.width()] == [width, height] && (tagged(path) != tagged(other)) {
        true => Message::from("; only one of the two has an orientation tag that turns it: ")
            .then(Hint::IgnoreOrientation)
            .then(" leaves both as they are stored"),
        false => Message::default(),
    };
    let reason = Message::from(format!("has {own} pixels, but {} has {width}x{height}", other.display()));
    Err(Error::file(path, reason.then(hint)))
}

/// The class ids of a mask, checked.
fn class_ids(path: &Path, mask: LabelMap, classes: usize, options: &LabelOptions) -> Result<LabelMap> {
    static NOTE: Once = Once::new();
    let ignored = options.ignored();
    let white = WHITE.into_iter().find(|&w| w == mask.largest() && ignored != Some(w));
    if let Some(white) = white.filter(|&w| classes == 2 && mask.labels().iter().all(|&l| l == 0 || l == w)) {
        NOTE.call_once(|| log::info!("{}: 0 and {white} are read as classes 0 and 1, in all masks", path.display()));
        return Ok(mask.map(|l| l / white));
    }
    let exists = |label: u32| (label as usize) < classes || Some(label) == ignored;
    match mask.labels().iter().position(|&label| !exists(label)) {
        // Also where the class would exist: it was said not to count.
        None => Ok(mask.map(|l| if Some(l) == ignored { ignored_as(classes) } else { l })),
        Some(i) => Err(Error::file(path, no_class(&mask, i, classes, ignored))),
    }
}

/// That the class of pixel `i` does not exist, and what may be meant.
fn no_class(mask: &LabelMap, i: usize, classes: usize, ignored: Option<u32>) -> String {
    let (label, x, y) = (mask.labels()[i], i % mask.width(), i / mask.width());
    let also = if classes == 2 { ", or only 0 and 255" } else { "" };
    let last = classes.saturating_sub(1);
    let exists = |l: u32| (l as usize) < classes || Some(l) == ignored;
    let unknown: BTreeSet<u32> = mask.labels().iter().copied().filter(|&l| !exists(l)).collect();
    let known: BTreeSet<u32> = mask.labels().iter().copied().filter(|&l| exists(l) && l > 0).collect();
    let hint = match unknown.first() {
        _ if unknown.len() > 64 => {
            "; so many numbers are of instances, not of classes: ground_truth = \"instances\"".into()
        }
        Some(white) if unknown.len() == 1 && WHITE.contains(white) && ignored != Some(*white) => match known.is_empty()
        {
            true => format!(
                "; the mask is black and white, of two classes, not {classes}; if {white} marks pixels that do not count: ignore = {white}"
            ),
            false => format!("; if {white} marks pixels that do not count: ignore = {white}"),
        },
        _ => String::new(),
    };
    format!("class {label} at column {x}, row {y}; there are {classes}: 0 to {last}{also}{hint}")
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/fixtures/labels").join(name)
    }

    fn pair(mask: Option<&str>, labels: Option<&str>) -> Pair {
        let [mask, labels] = [mask, labels].map(|name| name.map(fixture));
        Pair { name: "a".into(), image: "a.png".into(), mask, labels }
    }

    fn ignoring(id: i64) -> LabelOptions {
        LabelOptions { ignore: Some(id), ..LabelOptions::default() }
    }

    fn sum(map: &LabelMap) -> u32 {
        map.labels().iter().sum()
    }

    #[test]
    fn two_classes_may_be_black_and_white() {
        // 13 pixels are foreground: by numpy, from the arrays that the files were made of.
        for name in ["bool.tif", "bool.npy", "onebit.png", "onebit.tif", "grey.bmp", "grey16.png", "miniswhite8.tif"] {
            let ground_truth = GroundTruth::read(&pair(Some(name), None), 2, &LabelOptions::default()).unwrap();
            assert_eq!((sum(&ground_truth.classes), ground_truth.classes.largest()), (13, 1), "{name}");
        }
        let e = GroundTruth::read(&pair(Some("grey16.png"), None), 2, &ignoring(65535)).unwrap();
        assert_eq!(e.classes.labels().iter().filter(|&&l| l == 255).count(), 13, "they do not count");
        let e =
            GroundTruth::read(&pair(Some("grey16.png"), None), 3, &LabelOptions::default()).unwrap_err().to_string();
        assert!(e.contains("class 65535 at column 1, row 1; there are 3: 0 to 2; the mask is black and white"), "{e}");
    }

    #[test]
    fn what_is_to_be_ignored_is_no_class() {
        let read = |pair, classes, ignore| GroundTruth::read(&pair, classes, &ignoring(ignore)).unwrap();
        let mask = read(pair(Some("minus_one.tif"), None), 4, -1);
        assert_eq!((mask.classes.labels()[2], mask.classes.labels()[0]), (255, 0));
        // A class that exists is none either if it is said so.
        let mask = read(pair(Some("fortran.npy"), None), 4, 0);
        assert_eq!((mask.classes.labels()[0], mask.classes.labels()[10]), (255, 1));
        let alone = read(pair(None, Some("minus_one.tif")), 2, -1);
        assert_eq!((alone.classes.labels()[2], alone.classes.labels()[10]), (255, 1));
        assert_eq!(
            (alone.instances.unwrap().labels()[2], read(pair(None, Some("int16.npy")), 2, -1).classes.labels()[2]),
            (0, 0)
        );
        let e =
            GroundTruth::read(&pair(Some("minus_one.tif"), None), 4, &LabelOptions::default()).unwrap_err().to_string();
        assert!(e.contains("the value -1 at column 2, row 0"), "{e}");
    }

    #[test]
    fn instances_in_colour_have_no_table() {
        let options = LabelOptions { colours: "#000=0,#f00=1".parse().unwrap(), ..LabelOptions::default() };
        let e = GroundTruth::read(&pair(None, Some("rgb.png")), 2, &options).unwrap_err().to_string();
        assert!(e.contains("holds 4 colours") && e.ends_with("for which `colours` does not count"), "{e}");
    }
}
