//! Memory for activations, shared by sessions that never run at the same time.

use crate::error::Result;
use crate::gpu::Gpu;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Device memory for activations that several sessions share. The caller makes sure that their runs do not overlap in an encoder
/// or between submissions; frames that share one check it. It grows to what the largest session needs, so the one prepared
/// first should be the largest: memory that is outgrown stays with the sessions that have it.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    buffers: Mutex<Vec<wgpu::Buffer>>,
    /// The user whose run is recorded in part; 0 if there is none.
    user: AtomicU64,
}

impl Scratch {
    /// Buffers of at least these sizes, all different ones.
    pub(super) fn take(&self, gpu: &Gpu, sizes: &[u64]) -> Result<Vec<wgpu::Buffer>> {
        let mut known = self.inner.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        known.sort_by_key(wgpu::Buffer::size);
        let mut free: Vec<bool> = vec![true; known.len()];
        let mut largest_first: Vec<usize> = (0..sizes.len()).collect();
        largest_first.sort_by_key(|&i| std::cmp::Reverse(sizes[i]));
        let mut taken: Vec<(usize, wgpu::Buffer)> = Vec::with_capacity(sizes.len());
        let mut new = Vec::new();
        for i in largest_first {
            // The smallest that is large enough.
            let fits = (0..known.len()).find(|&k| free[k] && known[k].size() >= sizes[i]);
            let buffer = match fits {
                Some(k) => {
                    free[k] = false;
                    known[k].clone()
                }
                None => {
                    // It replaces the largest that is too small.
                    let outgrown = (0..known.len()).rev().find(|&k| free[k]);
                    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
                    let buffer = gpu.buffer("scratch", sizes[i], usage)?;
                    match outgrown {
                        Some(k) => {
                            free[k] = false;
                            known[k] = buffer.clone();
                        }
                        None => new.push(buffer.clone()),
                    }
                    buffer
                }
            };
            taken.push((i, buffer));
        }
        known.append(&mut new);
        taken.sort_by_key(|t| t.0);
        Ok(taken.into_iter().map(|t| t.1).collect())
    }

    /// Bytes of device memory, without what is outgrown.
    pub fn device_bytes(&self) -> u64 {
        self.inner.buffers.lock().unwrap_or_else(PoisonError::into_inner).iter().map(wgpu::Buffer::size).sum()
    }

    /// Begins the run of a user, by a number other than 0; `false` if another one's is recorded in part.
    pub(crate) fn acquire(&self, user: u64) -> bool {
        match self.inner.user.compare_exchange(0, user, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => true,
            Err(current) => current == user,
        }
    }

    /// Ends the run of a user, if it is its.
    pub(crate) fn release(&self, user: u64) {
        // Another one's run goes on.
        let _ = self.inner.user.compare_exchange(user, 0, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Fills it with a word, for tests: no result may depend on what it holds.
    #[doc(hidden)]
    pub fn fill(&self, gpu: &Gpu, word: u32) {
        for buffer in self.inner.buffers.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let words = vec![word; buffer.size() as usize / 4];
            gpu.queue().write_buffer(buffer, 0, bytemuck::cast_slice(&words));
        }
    }
}
