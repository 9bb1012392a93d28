//! Carries out an edit. What can fail does so before the first pixel changes.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::edit::{Edit, Over, PasteMode};
use super::error::EditError;
use super::recorder::Recorder;
use super::regions::Area;
use super::rle::Rle;
use super::shapes::{Capsule, Span, pixel_of, points, polygon_rows, polygon_spans};
use super::smooth::{REACH, grown};
use super::table::{DEFAULT_CLASS, Labels};
use super::{BACKGROUND, MAX_ID, Rect, TILE, UNLABELLED, is_instance};

/// A value to paint with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint {
    value: u32,
    over: Over,
    /// Class of the instance, if no pixel had the value before.
    class: Option<u8>,
}

impl Paint {
    pub fn new(labels: &Labels, value: u32, over: Over, class: Option<u8>) -> Result<Self, EditError> {
        check_value(value)?;
        if class == Some(0) {
            return Err(EditError::NoClass);
        }
        let class = class.filter(|_| is_instance(value) && !labels.contains(value));
        Ok(Self { value, over, class })
    }

    /// The new value of a pixel.
    fn on(&self, old: u32) -> u32 {
        let allowed = match self.over {
            Over::Everything => true,
            Over::OnlyUnlabelledAndBackground => !is_instance(old),
            Over::OnlyInstance(id) => old == id,
        };
        if allowed { self.value } else { old }
    }

    /// Notes the id, and the class of a new instance, once something is painted.
    fn finish(&self, labels: &mut Labels, recorder: &Recorder) {
        if recorder.has_pixels() {
            labels.used(self.value);
            if let Some(class) = self.class {
                labels.set_class(self.value, class);
            }
        }
    }
}

fn check_value(value: u32) -> Result<(), EditError> {
    if value <= MAX_ID || value == UNLABELLED { Ok(()) } else { Err(EditError::Value(value)) }
}

/// Radius of a brush of one pixel.
const SMALLEST_RADIUS: f32 = 0.5;

impl Labels {
    /// Carries out an edit.
    pub(super) fn apply(&mut self, recorder: &mut Recorder, edit: &Edit) -> Result<(), EditError> {
        match edit {
            Edit::Brush { points, radius, value, over, class } => {
                let paint = Paint::new(self, *value, *over, *class)?;
                let (points, radius) = brush(points, *radius)?;
                let starts = points.iter().take(1).chain(&points);
                for (&a, &b) in starts.zip(&points) {
                    self.brush(recorder, &paint, [a, b], radius);
                }
            }
            Edit::Polygon { points, value, over, class } => {
                let paint = Paint::new(self, *value, *over, *class)?;
                let corners = checked(points, "polygon", 3)?;
                let width = self.map.width();
                let rows = polygon_rows(&corners, self.map.height());
                self.paint(recorder, &paint, rows, |y| polygon_spans(&corners, y, width));
            }
            Edit::Fill { at, value, class } => {
                let paint = Paint::new(self, *value, Over::Everything, *class)?;
                self.map.get(at[0], at[1]).ok_or(EditError::Outside(*at))?;
                self.flood(recorder, *at, *value);
                paint.finish(self, recorder);
            }
            Edit::Split { id, line } => self.split(recorder, *id, line)?,
            Edit::Merge { ids } => self.merge(recorder, ids)?,
            Edit::Delete { id, to } => {
                if is_instance(*to) || check_value(*to).is_err() {
                    return Err(EditError::DeletedTo(*to));
                }
                self.bounds(*id)?;
                self.exchange(recorder, &[*id], *to);
            }
            Edit::SetClass { id, class } => {
                self.bounds(*id)?;
                if *class == 0 {
                    return Err(EditError::NoClass);
                }
                if self.class_of(*id) != *class {
                    recorder.touch_class(*id);
                    self.set_class(*id, *class);
                }
            }
            Edit::Paste { at, size, ids, classes, mode } => {
                ids.check(*size)?;
                if classes.iter().any(|c| c.1 == 0) {
                    return Err(EditError::NoClass);
                }
                let place = Rect::new(at[0].into(), at[1].into(), size[0], size[1]);
                self.paste(recorder, place, ids, classes, *mode)?;
            }
            Edit::FillHoles { id } => {
                let rect = self.bounds(*id)?;
                let holes = Area::read(self, rect).holes(*id);
                self.rewrite_rect(recorder, rect, |i, old| if holes[i] { *id } else { old });
            }
            Edit::Smooth { id } => {
                let rect = grown(self.bounds(*id)?, REACH, self.map.rect());
                let values = Area::read(self, rect).smoothed(*id).ok_or(EditError::TooThin(*id))?;
                self.rewrite_rect(recorder, rect, |i, _| values[i]);
            }
        }
        Ok(())
    }

