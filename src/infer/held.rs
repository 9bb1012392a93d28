//! The rows of an image, held for sinks that run later and on another thread: the network goes on with the next image meanwhile.

use std::sync::{Arc, Mutex, PoisonError};

use super::band::{Band, BandInfo, BandSink, Needs, OwnedBand};
use crate::error::{Error, Result};

/// Stands in for the sinks of an image. If all that they are to receive fits in a number of bytes, it is held until
/// [`HeldRows::write`]; else it goes to the sinks at once.
pub struct HoldSink {
    rows: HeldRows,
    limit: u64,
    direct: bool,
    held: Held,
}

/// What a [`HoldSink`] holds once the image is segmented.
#[derive(Clone, Default)]
pub struct Held(Arc<Mutex<Option<HeldRows>>>);

/// All rows of an image, and the sinks that are to receive them.
pub struct HeldRows {
    sinks: Vec<Box<dyn BandSink>>,
    info: Option<BandInfo>,
    bands: Vec<HeldBand>,
    bytes: u64,
}

struct HeldBand {
    band: OwnedBand,
    /// Whether these are rows as the network computes them, of an image that is resized.
    network: bool,
}

impl HeldBand {
    fn give(&self, sink: &mut dyn BandSink) -> Result<()> {
        let band = self.band.band();
        if self.network { sink.network_band(&band) } else { sink.band(&band) }
    }
}

impl HoldSink {
    /// Holds at most `limit` bytes for these sinks.
    pub fn new(sinks: Vec<Box<dyn BandSink>>, limit: u64) -> Self {
        let rows = HeldRows { sinks, info: None, bands: Vec::new(), bytes: 0 };
        Self { rows, limit, direct: false, held: Held::default() }
    }

    /// What is held in the end. Get it before handing over the sink.
    pub fn held(&self) -> Held {
        self.held.clone()
    }

    /// Bytes of all that the sinks receive of an image.
    fn bytes(&self, info: &BandInfo) -> u64 {
        let needs = self.needs();
        let ids = if info.classes.len() > 256 { 2 } else { 1 };
        let values = 4 * info.values(needs);
        // A sample has at most four bytes.
        let samples = if needs.pixels { 4 * info.channels } else { 0 };
        let pixels = |height: usize, width: usize| (height as u64).saturating_mul(width as u64);
        let own = pixels(info.height, info.width).saturating_mul((ids + values + samples) as u64);
        let network = info.network.map_or(0, |[h, w]| pixels(h, w).saturating_mul((ids + values) as u64));
        own.saturating_add(network)
    }

    fn take(&mut self, band: &Band, network: bool) -> Result<()> {
        if self.direct {
            let give = |sink: &mut Box<dyn BandSink>| if network { sink.network_band(band) } else { sink.band(band) };
            return self.rows.sinks.iter_mut().try_for_each(give);
        }
        self.rows.bands.push(HeldBand { band: band.into(), network });
        Ok(())
    }
}

impl BandSink for HoldSink {
    fn needs(&self) -> Needs {
        self.rows.sinks.iter().fold(Needs::default(), |needs, sink| needs.or(sink.needs()))
    }

    fn start(&mut self, info: &BandInfo) -> Result<()> {
        self.rows.bands.clear();
        self.rows.bytes = self.bytes(info);
        self.direct = self.rows.bytes > self.limit;
        if self.direct {
            return self.rows.sinks.iter_mut().try_for_each(|sink| sink.start(info));
        }
        self.rows.info = Some(info.clone());
        Ok(())
    }

    fn band(&mut self, band: &Band) -> Result<()> {
        self.take(band, false)
    }

    fn network_band(&mut self, band: &Band) -> Result<()> {
        self.take(band, true)
    }

    fn finish(self: Box<Self>) -> Result<()> {
        let Self { rows, direct, held, .. } = *self;
        if direct {
            return rows.sinks.into_iter().try_for_each(|sink| sink.finish());
        }
        *held.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(rows);
        Ok(())
    }
}

