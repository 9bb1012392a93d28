//! Dispatches as they are recorded: what a pass is told lies together, in order.

use crate::gpu::Pipeline;
use std::sync::Arc;

/// A dispatch with what it binds.
#[derive(Debug)]
pub(crate) struct Command {
    pub pipeline: Arc<Pipeline>,
    pub group: wgpu::BindGroup,
    pub workgroups: [u32; 3],
}

/// A pass that commands are recorded into.
pub(crate) struct Recorder<'p, 'c> {
    pass: wgpu::ComputePass<'p>,
    /// The pipeline that is set, which need not be set again.
    set: Option<&'c Arc<Pipeline>>,
}

impl<'p, 'c> Recorder<'p, 'c> {
    pub(crate) fn new(pass: wgpu::ComputePass<'p>) -> Self {
        Self { pass, set: None }
    }

    pub(crate) fn record(&mut self, commands: &'c [Command]) {
        for Command { pipeline, group, workgroups: [x, y, z] } in commands {
            if !self.set.is_some_and(|set| Arc::ptr_eq(set, pipeline)) {
                self.pass.set_pipeline(&pipeline.pipeline);
                self.set = Some(pipeline);
            }
            self.pass.set_bind_group(0, group, &[]);
            self.pass.dispatch_workgroups(*x, *y, *z);
        }
    }
}
