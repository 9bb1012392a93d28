//! The image at hand: its pixels, its labels under edit, predictions to compare.

use super::class_colours::ClassColours;
use crate::canvas::{CanvasImage, Colouring, Contrast, MapTiles, TileVersions};
use crate::engine::{ImageFile, Row, Segmented};
use crate::labels::{BACKGROUND, Edit, LabelMap, PasteMode, Rle};
use crate::project::OpenLabels;
use eframe::egui::Color32;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What the canvas knows a label map by: a key, and when its tiles changed.
struct Seen {
    key: u64,
    versions: TileVersions,
}

impl Seen {
    fn new(map: &LabelMap) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let mut versions = TileVersions::default();
        versions.note(map, &[]);
        Self { key: NEXT.fetch_add(1, Ordering::Relaxed), versions }
    }

    fn tiles<'a>(&'a self, map: &'a LabelMap) -> MapTiles<'a> {
        MapTiles { map, versions: &self.versions }
    }
}

/// A network's instances of the image.
pub(super) struct Prediction {
    pub(super) result: Arc<Segmented>,
    map: LabelMap,
    seen: Seen,
    colours: ClassColours,
}

impl Prediction {
    pub(super) fn new(result: Arc<Segmented>) -> Option<Self> {
        let [width, height] = result.size;
        let map = LabelMap::from_ids(width, height, &result.labels).ok()?;
        let seen = Seen::new(&map);
        Some(Self { result, map, seen, colours: ClassColours::default() })
    }

    /// What tells it from other label maps.
    pub(super) fn key(&self) -> u64 {
        self.seen.key
    }

    /// Its instances in the colours of their classes, if the model has several.
    pub(super) fn colouring(&mut self, colours: &[Color32]) -> Colouring {
        if self.result.classes.len() < 3 {
            return Colouring::Instances;
        }
        let class = |row: &Row| Some((row.id, u8::try_from(row.class).ok().filter(|&class| class > 1)?));
        let classes = self.result.rows.iter().filter_map(class).collect();
        let last = self.result.rows.iter().map(|row| row.id).max().unwrap_or(0);
        self.colours.of(classes, last, colours)
    }

    pub(super) fn tiles(&self) -> MapTiles<'_> {
        self.seen.tiles(&self.map)
    }
}

/// The image at hand.
pub(super) struct Document {
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) image: CanvasImage,
    pub(super) contrast: Option<Contrast>,
    /// Micrometres.
    pub(super) pixel_size: Option<f64>,
    pub(super) editor: OpenLabels,
    seen: Seen,
    colours: ClassColours,
    pub(super) prediction: Option<Prediction>,
    /// Another prediction, to compare with.
    pub(super) compare: Option<Prediction>,
    /// Instances of the labels that are chosen, the last one last.
    pub(super) selected: Vec<u32>,
}

impl Document {
    pub(super) fn new(name: String, file: ImageFile, editor: OpenLabels) -> Self {
        let seen = Seen::new(editor.labels().map());
        Self {
            name,
            path: file.path,
            image: CanvasImage::new(file.image),
            contrast: None,
            pixel_size: file.pixel_size.map(|[x, _]| x),
            editor,
            seen,
            colours: ClassColours::default(),
            prediction: None,
            compare: None,
            selected: Vec::new(),
        }
    }

    /// Notes what edits have changed, for the canvas.
    pub(super) fn refresh(&mut self) {
        let changed = self.editor.take_changed();
        self.seen.versions.note(self.editor.labels().map(), &changed);
    }

    /// What tells its labels from other label maps.
    pub(super) fn key(&self) -> u64 {
        self.seen.key
    }

    /// The labels in the colours of their classes.
    pub(super) fn colouring(&mut self, colours: &[Color32]) -> Colouring {
        let labels = self.editor.labels();
        self.colours.of(labels.class_table(), labels.counter(), colours)
    }

    /// The labels as the canvas reads them.
    pub(super) fn tiles(&self) -> MapTiles<'_> {
        self.seen.tiles(self.editor.labels().map())
    }

    /// The instance to paint on: the one chosen last.
    pub(super) fn active(&self) -> Option<u32> {
        self.selected.last().copied()
    }

    /// The prediction as an edit of the labels: all of it, or where nothing is labelled yet.
    pub(super) fn accepted(&self, mode: PasteMode) -> Option<Edit> {
        let result = &self.prediction.as_ref()?.result;
        let classes = result.rows.iter().filter(|row| row.class > 1);
        let classes = classes.filter_map(|row| Some((row.id, u8::try_from(row.class).ok()?))).collect();
        Some(Edit::Paste { at: [0, 0], size: result.size, ids: Rle::from_ids(&result.labels), classes, mode })
    }

    /// One predicted instance as an edit of the labels.
    pub(super) fn accepted_one(&self, id: u32) -> Option<Edit> {
        let prediction = self.prediction.as_ref()?;
        let ids: Vec<u32> = prediction.result.labels.iter().map(|&label| label * u32::from(label == id)).collect();
        // Everything else stays as it is.
        let ids: Vec<u32> =
            ids.into_iter().map(|label| if label == BACKGROUND { crate::labels::UNLABELLED } else { label }).collect();
        let row = prediction.result.rows.iter().find(|row| row.id == id)?;
        let classes = u8::try_from(row.class).ok().filter(|&class| class > 1).map(|class| (id, class));
        let size = prediction.result.size;
        Some(Edit::Paste {
            at: [0, 0],
            size,
            ids: Rle::from_ids(&ids),
            classes: classes.into_iter().collect(),
            mode: PasteMode::Replace,
        })
    }
}
