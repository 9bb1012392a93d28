//! Waiting for the device is a future that any executor can run: here a minimal single-threaded one. Needs a GPU.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;
use unet_wgpu::low_level::gpu::{Gpu, block_on};
use unet_wgpu::low_level::graph::Graph;
use unet_wgpu::low_level::ops::{Conv2d, ExportNchw, Function, ImportNchw, Unary};
use unet_wgpu::low_level::plan::Plan;
use unet_wgpu::low_level::session::{Backend, Session};
use unet_wgpu::low_level::tensor::{HostTensor, Shape, TensorDesc};
use unet_wgpu::testing::{gpu_or_skip, random_input, random_parameter};
use unet_wgpu::{Error, Result};

const SHAPE: Shape = Shape::new(1, 16, 96, 96);
/// Enough for several submissions on a software device.
const LAYERS: usize = 24;

fn graph() -> Graph {
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::linear(SHAPE));
    let mut y = graph.node("import", ImportNchw, &[x]).unwrap();
    for i in 0..LAYERS {
        let w = graph.parameter(format!("{i}.weight"), &[48, if i == 0 { 16 } else { 48 }, 3, 3]).unwrap();
        y = graph.node(format!("conv{i}"), Conv2d::new(48, 3, 1), &[y, w]).unwrap();
        y = graph.node(format!("relu{i}"), Unary { kind: Function::Relu }, &[y]).unwrap();
    }
    let y = graph.node("export", ExportNchw, &[y]).unwrap();
    graph.output("y", y);
    graph
}

fn plan(gpu: &Gpu) -> Plan {
    Plan::new(&graph(), gpu.target()).unwrap()
}

type Tensors = BTreeMap<String, HostTensor>;

