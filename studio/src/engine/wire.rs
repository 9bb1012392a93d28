//! Messages between the page and its worker.

use super::{Event, Request, Work};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A change of the files in memory, which the page and the worker have both.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum FileChange {
    /// A new folder.
    Folder(PathBuf),
    /// A file with these bytes.
    Written(PathBuf, #[serde(with = "serde_bytes")] Vec<u8>),
    /// What is gone.
    Removed(PathBuf),
}

/// From the page to the worker.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ToWorker {
    Files(Vec<FileChange>),
    Request(Box<Request>),
    Stop(Work),
}

/// From the worker to the page.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ToPage {
    /// The worker takes requests; its device in one line.
    Ready(String),
    Files(Vec<FileChange>),
    Event(Event),
}

/// A message in bytes.
pub(super) fn encode(message: &impl Serialize) -> Result<Vec<u8>, String> {
    postcard::to_stdvec(message).map_err(|e| format!("a message cannot be sent: {e}"))
}

/// A message from bytes.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    postcard::from_bytes(bytes).map_err(|e| format!("a message cannot be read: {e}"))
}

#[cfg(test)]
mod tests {
    use super::super::*;
    use super::*;
    use std::sync::Arc;
    use unet_wgpu::low_level::infer::{Alpha, ChannelKind, Colour, InstanceMethod};
    use unet_wgpu::{Image, Pixels};

    fn job() -> SegmentJob {
        let mut settings = InstanceSettings::default();
        (settings.method, settings.threshold, settings.min_area) = (Some(InstanceMethod::Offsets), Some(0.1), Some(7));
        SegmentJob { path: "/a/b.png".into(), model: "nuclei".into(), settings, channels: Some(vec![3, 0]) }
    }

    #[test]
    fn requests_arrive_as_they_were_sent() {
        let (job, data) = (job(), PathBuf::from("/data"));
        let train = TrainJob {
            held_out: Some("/held".into()),
            channels: Some(vec![2]),
            ..TrainJob::new(data.clone(), vec!["background".into()], Some("nuclei".into()), "/out".into())
        };
        let requests = [
            Request::Load("/a b/ü.png".into()),
            Request::Thumbnail("/c.tif".into()),
            Request::Open("nuclei".into()),
            Request::Segment(job.clone()),
            Request::Decode(u64::MAX, job.clone()),
            Request::Export(job.clone(), vec!["mask".into()], "/out".into()),
            Request::Score(job.model.clone(), job.settings, data, Some(vec![1])),
            Request::Train(Box::new(train)),
        ];
        for request in requests {
            let sent = encode(&ToWorker::Request(Box::new(request.clone()))).unwrap();
            let ToWorker::Request(arrived) = decode(&sent).unwrap() else { panic!("another message") };
            assert_eq!(*arrived, request);
        }
    }

    #[test]
    fn events_arrive_with_every_bit() {
        let kind = ChannelKind { colour: Colour::Separate, alpha: Alpha::At(1) };
        let pixels = [Pixels::U8(vec![1, 2]), Pixels::U16(vec![1, 65535]), Pixels::F32(vec![f32::MAX, -0.0])];
        for pixels in pixels {
            let image = Image::new(1, 1, 2, pixels).unwrap().with_kind(kind).with_channel_names(vec!["dye".into()]);
            let (path, pixel_size, notes) = ("/a.tif".into(), Some([0.5, 0.25]), vec!["a note".into()]);
            let sent = ImageFile { path, image: Arc::new(image), pixel_size, notes };
            let bytes = encode(&ToPage::Event(Event::Loaded(Box::new(sent.clone())))).unwrap();
            let ToPage::Event(Event::Loaded(arrived)) = decode(&bytes).unwrap() else { panic!("another message") };
            assert_eq!((&arrived.image, &arrived.path, &arrived.notes), (&sent.image, &sent.path, &sent.notes));
            assert_eq!(arrived.pixel_size, sent.pixel_size);
        }
        // What is no number arrives as such: a loss that has become NaN is shown.
        let sent = encode(&ToPage::Event(Event::Step { step: 3, of: 9, loss: f32::NAN })).unwrap();
        let ToPage::Event(Event::Step { step: 3, of: 9, loss }) = decode(&sent).unwrap() else { panic!("another") };
        assert!(loss.is_nan());
    }

    #[test]
    fn half_a_message_is_an_error() {
        let sent = encode(&ToWorker::Request(Box::new(Request::Open("nuclei".into())))).unwrap();
        assert!(decode::<ToWorker>(&sent[..sent.len() - 1]).unwrap_err().contains("cannot be read"));
    }
}