    /// Moves a disc from one point to another.
    pub(super) fn brush(&mut self, recorder: &mut Recorder, paint: &Paint, [a, b]: [[f64; 2]; 2], radius: f64) {
        let [width, height] = [self.map.width(), self.map.height()];
        let shape = Capsule::new(a, b, radius);
        self.paint(recorder, paint, shape.rows(height), |y| shape.span(y, width).into_iter().collect());
        // A small disc may miss every pixel's centre.
        for [x, y] in [a, b].into_iter().filter_map(|p| pixel_of(p, [width, height])) {
            self.paint(recorder, paint, y..y + 1, |_| std::iter::once(x..x + 1).collect());
        }
    }

    /// Paints spans of rows.
    fn paint(&mut self, recorder: &mut Recorder, paint: &Paint, rows: Range<u32>, spans_of: impl Fn(u32) -> Vec<Span>) {
        let mut y = rows.start;
        while y < rows.end {
            let end = rows.end.min((y / TILE + 1) * TILE);
            let spans: Vec<(u32, Span)> = (y..end).flat_map(|y| spans_of(y).into_iter().map(move |s| (y, s))).collect();
            let (first, last) =
                spans.iter().fold((u32::MAX, 0), |(low, high), (_, s)| (low.min(s.start), high.max(s.end)));
            let reach = Rect::new(first.into(), y.into(), last.saturating_sub(first), end - y);
            for t in self.map.tiles_in(reach) {
                let place = self.map.place(t);
                let inside = spans.iter().filter_map(|(y, s)| {
                    let (x0, x1) = (s.start.max(place.x), s.end.min(place.x + place.width));
                    (x0 < x1).then_some((*y, x0, x1))
                });
                self.rewrite(recorder, t, inside, |_, _, old| paint.on(old));
            }
            y = end;
        }
        paint.finish(self, recorder);
    }

    /// Bounding box of an instance.
    fn bounds(&self, id: u32) -> Result<Rect, EditError> {
        self.instance(id).map(|i| i.bounds).ok_or(EditError::NoInstance(id))
    }

    /// Gives all pixels of some instances another value.
    fn exchange(&mut self, recorder: &mut Recorder, ids: &[u32], value: u32) {
        for t in 0..self.map.tiles.len() {
            if ids.iter().any(|&id| self.map.stat_in(t, id).is_some()) {
                self.map_tile(recorder, t, |old| if ids.contains(&old) { value } else { old });
            }
        }
        ids.iter().filter(|&&id| id != value).for_each(|&id| self.set_class(id, DEFAULT_CLASS));
    }

    fn merge(&mut self, recorder: &mut Recorder, ids: &[u32]) -> Result<(), EditError> {
        for &id in ids {
            self.bounds(id)?;
        }
        let others: BTreeSet<u32> = ids.iter().skip(1).copied().filter(|id| Some(id) != ids.first()).collect();
        let (Some(&first), false) = (ids.first(), others.is_empty()) else { return Err(EditError::NothingToMerge) };
        self.exchange(recorder, &others.into_iter().collect::<Vec<_>>(), first);
        Ok(())
    }

    fn split(&mut self, recorder: &mut Recorder, id: u32, line: &[[f32; 2]]) -> Result<(), EditError> {
        let rect = self.bounds(id)?;
        let line = checked(line, "line", 2)?;
        let (pieces, count) = Area::read(self, rect).divided(id, &line).ok_or(EditError::NotDivided(id))?;
        let new = self.fresh(count as usize - 1, &BTreeSet::new())?;
        let class = self.class_of(id);
        self.rewrite_rect(recorder, rect, |i, old| match pieces[i] {
            0 | 1 => old,
            piece => new[piece as usize - 2],
        });
        for id in new {
            self.used(id);
            self.set_class(id, class);
        }
        Ok(())
    }

