//! Ops that compute gradients of other ops with kernels of their own. [`Op::backward`](super::Op::backward) of the
//! forward op adds them to the graph. Gradients that build on their forward op are modules of it.

mod activation;
mod batch_norm;
mod channels;
mod conv_weight;
mod conv_weight_lanes;
mod conv_weight_plain;
mod conv_weight_winograd;
mod flip;
mod global_max_pool;
mod instance_norm;
mod softmax;

pub use activation::ActivationGrad;
pub use batch_norm::{BatchNorm2dGrad, BatchStatistics};
pub use channels::{ChannelSlice, ChannelSum};
pub use conv_weight::{ConvWeightGrad, Corner};
pub use conv_weight_plain::ConvWeightGradPlain;
pub use flip::FlipWeights;
pub use global_max_pool::GlobalMaxPoolGrad;
pub use instance_norm::InstanceNorm2dGrad;
pub use softmax::SoftmaxGrad;

use super::OpCase;

pub(super) fn cases() -> Vec<OpCase> {
    let all = [
        activation::cases(),
        batch_norm::cases(),
        channels::cases(),
        conv_weight::cases(),
        conv_weight_plain::cases(),
        flip::cases(),
        global_max_pool::cases(),
        instance_norm::cases(),
        softmax::cases(),
    ];
    all.into_iter().flatten().collect()
}
