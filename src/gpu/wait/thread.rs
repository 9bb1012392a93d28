//! The thread that polls the device for futures under an executor that cannot.

use super::oneshot::{Receiver, Sender, oneshot};
use std::sync::mpsc;

/// How a wait ended.
type Outcome = Result<(), String>;

/// Polls the device until a submission has finished.
pub(super) fn poll(device: &wgpu::Device, submission: wgpu::SubmissionIndex) -> Outcome {
    let poll = wgpu::PollType::Wait { submission_index: Some(submission), timeout: None };
    device.poll(poll).map(drop).map_err(|e| e.to_string())
}

struct Request {
    submission: wgpu::SubmissionIndex,
    done: Sender<Outcome>,
}

/// Hands submissions to the thread, which ends when this is dropped.
#[derive(Debug)]
pub(in super::super) struct Waiter {
    requests: mpsc::Sender<Request>,
}

impl Waiter {
    pub(crate) fn start(device: &wgpu::Device) -> Self {
        let (requests, received) = mpsc::channel::<Request>();
        let device = device.clone();
        let work = move || {
            for Request { submission, done } in received {
                done.send(poll(&device, submission));
            }
        };
        // Without a thread the requests are dropped, and their waits fail.
        if let Err(e) = std::thread::Builder::new().name("unet-wgpu".into()).spawn(work) {
            log::error!("cannot start the thread that waits for the device: {e}");
        }
        Self { requests }
    }

    pub(super) fn request(&self, submission: wgpu::SubmissionIndex) -> Receiver<Outcome> {
        let (done, receiver) = oneshot();
        // A request that cannot be sent is dropped, which ends the wait.
        let _ = self.requests.send(Request { submission, done });
        receiver
    }
}
