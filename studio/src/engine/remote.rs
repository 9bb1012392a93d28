//! The page's end of the worker.

use super::wire::{ToPage, ToWorker, decode, encode};
use super::{Event, Failure, Request, Work};
use crate::platform::{self, mirror};
use js_sys::{Array, Uint8Array};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender, channel};
use unet_wgpu::Gpu;
use wasm_bindgen::prelude::*;
use web_sys::{MessageEvent, Worker, WorkerOptions, WorkerType};

/// What works for the window.
pub struct Engine {
    link: Rc<Link>,
    sender: Sender<Event>,
    events: Receiver<Event>,
    /// They end with the engine.
    _callbacks: [Closure<dyn FnMut(JsValue)>; 2],
}

struct Link {
    worker: Worker,
    /// Messages for a worker that has not started yet.
    waiting: RefCell<Option<Vec<ToWorker>>>,
    device: RefCell<String>,
}

impl Link {
    fn post(&self, message: &ToWorker) -> Result<(), String> {
        let bytes = Uint8Array::from(&encode(message)?[..]);
        let sent = self.worker.post_message_with_transfer(&bytes, &Array::of1(&bytes.buffer()));
        sent.map_err(|e| platform::text(&e))
    }

    /// Sends a message once the worker listens, after the files as they are now.
    fn send(&self, message: ToWorker) -> Result<(), String> {
        if let Some(waiting) = &mut *self.waiting.borrow_mut() {
            waiting.push(message);
            return Ok(());
        }
        let files = mirror::changes();
        if !files.is_empty() {
            self.post(&ToWorker::Files(files))?;
        }
        self.post(&message)
    }

    fn begin(&self, device: String) -> Result<(), String> {
        *self.device.borrow_mut() = device;
        let waiting = self.waiting.take().unwrap_or_default();
        waiting.into_iter().try_for_each(|message| self.send(message))
    }
}

impl Engine {
    /// Starts the worker, which opens a device of its own. `wake` is called whenever there is an event.
    pub fn start(_: &Gpu, wake: impl Fn() + 'static) -> Result<Self, String> {
        let options = WorkerOptions::new();
        options.set_type(WorkerType::Module);
        let worker = Worker::new_with_options(&platform::worker(), &options).map_err(|e| platform::text(&e))?;
        let link =
            Rc::new(Link { worker, waiting: RefCell::new(Some(Vec::new())), device: RefCell::new("starting".into()) });
        let (sender, events) = channel();
        let (to, at) = (sender.clone(), link.clone());
        let message = Closure::<dyn FnMut(JsValue)>::new(move |event: JsValue| {
            let data = event.unchecked_into::<MessageEvent>().data();
            if let Some(text) = data.as_string() {
                return platform::failed(&text);
            }
            let outcome = decode(&Uint8Array::from(data).to_vec()).and_then(|message| match message {
                ToPage::Ready(device) => at.begin(device),
                ToPage::Files(changes) => mirror::apply(changes),
                // Without a receiver the page is closed.
                ToPage::Event(event) => to.send(event).map_err(|e| e.to_string()),
            });
            outcome.unwrap_or_else(|e| platform::failed(&e));
            wake();
        });
        let failed = Closure::<dyn FnMut(JsValue)>::new(move |event: JsValue| {
            let reason = event.dyn_ref::<web_sys::ErrorEvent>().map(web_sys::ErrorEvent::message);
            platform::failed(&format!(
                "the worker has ended: {}",
                reason.unwrap_or_else(|| "its script did not load".into())
            ));
        });
        link.worker.set_onmessage(Some(message.as_ref().unchecked_ref()));
        link.worker.set_onerror(Some(failed.as_ref().unchecked_ref()));
        Ok(Self { link, sender, events, _callbacks: [message, failed] })
    }

    fn post(&self, message: ToWorker, of: Work) {
        if let Err(error) = self.link.send(message) {
            let failure = Failure { what: "the worker".into(), error, cancelled: false, of };
            // The receiver is in the same place.
            let _ = self.sender.send(Event::Failed(failure));
        }
    }

    /// Queues a request.
    pub fn send(&self, request: Request) {
        let of = request.work();
        self.post(ToWorker::Request(Box::new(request)), of);
    }

    /// The events since the last call.
    pub fn events(&self) -> Vec<Event> {
        self.events.try_iter().collect()
    }

    /// Stops the work on images that is under way.
    pub fn cancel(&self) {
        self.post(ToWorker::Stop(Work::Images), Work::Images);
    }

    /// Stops training after the step at hand; what is trained so far is kept.
    pub fn stop_training(&self) {
        self.post(ToWorker::Stop(Work::Training), Work::Training);
    }

    /// The worker's device in one line.
    pub fn device(&self) -> String {
        self.link.device.borrow().clone()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.link.worker.terminate();
    }
}
