//! Everything below the public root: the parts that the engine is made of.
//!
//! **Unstable.** These modules are public so that renderers, other front ends and the curious can reach every level: graphs,
//! kernels, plans, sessions, decoders, training steps. Their names and signatures follow the engine's needs and may change
//! in any release; what stands at the [root](crate) does not, within a version. A new architecture, a graph of one's own, or
//! a session in an application's encoder starts here.

#[path = "frame/mod.rs"]
pub mod frame;
#[path = "gpu/mod.rs"]
pub mod gpu;
#[path = "graph/mod.rs"]
pub mod graph;
#[path = "infer/mod.rs"]
pub mod infer;
#[path = "io/mod.rs"]
pub mod io;
#[path = "kernel/mod.rs"]
pub mod kernel;
#[path = "model/mod.rs"]
pub mod model;
#[path = "names.rs"]
pub mod names;
#[path = "onnx/mod.rs"]
pub mod onnx;
#[path = "ops/mod.rs"]
pub mod ops;
#[path = "plan/mod.rs"]
pub mod plan;
#[path = "session/mod.rs"]
pub mod session;
#[path = "tensor/mod.rs"]
pub mod tensor;
#[path = "train/mod.rs"]
pub mod train;
#[path = "tune/mod.rs"]
pub mod tune;
#[path = "weights/mod.rs"]
pub mod weights;