    fn paste(
        &mut self,
        recorder: &mut Recorder,
        place: Rect,
        ids: &Rle,
        classes: &[(u32, u8)],
        mode: PasteMode,
    ) -> Result<(), EditError> {
        let whole = self.map.rect();
        let (x0, y0) = (place.x.max(0), place.y.max(0));
        let (x1, y1) = (place.right().min(whole.right()), place.bottom().min(whole.bottom()));
        if x0 >= x1 || y0 >= y1 {
            return Ok(());
        }
        let inside = Rect::new(x0, y0, (x1 - x0) as u32, (y1 - y0) as u32);
        let takes = |old: u32, new: u32| new != UNLABELLED && (mode == PasteMode::Replace || old == UNLABELLED);
        // Which ids arrive, and how many pixels each loses that is there.
        let (mut arriving, mut lost) = (BTreeSet::new(), BTreeMap::<u32, u64>::new());
        bands(place, inside, ids, |band, new| {
            let mut old = vec![UNLABELLED; new.len()];
            self.map.read(band, &mut old);
            let pairs: Vec<(u32, u32)> = old.into_iter().zip(new.iter().copied()).collect();
            for run in pairs.chunk_by(|a, b| a == b).filter(|run| takes(run[0].0, run[0].1)) {
                let (old, new) = run[0];
                if is_instance(new) {
                    arriving.insert(new);
                }
                if is_instance(old) {
                    *lost.entry(old).or_default() += run.len() as u64;
                }
            }
        });
        let present = self.map.all_stats();
        let stays = |id: &u32| present.get(id).is_some_and(|s| s.area > lost.get(id).copied().unwrap_or(0));
        let colliding: Vec<u32> = arriving.iter().copied().filter(stays).collect();
        let fresh = self.fresh(colliding.len(), &arriving)?;
        let renamed: BTreeMap<u32, u32> = colliding.into_iter().zip(fresh).collect();
        let name = |id: u32| renamed.get(&id).copied().unwrap_or(id);
        bands(place, inside, ids, |band, new| {
            let mut new = new.to_vec();
            for run in new.chunk_by_mut(|a, b| a == b) {
                run.fill(name(run[0]));
            }
            self.rewrite_rect(recorder, band, |i, old| if takes(old, new[i]) { new[i] } else { old });
        });
        let classes: BTreeMap<u32, u8> = classes.iter().copied().collect();
        for id in arriving {
            self.used(name(id));
            self.set_class(name(id), classes.get(&id).copied().unwrap_or(DEFAULT_CLASS));
        }
        Ok(())
    }
}

/// Reads the part `inside` of encoded pixels, in bands of rows.
fn bands(place: Rect, inside: Rect, ids: &Rle, mut each: impl FnMut(Rect, &[u32])) {
    let mut reader = ids.reader();
    let (left, right) = ((inside.x - place.x) as u64, (place.right() - inside.right()) as u64);
    reader.skip((inside.y - place.y) as u64 * u64::from(place.width));
    let mut y = inside.y;
    while y < inside.bottom() {
        let rows = (i64::from(TILE) - y % i64::from(TILE)).min(inside.bottom() - y) as u32;
        let mut values = vec![BACKGROUND; inside.width as usize * rows as usize];
        for row in values.chunks_exact_mut(inside.width as usize) {
            reader.skip(left);
            reader.read(row);
            reader.skip(right);
        }
        each(Rect::new(inside.x, y, inside.width, rows), &values);
        y += i64::from(rows);
    }
}

fn checked(of: &[[f32; 2]], shape: &'static str, least: usize) -> Result<Vec<[f64; 2]>, EditError> {
    if of.len() < least {
        return Err(EditError::TooFewPoints { shape, least });
    }
    points(of).ok_or(EditError::NotFinite)
}

/// The points and the radius of a brush.
pub(super) fn brush(of: &[[f32; 2]], radius: f32) -> Result<(Vec<[f64; 2]>, f64), EditError> {
    if !radius.is_finite() {
        return Err(EditError::NotFinite);
    }
    Ok((checked(of, "stroke", 1)?, f64::from(radius.max(SMALLEST_RADIUS))))
}