impl Held {
    /// The rows; nothing if they were too many, and the sinks have them already.
    pub fn take(&self) -> Option<HeldRows> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl HeldRows {
    /// Bytes that are held.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Gives the rows to the sinks and finishes these.
    pub fn write(self) -> Result<()> {
        let Self { mut sinks, info, bands, .. } = self;
        let Some(info) = info else { return Err(Error::invalid("sink", "rows are written before the start")) };
        sinks.iter_mut().try_for_each(|sink| sink.start(&info))?;
        for band in bands {
            sinks.iter_mut().try_for_each(|sink| band.give(&mut **sink))?;
        }
        sinks.into_iter().try_for_each(|sink| sink.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infer::image::{Image, Pixels};
    use crate::infer::mask::Ids;

    type Calls = Arc<Mutex<Vec<String>>>;

    struct Recorder(Calls, &'static str);

    impl Recorder {
        fn add(&self, what: String) {
            self.0.lock().unwrap().push(format!("{} {what}", self.1));
        }
    }

    impl BandSink for Recorder {
        fn needs(&self) -> Needs {
            Needs { probabilities: true, pixels: true, ..Needs::default() }
        }

        fn start(&mut self, info: &BandInfo) -> Result<()> {
            self.add(format!("start {}x{}", info.width, info.height));
            Ok(())
        }

        fn band(&mut self, band: &Band) -> Result<()> {
            self.add(format!("band {band:?}"));
            Ok(())
        }

        fn network_band(&mut self, band: &Band) -> Result<()> {
            self.add(format!("network {band:?}"));
            Ok(())
        }

        fn finish(self: Box<Self>) -> Result<()> {
            self.add("finish".into());
            Ok(())
        }
    }

    fn info() -> BandInfo {
        let classes = vec!["background".into(), "cell".into()];
        let network = Some([2, 1]);
        BandInfo { width: 2, height: 2, channels: 1, classes, planes: 2, geometry: 0, contrast: None, network }
    }

    /// An image of two bands, and the rows of the network, as a segmenter gives them; started twice, as after an overflow of f16.
    fn run(mut sink: Box<dyn BandSink>) {
        let image = Image::new(2, 1, 1, Pixels::U8(vec![3, 4])).unwrap();
        let (classes, small) = (Ids::U8(vec![1, 0]), Ids::U8(vec![1, 0]));
        let (planes, other) = (vec![0.1, 0.9, 0.8, 0.2], vec![0.5; 4]);
        let full = |first: usize, planes| {
            let (classes, probabilities, pixels) = (&classes, Some(planes), Some(&image));
            Band { first, height: 1, width: 2, classes, probabilities, geometry: None, pixels }
        };
        let network = || {
            let (probabilities, pixels) = (Some(&other[..]), None);
            Band { first: 0, height: 2, width: 1, classes: &small, probabilities, geometry: None, pixels }
        };
        sink.start(&info()).unwrap();
        sink.band(&full(0, &other)).unwrap();
        sink.start(&info()).unwrap();
        sink.network_band(&network()).unwrap();
        sink.band(&full(0, &planes)).unwrap();
        sink.band(&full(1, &other)).unwrap();
        sink.finish().unwrap();
    }

    fn recorded(limit: u64) -> (Vec<String>, Vec<String>, Option<u64>) {
        let calls = Calls::default();
        let sinks: Vec<Box<dyn BandSink>> =
            vec![Box::new(Recorder(calls.clone(), "a")), Box::new(Recorder(calls.clone(), "b"))];
        let sink = HoldSink::new(sinks, limit);
        let held = sink.held();
        run(Box::new(sink));
        let before = calls.lock().unwrap().clone();
        let rows = held.take();
        let bytes = rows.as_ref().map(HeldRows::bytes);
        rows.into_iter().for_each(|rows| rows.write().unwrap());
        assert!(held.take().is_none(), "taken once");
        let all = calls.lock().unwrap().clone();
        (before, all, bytes)
    }

    #[test]
    fn held_rows_reach_the_sinks_as_direct_ones_do() {
        // 4 pixels of 1 + 8 + 4 bytes, 2 of the network of 1 + 8.
        let bytes = 4 * 13 + 2 * 9;
        let (before, direct, held) = recorded(bytes - 1);
        assert_eq!((before.len(), held), (direct.len(), None), "too many to hold");
        assert!(direct.iter().any(|call| call.starts_with("b network")));
        let (before, later, held) = recorded(bytes);
        assert_eq!((before.len(), held), (0, Some(bytes)));
        // What came before the second start is void.
        let second = direct.iter().skip(2).position(|call| call.starts_with("a start")).unwrap() + 2;
        assert_eq!(later, direct[second..]);
    }

    #[test]
    fn a_sink_that_fails_fails_the_write() {
        struct Full;
        impl BandSink for Full {
            fn start(&mut self, _: &BandInfo) -> Result<()> {
                Ok(())
            }
            fn band(&mut self, _: &Band) -> Result<()> {
                Err(Error::file("a.png", "the disk is full"))
            }
            fn finish(self: Box<Self>) -> Result<()> {
                Ok(())
            }
        }
        let sink = HoldSink::new(vec![Box::new(Full)], u64::MAX);
        let held = sink.held();
        run(Box::new(sink));
        assert_eq!(held.take().unwrap().write().unwrap_err().to_string(), "a.png: the disk is full");
    }
}
