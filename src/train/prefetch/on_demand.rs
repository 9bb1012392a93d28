//! Items without threads.

use std::fmt;
use std::ops::Range;

use crate::error::Result;

type Make<T> = dyn Fn(u64) -> Result<T>;

/// Items made when they are taken, in order. An error is the last item.
pub struct Prefetch<T> {
    items: Range<u64>,
    make: Box<Make<T>>,
}

impl<T> fmt::Debug for Prefetch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prefetch").field("items", &self.items).finish_non_exhaustive()
    }
}

impl<T> Prefetch<T> {
    /// Makes the items of these numbers. How many ahead, and on how many threads, is of no account here.
    pub fn new(_: [usize; 2], items: Range<u64>, make: impl Fn(u64) -> Result<T> + 'static) -> Result<Self> {
        Ok(Self { items, make: Box::new(make) })
    }
}

impl<T> Iterator for Prefetch<T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Result<T>> {
        let item = (self.make)(self.items.next()?);
        if item.is_err() {
            self.items = 0..0;
        }
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn items_come_in_order_until_an_error() {
        let make = |i| if i == 9 { Err(Error::Cancelled) } else { Ok(i) };
        let got: Vec<_> = Prefetch::new([3, 1], 7..20, make).unwrap().collect();
        assert!(matches!(got[..], [Ok(7), Ok(8), Err(Error::Cancelled)]), "{got:?}");
        assert_eq!(Prefetch::new([3, 1], 3..3, Ok).unwrap().count(), 0);
    }
}
