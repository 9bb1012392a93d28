//! Ground truth of a pair: class ids and instances.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Once;

use super::dataset::Pair;
use crate::error::{Error, Hint, Message, Result};
use crate::infer::{Image, LabelMap, LabelOptions, orientation_of};

/// White in black-and-white masks of two classes.
const WHITE: [u32; 2] = [255, 65535];

/// Ground truth of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroundTruth {
    /// Class ids; ids not below the number of classes are ignored.
    pub classes: LabelMap,
    /// Instance numbers, if the data set has `labels/`.
    pub instances: Option<LabelMap>,
}

impl GroundTruth {
    /// Reads the ground truth of a pair: `classes` classes, background first. Pixels of `options.ignore` do not count.
    ///
    /// Masks and labels are oriented by their own orientation tags, unless `options` ignore those.
    ///
    /// With two classes, masks may also hold 0 and 255 or 0 and 65535 (unless that value is ignored), and without a
    /// mask the instances are the foreground. Errors on a class that does not exist, on maps of different sizes, and on
    /// files that hold no labels.
    pub fn read(pair: &Pair, classes: usize, options: &LabelOptions) -> Result<Self> {
        let Self { classes, instances } = Self::read_known(pair, classes, options)?;
        let known = |map: LabelMap| match options.ignore {
            Some(..0) => map.map(|l| if l == LabelMap::IGNORED { 0 } else { l }),
            _ => map,
        };
        Ok(Self { classes, instances: instances.map(known) })
    }

    /// [`Self::read`], in which instances keep [`LabelMap::IGNORED`] where a negative `options.ignore` stands.
    fn read_known(pair: &Pair, classes: usize, options: &LabelOptions) -> Result<Self> {
        // Instance numbers have no colour table.
        let numbers = LabelOptions { colours: Default::default(), ..options.clone() };
        let instances = |path| match LabelMap::open_with(path, &numbers) {
            Err(Error::File { path, reason }) if !options.colours.is_empty() => {
                let reason = reason.then("; it is read as instances, to which `colours` does not apply");
                Err(Error::File { path, reason })
            }
            map => map,
        };
        let instances = pair.labels.as_ref().map(instances).transpose()?;
        let negative = options.ignore.is_some_and(|i| i < 0);
        let ignore_id = ignore_id_of(classes);
        let maps = match (&pair.mask, instances) {
            (Some(path), instances) => {
                (class_ids(path, LabelMap::open_with(path, options)?, classes, options)?, instances)
            }
            (None, Some(instances)) if classes == 2 => {
                let unknown = |l: u32| negative && l == LabelMap::IGNORED;
                let foreground = |l: u32| if unknown(l) { ignore_id } else { u32::from(l > 0) };
                (instances.map(foreground), Some(instances))
            }
            (None, Some(_)) => {
                let path = pair.labels.as_deref().unwrap_or(&pair.image);
                let reason = Message::from(format!(
                    "labels number instances without telling which of {classes} classes each is; add masks/, or if they \
                     hold class ids, set ground_truth = \"classes\" ("
                ));
                let reason = reason.then(Hint::GroundTruthClasses).then(")");
                return Err(Error::file(path, reason));
            }
            (None, None) => return Err(Error::file(&pair.image, "has neither mask nor labels")),
        };
        let (classes, instances) = maps;
        if let (Some(instances), Some(labels), Some(mask)) = (&instances, &pair.labels, &pair.mask) {
            check_size(labels, instances, mask, [classes.width(), classes.height()])?;
        }
        Ok(Self { classes, instances })
    }

    /// [`Self::read`]; errors unless the ground truth has the size of its image.
    pub fn read_for(image: &Image, pair: &Pair, classes: usize, options: &LabelOptions) -> Result<Self> {
        Self::read(pair, classes, options)?.fitting(image, pair)
    }

    /// [`Self::read_for`] for training on instances: where a pixel does not count, its instance is [`LabelMap::IGNORED`].
    pub(super) fn read_known_for(image: &Image, pair: &Pair, classes: usize, options: &LabelOptions) -> Result<Self> {
        let mut read = Self::read_known(pair, classes, options)?.fitting(image, pair)?;
        let ids = read.classes.labels();
        let mut at = 0;
        read.instances = read.instances.map(|map| {
            map.map(|l| {
                at += 1;
                if ids[at - 1] as usize >= classes { LabelMap::IGNORED } else { l }
            })
        });
        Ok(read)
    }

    /// Errors unless the ground truth has the size of its image.
    fn fitting(self, image: &Image, pair: &Pair) -> Result<Self> {
        let path = pair.mask.as_ref().or(pair.labels.as_ref()).unwrap_or(&pair.image);
        check_size(path, &self.classes, &pair.image, [image.width(), image.height()])?;
        Ok(self)
    }
}

/// The id of ignored pixels: one that is not a class.
pub(super) fn ignore_id_of(classes: usize) -> u32 {
    u32::try_from(classes).unwrap_or(u32::MAX).max(255)
}

fn check_size(path: &Path, map: &LabelMap, other: &Path, [width, height]: [usize; 2]) -> Result<()> {
    if [map.width(), map.height()] == [width, height] {
        return Ok(());
    }
    let own = format!("{}x{}", map.width(), map.height());
    // A mask drawn over stored rows does not fit an image that its tag rotates.
    let tagged = |path: &Path| orientation_of(&path.into()).is_ok_and(|o| o.transpose);
    let hint = match [map.height(), map.width()] == [width, height] && (tagged(path) != tagged(other)) {
        true => Message::from("; only one of the two has an orientation tag that rotates it: ")
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
        // The ignore index applies even if the class exists.
        None => Ok(mask.map(|l| if Some(l) == ignored { ignore_id_of(classes) } else { l })),
        Some(i) => Err(Error::file(path, no_class(&mask, i, classes, ignored))),
    }
}

/// Message that the class of pixel `i` does not exist, with a hint.
fn no_class(mask: &LabelMap, i: usize, classes: usize, ignored: Option<u32>) -> String {
    let (label, x, y) = (mask.labels()[i], i % mask.width(), i / mask.width());
    let also = if classes == 2 { ", or only 0 and 255" } else { "" };
    let last = classes.saturating_sub(1);
    let exists = |l: u32| (l as usize) < classes || Some(l) == ignored;
    let unknown: BTreeSet<u32> = mask.labels().iter().copied().filter(|&l| !exists(l)).collect();
    let known: BTreeSet<u32> = mask.labels().iter().copied().filter(|&l| exists(l) && l > 0).collect();
    let hint = match unknown.first() {
        _ if unknown.len() > 64 => {
            "; so many values suggest instances, not classes: ground_truth = \"instances\"".into()
        }
        Some(white) if unknown.len() == 1 && WHITE.contains(white) && ignored != Some(*white) => match known.is_empty()
        {
            true => format!(
                "; the mask is black and white, of two classes, not {classes}; if {white} marks pixels to ignore: ignore = {white}"
            ),
            false => format!("; if {white} marks pixels to ignore: ignore = {white}"),
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
        // 13 foreground pixels: counted by numpy in the arrays that the files were made from.
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
    fn ignored_pixels_have_no_class() {
        let read = |pair, classes, ignore| GroundTruth::read(&pair, classes, &ignoring(ignore)).unwrap();
        let mask = read(pair(Some("minus_one.tif"), None), 4, -1);
        assert_eq!((mask.classes.labels()[2], mask.classes.labels()[0]), (255, 0));
        // An existing class can be ignored too.
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
        assert!(e.contains("holds 4 colours") && e.ends_with("to which `colours` does not apply"), "{e}");
    }
}
