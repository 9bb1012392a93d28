//! The strips of a TIFF file as stored, for copying them into another file.

use std::io::{Read, Result, Seek, SeekFrom};

use super::directory::{Directories, damaged};
use super::tag;

/// A directory with its strips.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::low_level::infer) struct StoredPage {
    /// Columns and rows.
    pub size: [u32; 2],
    pub bits: u16,
    pub float: bool,
    /// Offset and length of every strip.
    pub strips: Vec<(u64, u64)>,
}

/// A file of deflate-compressed strips with a sample per pixel, in this machine's byte order, as results are.
pub(in crate::low_level::infer) struct StoredStrips<R> {
    file: Directories<R>,
    pub pages: Vec<StoredPage>,
}

impl<R: Read + Seek> StoredStrips<R> {
    pub(in crate::low_level::infer) fn open(reader: R) -> Result<Self> {
        let mut file = Directories::new(reader)?;
        let (mut pages, mut at) = (Vec::new(), file.header.first);
        while at != 0 {
            let directory = file.read(at)?;
            at = directory.next;
            let mut number = |tag| file.number(&directory, tag).unwrap_or_default();
            let size = [tag::WIDTH, tag::HEIGHT].map(|tag| number(tag) as u32);
            let bits = number(tag::BITS_PER_SAMPLE) as u16;
            let (float, deflate) = (number(tag::SAMPLE_FORMAT) == 3, number(tag::COMPRESSION) == 8);
            let mut list = |tag| file.unsigned(&directory, tag).map(Option::unwrap_or_default);
            let (offsets, lengths) = (list(tag::STRIP_OFFSETS)?, list(tag::STRIP_LENGTHS)?);
            if !deflate || offsets.is_empty() || offsets.len() != lengths.len() {
                return Err(damaged("no deflate-compressed strips"));
            }
            pages.push(StoredPage { size, bits, float, strips: offsets.into_iter().zip(lengths).collect() });
        }
        Ok(Self { file, pages })
    }

    /// The samples of a strip, decompressed.
    #[cfg(feature = "ome-zarr")]
    pub(in crate::low_level::infer) fn unpacked(&mut self, strip: (u64, u64), samples: &mut Vec<u8>) -> Result<()> {
        let mut packed = Vec::new();
        self.strip(strip, &mut packed)?;
        samples.clear();
        flate2::read::ZlibDecoder::new(&packed[..]).read_to_end(samples)?;
        Ok(())
    }

    /// The bytes of a strip.
    pub(in crate::low_level::infer) fn strip(
        &mut self,
        (offset, length): (u64, u64),
        bytes: &mut Vec<u8>,
    ) -> Result<()> {
        bytes.clear();
        let reader = self.file.inner();
        reader.seek(SeekFrom::Start(offset))?;
        match reader.take(length).read_to_end(bytes)? as u64 == length {
            true => Ok(()),
            false => Err(damaged("a strip is cut off")),
        }
    }
}