fn input(number: usize) -> Tensors {
    BTreeMap::from([("x".to_string(), random_input(&format!("x{number}"), SHAPE).unwrap())])
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs futures concurrently on this thread until all are ready; also returns how often one was pending.
fn join<T>(futures: Vec<impl Future<Output = T>>) -> (Vec<T>, usize) {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut cx = Context::from_waker(&waker);
    let mut futures: Vec<Pin<Box<_>>> = futures.into_iter().map(Box::pin).collect();
    let mut done: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    let mut waits = 0;
    loop {
        for (future, done) in futures.iter_mut().zip(&mut done).filter(|f| f.1.is_none()) {
            match future.as_mut().poll(&mut cx) {
                Poll::Ready(value) => *done = Some(value),
                Poll::Pending => waits += 1,
            }
        }
        if done.iter().all(Option::is_some) {
            return (done.into_iter().flatten().collect(), waits);
        }
        let before = std::time::Instant::now();
        std::thread::park_timeout(Duration::from_secs(120));
        assert!(before.elapsed() < Duration::from_secs(120), "the executor was not woken");
    }
}

fn once<T>(future: Pin<&mut impl Future<Output = T>>) -> Poll<T> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn sessions_joined_on_one_thread_match_blocking_calls() {
    let Some(gpu) = gpu_or_skip() else { return };
    let expected: Vec<Tensors> =
        (0..3).map(|i| Session::new(&gpu, plan(&gpu), random_parameter).unwrap().run_all(&input(i)).unwrap()).collect();
    assert_ne!(expected[0], expected[1]);
    let job = async |i: usize| -> Result<Tensors> {
        let mut session = Session::new_async(&gpu, plan(&gpu), random_parameter).await?;
        session.warm_up_async().await?;
        session.run_all_async(&input(i)).await
    };
    let (got, waits) = join((0..3).map(job).collect());
    let got: Vec<Tensors> = got.into_iter().map(Result::unwrap).collect();
    assert!(got == expected, "results differ from those of blocking calls");
    assert!(waits > 0, "the executor's thread was blocked");
}

#[test]
fn a_device_can_be_opened_and_used_without_blocking() {
    if gpu_or_skip().is_none() {
        return;
    }
    let name = std::env::var("UNET_DEVICE").unwrap_or_else(|_| "auto".into());
    let job = async {
        let backend = Backend::open_async(&name).await?;
        backend.run_async(&graph(), &input(0), random_parameter).await
    };
    let (got, _) = join(vec![job]);
    let expected = Backend::open(&name).unwrap().run(&graph(), &input(0), random_parameter).unwrap();
    assert!(got.into_iter().next().unwrap().unwrap() == expected);
}

#[test]
fn queued_runs_arrive_in_order() {
    let Some(gpu) = gpu_or_skip() else { return };
    let mut session = Session::new(&gpu, plan(&gpu), random_parameter).unwrap();
    let expected: Vec<Vec<f32>> =
        (0..3).map(|i| session.run_all(&input(i)).unwrap().remove("y").unwrap().into_data()).collect();
    let job = async {
        let mut pending = Vec::new();
        for i in 0..3 {
            session.write("x", input(i)["x"].data())?;
            pending.push(session.start_async("y").await?);
        }
        let mut got = Vec::new();
        for p in pending {
            got.push(session.finish_async(p).await?);
        }
        Ok::<_, Error>(got)
    };
    let (got, _) = join(vec![job]);
    assert!(got.into_iter().next().unwrap().unwrap() == expected);
}

#[test]
fn runs_with_a_pace_are_the_same_bytes_in_more_submissions() {
    let Some(gpu) = gpu_or_skip() else { return };
    let mut plain = Session::new(&gpu, plan(&gpu), random_parameter).unwrap();
    let mut paced = Session::new(&gpu.with_pace(Some(Duration::from_millis(2))), plan(&gpu), random_parameter).unwrap();
    let of = paced.plan().dispatches.len();
    // A run that is cancelled leaves times that are known in part.
    let stop = |done, _| if done == 3 { Err(Error::Cancelled) } else { Ok(()) };
    assert!(matches!(paced.run_with(stop), Err(Error::Cancelled)));
    let mut parts = Vec::new();
    for i in 0..3 {
        let (x, mut count) = (input(i), 0);
        for session in [&mut plain, &mut paced] {
            session.write("x", x["x"].data()).unwrap();
        }
        plain.run().unwrap();
        paced
            .run_with(|done, all| {
                count += usize::from(done < all);
                assert_eq!(all, of);
                Ok(())
            })
            .unwrap();
        assert!(plain.read("y").unwrap() == paced.read("y").unwrap(), "run {i} differs");
        parts.push(count);
        let pending = paced.start("y").unwrap();
        assert!(paced.finish(pending).unwrap() == plain.read("y").unwrap().into_data(), "queued run {i} differs");
    }
    assert!(parts[0] <= of && parts[2] > 1, "{parts:?} parts of {of} dispatches");
}

#[test]
fn futures_that_are_dropped_leave_a_usable_session() {
    let Some(gpu) = gpu_or_skip() else { return };
    let mut session = Session::new(&gpu, plan(&gpu), random_parameter).unwrap();
    let expected = session.run_all(&input(0)).unwrap();
    {
        let mut run = std::pin::pin!(session.run_async());
        assert!(once(run.as_mut()).is_pending());
    }
    assert!(session.run_all(&input(0)).unwrap() == expected);
    {
        // A copy may already be done.
        let mut read = std::pin::pin!(session.read_async("y"));
        let _ = once(read.as_mut());
    }
    assert!(session.read("y").unwrap() == expected["y"]);
    // A blocking call may finish what an executor began.
    let other = input(1);
    let mut run = Box::pin(session.run_all_async(&other));
    assert!(once(run.as_mut()).is_pending());
    let got = block_on(run).unwrap();
    assert!(got == session.run_all(&input(1)).unwrap());
}

#[test]
fn progress_cancels_a_future() {
    let Some(gpu) = gpu_or_skip() else { return };
    let mut session = Session::new(&gpu, plan(&gpu), random_parameter).unwrap();
    let expected = session.run_all(&input(0)).unwrap();
    let cancel = |done: usize, _: usize| if done == 1 { Err(Error::Cancelled) } else { Ok(()) };
    let (got, _) = join(vec![session.run_with_async(cancel)]);
    assert!(matches!(got[..], [Err(Error::Cancelled)]));
    assert!(session.run_all(&input(0)).unwrap() == expected);
}

#[test]
fn a_lost_device_ends_a_future() {
    if gpu_or_skip().is_none() {
        return;
    }
    let choice = std::env::var("UNET_DEVICE").unwrap_or_default().parse().unwrap_or_default();
    let gpu = Gpu::new(&choice).unwrap();
    let mut session = Session::new(&gpu, plan(&gpu), random_parameter).unwrap();
    gpu.device().destroy();
    let (got, _) = join(vec![session.run_async()]);
    assert!(got[0].is_err());
}

#[test]
fn futures_may_move_to_another_thread() {
    fn send<T: Send>(_: &T) {}
    let Some(gpu) = gpu_or_skip() else { return };
    let mut session = Session::new(&gpu, plan(&gpu), random_parameter).unwrap();
    send(&Session::new_async(&gpu, plan(&gpu), random_parameter));
    send(&session.run_async());
    send(&session.read_async("y"));
    let (backend, graph, input) = (Backend::Gpu(gpu), graph(), input(0));
    send(&backend.run_async(&graph, &input, random_parameter));
    let choice = unet_wgpu::low_level::gpu::DeviceChoice::Auto;
    send(&Gpu::new_async(&choice));
}
