//! Loops over all cores with the feature `threads`, sequential loops without it: the same items in the same order.

#[cfg(feature = "threads")]
pub(crate) use rayon::{current_num_threads as threads, prelude::*};

#[cfg(not(feature = "threads"))]
pub(crate) use sequential::*;

#[cfg(not(feature = "threads"))]
mod sequential {
    /// Threads that loops run on.
    pub(crate) fn threads() -> usize {
        1
    }

    /// Rayon's slice methods in one thread.
    pub(crate) trait ParallelSlice<T> {
        fn par_iter(&self) -> std::slice::Iter<'_, T>;
        fn par_iter_mut(&mut self) -> std::slice::IterMut<'_, T>;
        fn par_chunks_mut(&mut self, size: usize) -> std::slice::ChunksMut<'_, T>;
    }

    impl<T> ParallelSlice<T> for [T] {
        fn par_iter(&self) -> std::slice::Iter<'_, T> {
            self.iter()
        }

        fn par_iter_mut(&mut self) -> std::slice::IterMut<'_, T> {
            self.iter_mut()
        }

        fn par_chunks_mut(&mut self, size: usize) -> std::slice::ChunksMut<'_, T> {
            self.chunks_mut(size)
        }
    }

    /// Rayon's iterators by value in one thread.
    pub(crate) trait IntoParallelIterator: IntoIterator + Sized {
        fn into_par_iter(self) -> Self::IntoIter {
            self.into_iter()
        }
    }

    impl<I: IntoIterator> IntoParallelIterator for I {}
}
