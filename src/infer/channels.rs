//! Conversion of an image's channels to a network's input channels.

use std::borrow::Cow;

use super::channel_kind::{Alpha, ChannelKind, Colour};
use super::image::{Image, Pixels};
use super::source::{SourceInfo, list_channels};
use crate::error::{Error, Hint, Message, Result};

impl Image {
    /// Converts to the number of channels of a network, see [`ChannelMap::of`].
    pub fn to_channels(&self, requested: usize) -> Result<Cow<'_, Self>> {
        ChannelMap::of(&SourceInfo::of(self), self.channel_names(), requested)?.apply(self)
    }
}

/// Weights of red, green and blue in 1/10,000: scikit-image's `rgb2gray`, after ITU-R BT.709.
const LUMINANCE: [u32; 3] = [2125, 7154, 721];

/// Conversion of an image's channels to those of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelMap {
    how: How,
    note: Option<Message>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum How {
    Same,
    /// These, in this order.
    Pick(Vec<usize>),
    /// Grey of the first three.
    Luminance,
}

impl ChannelMap {
    /// The conversion to `requested` channels; `names` are the file's channel names, if any. Fails if the user has to
    /// choose.
    ///
    /// Alpha is ignored unless selected. One channel is repeated for three, and RGB becomes one by luminance; of RGB
    /// with further channels, the first three are the colours. No other counts are converted.
    pub fn of(info: &SourceInfo, names: &[String], requested: usize) -> Result<Self> {
        let ChannelKind { colour, alpha } = info.kind;
        let counts = |c: &usize| colour == Colour::Chosen || alpha != Alpha::At(*c);
        let shown: Vec<usize> = (0..info.channels).filter(counts).collect();
        let list = list_channels(info, names);
        let (how, note) = match (colour, shown.len(), requested) {
            (colour, n, w) if n == w => {
                let how = if n == info.channels { How::Same } else { How::Pick(shown) };
                let note =
                    || format!("its 3 separate channels ({list}) are taken for the network's 3, in this order").into();
                (how, (n == 3 && colour == Colour::Separate).then(note))
            }
            (_, 1, 3) => {
                let note = "its one channel is given to each of the network's 3".into();
                (How::Pick(shown.repeat(3)), Some(note))
            }
            (Colour::Rgb, 3.., 1) => {
                let [r, g, b] = LUMINANCE.map(|w| f64::from(w) / 1e4);
                let rest = if shown.len() > 3 {
                    format!("; of its channels ({list}) the others are not used")
                } else {
                    String::new()
                };
                (
                    How::Luminance,
                    Some(format!("its colours became grey by luminance ({r} red + {g} green + {b} blue){rest}").into()),
                )
            }
            (Colour::Rgb, 4.., 3) => {
                let note = Message::from(format!("of its channels ({list}) red, green and blue are used; "));
                (How::Pick(vec![0, 1, 2]), Some(note.then(Hint::SetChannels(vec![])).then(" takes others")))
            }
            (_, have, _) => return Err(refused(info, have, &list, requested)),
        };
        Ok(Self { how, note })
    }

    /// The channels that become the network's, in order; with `true` they are red, green and blue, which become grey.
    pub(crate) fn picks(&self, channels: usize) -> (Vec<usize>, bool) {
        match &self.how {
            How::Same => ((0..channels).collect(), false),
            How::Pick(channels) => (channels.clone(), false),
            How::Luminance => (vec![0, 1, 2], true),
        }
    }

    /// The note for the user, if any. `coloured`: whether a pixel that is not grey was found, see
    /// [`Self::shows_colour`].
    pub fn note(&self, coloured: bool) -> Option<&Message> {
        // Grey stored as RGB loses nothing.
        self.note.as_ref().filter(|_| self.how != How::Luminance || coloured)
    }

