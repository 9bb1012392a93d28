//! Ops that are gradients of others: each beside the kernels of its own, written down by the forward op's
//! [`Op::backward`](super::Op::backward).

mod activation;
mod batch_norm;
mod channels;
mod conv_weight;
mod flip;
mod global_max_pool;
mod max_pool2d;
mod resize;
mod softmax;

pub use activation::ActivationGrad;
pub use batch_norm::BatchNorm2dGrad;
pub use channels::{ChannelSlice, ChannelSum};
pub use conv_weight::{ConvWeightGrad, WeightSource};
pub use flip::FlipWeights;
pub use global_max_pool::GlobalMaxPoolGrad;
pub use max_pool2d::MaxPool2dGrad;
pub use resize::ResizeGrad;
pub use softmax::SoftmaxGrad;

use super::OpCase;

pub(super) fn cases() -> Vec<OpCase> {
    let all = [
        activation::cases(),
        batch_norm::cases(),
        channels::cases(),
        conv_weight::cases(),
        flip::cases(),
        global_max_pool::cases(),
        max_pool2d::cases(),
        resize::cases(),
        softmax::cases(),
    ];
    all.into_iter().flatten().collect()
}
