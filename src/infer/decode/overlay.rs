//! A file with a few bytes replaced while it is read: the `tiff` crate reads directories of the main chain only, so others
//! are linked into it.

use std::fs::File;
use std::io::{BufReader, Read, Result, Seek, SeekFrom};

/// A file, read with some bytes replaced.
#[derive(Debug)]
pub(super) struct Overlay {
    file: BufReader<File>,
    at: u64,
    /// Where replaced bytes begin, and what they are.
    patches: Vec<(u64, Vec<u8>)>,
}

impl Overlay {
    /// The file as it is, which stands at its start.
    pub fn plain(file: BufReader<File>) -> Self {
        Self { file, at: 0, patches: Vec::new() }
    }

    /// From its start, with other bytes in places. Both share one position: use one at a time.
    pub fn with(&mut self, patches: Vec<(u64, Vec<u8>)>) -> Result<Self> {
        let mut file = BufReader::new(self.file.get_ref().try_clone()?);
        file.seek(SeekFrom::Start(0))?;
        Ok(Self { file, at: 0, patches })
    }
}

impl Read for Overlay {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        let count = self.file.read(out)?;
        let end = self.at + count as u64;
        for (start, bytes) in &self.patches {
            let (from, to) = ((*start).max(self.at), start.saturating_add(bytes.len() as u64).min(end));
            for at in from..to {
                let (to, from) = (out.get_mut((at - self.at) as usize), bytes.get((at - start) as usize));
                if let (Some(to), Some(from)) = (to, from) {
                    *to = *from;
                }
            }
        }
        self.at = end;
        Ok(count)
    }
}

impl Seek for Overlay {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        self.at = self.file.seek(to)?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn bytes_are_replaced_however_they_are_read() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&(0..20).collect::<Vec<u8>>()).unwrap();
        file.rewind().unwrap();
        let mut plain = Overlay::plain(BufReader::new(file));
        let mut over = plain.with(vec![(3, vec![103, 104]), (18, vec![118, 119, 120])]).unwrap();
        let want: Vec<u8> = (0..20).map(|i| if matches!(i, 3 | 4 | 18 | 19) { i + 100 } else { i }).collect();
        for step in 1..8 {
            over.rewind().unwrap();
            let (mut got, mut part) = (Vec::<u8>::new(), vec![0; step]);
            loop {
                let n = over.read(&mut part).unwrap();
                if n == 0 {
                    break;
                }
                got.extend(&part[..n]);
            }
            assert_eq!(got, want, "{step}");
        }
        assert_eq!(over.seek(SeekFrom::Start(4)).unwrap(), 4);
        let mut two = [0; 2];
        over.read_exact(&mut two).unwrap();
        assert_eq!(two, [104, 5]);
    }
}
