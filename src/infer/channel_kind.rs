//! Meaning of an image's channels.

/// The colour model of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Colour {
    /// One channel of brightness.
    Grey,
    /// Red, green and blue; further channels are of other kinds, such as near infrared.
    Rgb,
    /// Each a separate measurement: dyes, bands, planes of an array.
    Separate,
    /// Channels selected by the user, which enter the network unchanged.
    Chosen,
}

/// Location of an image's alpha channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Alpha {
    /// Nowhere.
    None,
    /// In this channel.
    At(usize),
    /// In this channel of the file, which is not read.
    LeftOut(usize),
}

/// Meaning of an image's channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChannelKind {
    /// Colour model.
    pub colour: Colour,
    /// Alpha channel.
    pub alpha: Alpha,
}

impl ChannelKind {
    /// One channel of brightness.
    pub const GREY: Self = Self { colour: Colour::Grey, alpha: Alpha::None };
    /// Red, green, blue.
    pub const RGB: Self = Self { colour: Colour::Rgb, alpha: Alpha::None };
    /// Separate channels.
    pub const SEPARATE: Self = Self { colour: Colour::Separate, alpha: Alpha::None };

    /// The default for a number of channels without metadata: one is grey, three are RGB, others are separate.
    pub fn of_count(channels: usize) -> Self {
        match channels {
            1 => Self::GREY,
            3 => Self::RGB,
            _ => Self::SEPARATE,
        }
    }

    /// The same with alpha in this channel.
    pub fn with_alpha(self, channel: usize) -> Self {
        Self { alpha: Alpha::At(channel), ..self }
    }

    /// The kind of a TIFF image by `photometric`, `extra` (the tags `PhotometricInterpretation` and `ExtraSamples`) and
    /// its number of channels. `parts` directories hold the image's channels.
    pub fn of_tiff(photometric: u16, extra: &[u16], channels: usize, parts: usize) -> Self {
        if parts > 1 {
            return Self::SEPARATE;
        }
        let bands = extra.iter().filter(|e| !matches!(e, 1 | 2)).count();
        let colour = match (photometric, channels.saturating_sub(extra.len())) {
            // Black or white is zero, or a palette that is a ramp. With another band the image is not grey.
            (0 | 1 | 3, 1) if bands == 0 => Colour::Grey,
            // RGB, palettes, and what is converted to RGB: CMYK, YCbCr, Lab.
            (2, 3..) | (3 | 5 | 6 | 8.., 3) => Colour::Rgb,
            _ => Colour::Separate,
        };
        // Extra samples of type 1 and 2 are alpha; 0 is unspecified, such as another dye.
        let alpha = extra.iter().position(|e| matches!(e, 1 | 2)).map(|at| channels.saturating_sub(extra.len()) + at);
        Self { colour, alpha: alpha.map_or(Alpha::None, Alpha::At) }
    }
}