    /// Whether this part of the image has colours that are lost.
    pub fn shows_colour(&self, image: &Image) -> bool {
        fn differ<T: Copy + PartialEq>(v: &[T], channels: usize) -> bool {
            v.chunks_exact(channels).any(|p| matches!(p, [r, g, b, ..] if r != g || g != b))
        }
        self.how == How::Luminance
            && match image.pixels() {
                Pixels::U8(v) => differ(v, image.channels()),
                Pixels::U16(v) => differ(v, image.channels()),
                Pixels::F32(v) => differ(v, image.channels()),
            }
    }

    /// Converts a part of the image to the network's channels.
    pub fn apply<'a>(&self, image: &'a Image) -> Result<Cow<'a, Image>> {
        match &self.how {
            How::Same => Ok(Cow::Borrowed(image)),
            How::Pick(channels) => image.pick(channels).map(Cow::Owned),
            How::Luminance => {
                let pixels = match image.pixels() {
                    Pixels::U8(v) => Pixels::U8(merge(v, image.channels(), |p| integer(p) as u8)?),
                    Pixels::U16(v) => Pixels::U16(merge(v, image.channels(), |p| integer(p) as u16)?),
                    Pixels::F32(v) => Pixels::F32(merge(v, image.channels(), float)?),
                };
                Image::new(image.width(), image.height(), 1, pixels).map(Cow::Owned)
            }
        }
    }
}

/// The error if the user has to choose.
fn refused(info: &SourceInfo, have: usize, list: &str, requested: usize) -> Error {
    let channels = |n: usize| if n == 1 { "1 channel".to_string() } else { format!("{n} channels") };
    let choose = |all: usize| Hint::SetChannels((0..all.min(requested)).collect());
    let hint = match (info.kind.colour, info.kind.alpha) {
        // Only the user knows which; the list shows the numbers.
        (Colour::Separate, _) if have == 3 && requested == 1 => {
            Message::from("; they are not marked as red, green and blue: choose one, such as ").then(choose(1))
        }
        _ if have > requested && requested > 0 => Message::from("; choose with ").then(choose(have)),
        (_, Alpha::At(alpha) | Alpha::LeftOut(alpha)) if have + 1 == requested => {
            Message::from(format!("; alpha, channel {alpha}, is no channel of the image unless "))
                .then(choose(alpha.max(have) + 1))
                .then(" includes it")
        }
        _ if have == 1 => "; one channel is never repeated for that many".into(),
        _ => Message::default(),
    };
    let list = if have > 1 { format!(" ({list})") } else { String::new() };
    let reason = format!("has {}{list}, the network takes {}", channels(have), channels(requested));
    Error::invalid("image", Message::from(reason).then(hint))
}

fn merge<T: Copy>(samples: &[T], channels: usize, grey: impl Fn([T; 3]) -> T) -> Result<Vec<T>> {
    let mut out = Vec::new();
    let too_large = |_| Error::invalid("image", "its grey copy does not fit in memory");
    out.try_reserve_exact(samples.len() / channels.max(1)).map_err(too_large)?;
    out.extend(samples.chunks_exact(channels.max(1)).filter_map(|p| p.first_chunk::<3>().map(|p| grey(*p))));
    Ok(out)
}

/// Luminance rounded to nearest. The weights sum to 10,000, so equal integers are unchanged.
fn integer<T: Copy + Into<u32>>(p: [T; 3]) -> u32 {
    // 65535 times 10,000 fits in a u32.
    (p.iter().zip(LUMINANCE).map(|(&x, w)| x.into() * w).sum::<u32>() + 5000) / 10_000
}

fn float(p: [f32; 3]) -> f32 {
    // The weights are inexact in binary, so equal floats are returned unchanged.
    if p[0] == p[1] && p[1] == p[2] {
        return p[0];
    }
    (p.iter().zip(LUMINANCE).map(|(&x, w)| f64::from(x) * f64::from(w)).sum::<f64>() / 1e4) as f32
}

#[cfg(test)]
mod tests;
