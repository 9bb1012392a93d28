//! Images of `unet segment` in turn: the next are opened and the last are written on other threads, while the network runs.
//!
//! The memory for both is bounded, and there is none while an image takes several tiles, or half of the memory for the network.

use super::segment_group::{OpenJob, Segmented, Work, about, progress_bar};
use super::segment_jobs::Job;
use super::segment_report::{Done, Report, Reports};
use super::{Common, output};
use rayon::Scope;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;
use unet_wgpu::low_level::infer::Segmenter;
use unet_wgpu::{Error, Result};

/// Images that are open ahead take at most the memory divided by this, and so do results that are not written yet.
const SHARE: u64 = 16;

/// An image that is being opened.
struct Opening<'a> {
    index: usize,
    opened: Receiver<Result<OpenJob<'a>>>,
}

/// The images of a run on their way.
pub(super) struct Pipeline<'p, 'scope, 'r, 'a> {
    pub scope: &'p Scope<'scope>,
    pub common: &'a Common,
    pub work: &'a Work<'a>,
    pub jobs: &'a [Job<'a>],
    pub reports: &'r Reports<'a>,
    /// Bytes of results that are not written yet.
    pub unwritten: &'r AtomicU64,
    ahead: VecDeque<Opening<'a>>,
    /// The first image that is neither open nor being opened.
    unopened: usize,
    /// Whether the last image has left memory for others.
    roomy: bool,
    /// The place in the reports of the next image.
    turn: usize,
}

impl<'p, 'scope, 'r: 'scope, 'a: 'scope> Pipeline<'p, 'scope, 'r, 'a> {
    pub(super) fn new(
        scope: &'p Scope<'scope>,
        common: &'a Common,
        (work, jobs): (&'a Work<'a>, &'a [Job<'a>]),
        reports: &'r Reports<'a>,
        unwritten: &'r AtomicU64,
    ) -> Self {
        let ahead = VecDeque::new();
        Self { scope, common, work, jobs, reports, unwritten, ahead, unopened: 0, roomy: false, turn: 0 }
    }

    /// An image whose results exist.
    pub(super) fn skip(&mut self, input: &'a Path) {
        self.report(Report::Skipped(input));
    }

    /// An image that cannot be opened or segmented.
    pub(super) fn fail(&mut self, job: &'a Job<'a>, e: Error) {
        self.report(failure(job, e));
    }

    fn report(&mut self, report: Report<'a>) {
        self.reports.submit(self.turn, report);
        self.turn += 1;
    }

    /// The image at `index`, and begins to open some of those after it that are not to be skipped.
    pub(super) fn open(&mut self, index: usize, skips: impl Fn(&Job) -> bool) -> Result<OpenJob<'a>> {
        let (work, jobs) = (self.work, self.jobs);
        self.unopened = self.unopened.max(index + 1);
        // Skipped meanwhile.
        while self.ahead.front().is_some_and(|opening| opening.index < index) {
            self.ahead.pop_front();
        }
        let this = self.ahead.front().is_some_and(|opening| opening.index == index);
        let opening = if this { self.ahead.pop_front() } else { None };
        let depth = if self.roomy { 2 * rayon::current_num_threads() } else { 0 };
        while self.ahead.len() < depth && self.unopened < jobs.len() {
            let (index, limit) = (self.unopened, work.memory / SHARE / depth as u64);
            self.unopened += 1;
            if skips(&jobs[index]) {
                continue;
            }
            let (sender, opened) = channel();
            self.ahead.push_back(Opening { index, opened });
            self.scope.spawn(move |_| {
                // Without a receiver the run has ended.
                let _ = sender.send(work.open(&jobs[index], index + 1, limit));
            });
        }
        // What failed, maybe for the smaller limit, is tried again in its turn.
        match opening.map(|opening| opening.opened.recv()) {
            Some(Ok(Ok(opened))) => Ok(opened),
            _ => work.open(&jobs[index], index + 1, work.memory),
        }
    }

    /// Segments the queued images as a batch and writes the results of each. Returns false once the run must end.
    pub(super) fn run(&mut self, segmenter: &mut Segmenter, group: &mut Vec<OpenJob<'a>>) -> bool {
        let group = std::mem::take(group);
        let Some(first) = group.first() else { return !self.reports.ended() };
        let start = Instant::now();
        let bar = progress_bar(self.common, first.job.input, first.number, self.jobs.len());
        self.reports.draw(&bar);
        let count = group.len();
        let limit = match self.roomy && self.jobs.len() > 1 {
            true => (self.work.memory / SHARE).saturating_sub(self.unwritten.load(Ordering::Acquire)) / count as u64,
            false => 0,
        };
        let results = self.work.segment(segmenter, group, limit, |done| bar.set_position((done * 1000.0) as u64));
        bar.finish_and_clear();
        let ms = output::ms(start) / count as f64;
        let mut going = true;
        for (segmented, result) in results {
            let Segmented { opened, held } = segmented;
            let (job, input, ms) = (opened.job, opened.job.input, opened.opening + ms);
            let in_stack = |result| job.check_stack().map(|()| result);
            let result = match result.map_err(|e| about(input, e)).and_then(in_stack) {
                Ok(result) => result,
                Err(e) => {
                    going &= !matches!(e, Error::DeviceLost(_) | Error::Cancelled);
                    self.fail(opened.job, e);
                    continue;
                }
            };
            let device_bytes = segmenter.device_bytes();
            self.roomy = result.tiles == [1, 1] && device_bytes <= self.work.memory / 2;
            let done = move |ms| {
                let OpenJob { job, pixel, scale, instances, .. } = opened;
                let instances = instances.and_then(|found| found());
                Report::Done(Box::new(Done { job, pixel, scale, instances, result, ms, device_bytes }))
            };
            let Some(rows) = held.take() else {
                self.report(done(ms));
                continue;
            };
            let (turn, reports, unwritten, bytes) = (self.turn, self.reports, self.unwritten, rows.bytes());
            self.turn += 1;
            unwritten.fetch_add(bytes, Ordering::AcqRel);
            self.scope.spawn(move |_| {
                let start = Instant::now();
                let written = rows.write();
                unwritten.fetch_sub(bytes, Ordering::AcqRel);
                reports.submit(
                    turn,
                    match written.and_then(|()| job.check_stack()) {
                        Ok(()) => done(ms + output::ms(start)),
                        Err(e) => failure(job, about(input, e)),
                    },
                );
            });
        }
        going && !self.reports.ended()
    }
}

/// What is reported of a failure. Without a page there is no stack, so its other pages are left out.
fn failure<'a>(job: &'a Job<'a>, e: Error) -> Report<'a> {
    match (job.fail(), &e) {
        // These end the run.
        (_, Error::DeviceLost(_) | Error::Cancelled) | (None, _) => Report::Failed(job.input, e),
        (Some(first), _) => Report::LeftOut(job, first),
    }
}
