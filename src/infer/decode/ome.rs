//! Stacks: finds the TIFF directories of each plane's channels, from OME-XML (OME data model 2016-06, `Pixels` and
//! `TiffData`) or ImageJ's description.

use roxmltree::{Document, Node};

use super::MAX_CHANNELS;
use super::plane::Stack;

/// Stacks with more planes are refused.
const MAX_PLANES: usize = 1 << 16;

fn local<'a>(node: Node<'a, 'a>, name: &'a str) -> impl Iterator<Item = Node<'a, 'a>> + 'a {
    node.children().filter(move |n| n.is_element() && n.tag_name().name() == name)
}

fn number(node: Node, name: &str, default: Option<usize>) -> Result<usize, String> {
    match (node.attribute(name), default) {
        (None, Some(n)) => Ok(n),
        (None, None) => Err(format!("`{}` has no {name}", node.tag_name().name())),
        (Some(text), _) => text.trim().parse().map_err(|_| format!("{name} `{text}` is not a whole number")),
    }
}

/// The pages of an OME-TIFF called `file`: the directories of the channels for every image, time and z plane.
pub(super) fn stack(xml: &str, file: &str) -> Result<Stack, String> {
    let document = Document::parse(xml).map_err(|e| e.to_string().replace('\n', " "))?;
    let root = document.root_element();
    let own = root.attribute("UUID");
    let mut stack = Stack::new();
    let mut directories = 0;
    for image in local(root, "Image") {
        for pixels in local(image, "Pixels") {
            one(pixels, own, file, &mut directories, &mut stack)?;
        }
    }
    if stack.is_empty() { Err("it describes no image".into()) } else { Ok(stack) }
}

/// Z planes and times of an OME-TIFF of one image.
pub(super) fn axes(xml: &str) -> Option<[usize; 2]> {
    let document = Document::parse(xml).ok()?;
    let mut images = local(document.root_element(), "Image");
    let pixels = images.next().and_then(|image| local(image, "Pixels").next()).filter(|_| images.next().is_none())?;
    Some([number(pixels, "SizeZ", Some(1)).ok()?, number(pixels, "SizeT", Some(1)).ok()?])
}

/// OME channel names of page `page`, which is one z plane and time of one image.
pub(super) fn channel_names(xml: &str, page: usize) -> Result<Vec<String>, String> {
    let document = Document::parse(xml).map_err(|e| e.to_string())?;
    let mut pages = 0usize;
    for image in local(document.root_element(), "Image") {
        for pixels in local(image, "Pixels") {
            let [z, t] = [number(pixels, "SizeZ", Some(1))?, number(pixels, "SizeT", Some(1))?];
            pages = pages.saturating_add(z.saturating_mul(t));
            if page < pages {
                let name =
                    |c: Node| c.attribute("Name").or(c.attribute("Fluor")).unwrap_or_default().trim().to_string();
                return Ok(local(pixels, "Channel").map(name).collect());
            }
        }
    }
    Err(format!("it has no page {page}"))
}

fn one(pixels: Node, own: Option<&str>, file: &str, directories: &mut usize, stack: &mut Stack) -> Result<(), String> {
    let [z, c, t] =
        [number(pixels, "SizeZ", Some(1))?, number(pixels, "SizeC", Some(1))?, number(pixels, "SizeT", Some(1))?];
    // Samples interleaved in one directory, such as RGB.
    let samples = match local(pixels, "Channel").next() {
        Some(channel) => number(channel, "SamplesPerPixel", Some(1))?.max(1),
        None => 1,
    };
    if c % samples != 0 {
        return Err(format!("{c} channels in directories of {samples}"));
    }
    let c = c / samples;
    let count = z.checked_mul(c).and_then(|n| n.checked_mul(t)).filter(|n| (1..=MAX_PLANES).contains(n));
    let Some(count) = count else { return Err(format!("{z} planes of {c} channels at {t} times")) };
    if c > MAX_CHANNELS {
        return Err(format!("{c} channels are more than the {MAX_CHANNELS} that are supported"));
    }
    let order = pixels.attribute("DimensionOrder").unwrap_or("XYZCT");
    let order: Vec<char> = order.strip_prefix("XY").unwrap_or_default().chars().collect();
    let mut sorted = order.clone();
    sorted.sort_unstable();
    if sorted != ['C', 'T', 'Z'] {
        return Err("its DimensionOrder is not XY and Z, C, T in some order".into());
    }
    // The index of a plane in the file's order, and back.
    let index = |at: [usize; 3]| {
        order.iter().rev().fold(0, |n, axis| {
            let (at, size) = match axis {
                'Z' => (at[0], z),
                'C' => (at[1], c),
                _ => (at[2], t),
            };
            n * size + at
        })
    };
    let mut place: Vec<Option<Result<usize, String>>> = vec![None; count];
    let mut described = false;
    for data in local(pixels, "TiffData") {
        described = true;
        let first = [
            number(data, "FirstZ", Some(0))?,
            number(data, "FirstC", Some(0))? / samples,
            number(data, "FirstT", Some(0))?,
        ];
        if first[0] >= z || first[1] >= c || first[2] >= t {
            return Err(format!("TiffData begins at plane {}, channel {}, time {}", first[0], first[1], first[2]));
        }
        let start = number(data, "IFD", Some(0))?;
        let default = if data.attribute("IFD").is_some() { 1 } else { count };
        let planes = number(data, "PlaneCount", Some(default))?;
        let elsewhere = local(data, "UUID").next().and_then(|uuid| {
            let name = uuid.attribute("FileName")?;
            let ours = name == file || (own.is_some() && uuid.text().map(str::trim) == own);
            (!ours).then(|| format!("this plane is in another file, {name}"))
        });
        let from = index(first);
        for (i, place) in place.iter_mut().skip(from).take(planes).enumerate() {
            *place = Some(match &elsewhere {
                Some(why) => Err(why.clone()),
                None => Ok(start.saturating_add(i)),
            });
        }
    }
    if !described {
        // Without `TiffData`, directories follow each other.
        place.iter_mut().enumerate().for_each(|(i, place)| *place = Some(Ok(*directories + i)));
    }
    *directories += count;
    for time in 0..t {
        for plane in 0..z {
            let channels = (0..c).map(|channel| {
                let found = place.get(index([plane, channel, time])).cloned().flatten();
                found.unwrap_or_else(|| {
                    Err(format!("plane {plane}, channel {channel}, time {time} is nowhere in the file"))
                })
            });
            stack.push(channels.collect());
        }
    }
    Ok(())
}

/// A number in ImageJ's description.
fn imagej_number(description: &str, name: &str) -> Option<usize> {
    let find = description.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix('='));
    find.and_then(|v| v.trim().parse().ok())
}

/// Z planes and times of an ImageJ stack.
pub(super) fn imagej_axes(description: &str) -> Option<[usize; 2]> {
    description.strip_prefix("ImageJ=")?;
    Some(["slices", "frames"].map(|name| imagej_number(description, name).unwrap_or(1)))
}

/// The pages of an ImageJ stack: channels vary fastest, then z planes, then times. `None` for a single image.
pub(super) fn imagej(description: &str) -> Option<Stack> {
    let mut lines = description.lines();
    lines.next().filter(|l| l.starts_with("ImageJ="))?;
    let value = |name: &str| imagej_number(description, name);
    let images = value("images").unwrap_or(1);
    let channels = value("channels").unwrap_or(1);
    let (slices, frames) = (value("slices"), value("frames"));
    // Older versions write neither slices nor frames.
    let planes = channels.checked_mul(slices.unwrap_or(1)).and_then(|n| n.checked_mul(frames.unwrap_or(1)));
    let agree = (slices.is_none() && frames.is_none()) || planes == Some(images);
    let sound =
        agree && (2..=MAX_CHANNELS).contains(&channels) && images.is_multiple_of(channels) && images <= MAX_PLANES;
    sound.then(|| (0..images / channels).map(|page| (0..channels).map(|c| Ok(page * channels + c)).collect()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn xml(pixels: &str, inner: &str) -> String {
        format!(
            r#"<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:1">
            <Image ID="Image:0"><Pixels ID="Pixels:0" {pixels}>{inner}</Pixels></Image></OME>"#
        )
    }

    fn directories(pixels: &str, inner: &str) -> Vec<Vec<usize>> {
        let stack = stack(&xml(pixels, inner), "a.ome.tif").unwrap();
        stack.into_iter().map(|page| page.into_iter().map(Result::unwrap).collect()).collect()
    }

    #[test]
    fn planes_follow_the_dimension_order() {
        let sizes = r#"SizeX="4" SizeY="3" SizeZ="2" SizeC="3" SizeT="1""#;
        let all = "<TiffData/>";
        assert_eq!(directories(&format!(r#"{sizes} DimensionOrder="XYCZT""#), all), [[0, 1, 2], [3, 4, 5]]);
        assert_eq!(directories(&format!(r#"{sizes} DimensionOrder="XYZCT""#), all), [[0, 2, 4], [1, 3, 5]]);
        assert_eq!(directories(&format!(r#"{sizes} DimensionOrder="XYZCT""#), ""), [[0, 2, 4], [1, 3, 5]]);
        // As Bio-Formats writes it: one element per plane, in any order.
        let each = r#"<TiffData FirstC="1" IFD="0" PlaneCount="1"/><TiffData FirstC="0" IFD="1" PlaneCount="1">
            <UUID FileName="renamed.ome.tif">urn:uuid:1</UUID></TiffData>"#;
        assert_eq!(directories(r#"SizeC="2" DimensionOrder="XYCZT""#, each), [[1, 0]]);
        let axes = |pixels: &str| axes(&xml(pixels, all));
        assert_eq!((axes(r#"SizeZ="2" SizeT="5""#), axes("")), (Some([2, 5]), Some([1, 1])));
        // RGB: three samples of one directory.
        let rgb = r#"<Channel SamplesPerPixel="3"/><TiffData/>"#;
        assert_eq!(directories(r#"SizeC="3" SizeT="2" DimensionOrder="XYCTZ""#, rgb), [[0], [1]]);
    }

    #[test]
    fn missing_and_external_planes_are_named() {
        let two = r#"<TiffData IFD="0"/><TiffData FirstC="1" IFD="0"><UUID FileName="b.ome.tif">urn:uuid:2</UUID></TiffData>"#;
        let stack = stack(&xml(r#"SizeC="3" DimensionOrder="XYCZT""#, two), "a.ome.tif").unwrap();
        assert_eq!(stack[0][0], Ok(0));
        assert!(stack[0][1].as_ref().unwrap_err().contains("b.ome.tif"));
        assert!(stack[0][2].as_ref().unwrap_err().contains("channel 2, time 0 is nowhere"));
    }

    #[test]
    fn invalid_xml_is_refused() {
        for (pixels, inner) in [
            (r#"SizeC="x""#, ""),
            (r#"SizeZ="0""#, ""),
            (r#"SizeZ="99999999999""#, ""),
            (r#"SizeZ="4294967296" SizeT="4294967296" SizeC="4294967296""#, ""),
            (r#"SizeC="2" DimensionOrder="XYZZT""#, ""),
            (r#"SizeC="2" DimensionOrder="CXYZT""#, ""),
            (r#"SizeC="2""#, r#"<TiffData FirstC="2"/>"#),
            (r#"SizeC="2""#, r#"<Channel SamplesPerPixel="3"/>"#),
        ] {
            assert!(stack(&xml(pixels, inner), "a").is_err(), "{pixels} {inner}");
        }
        assert!(stack("<OME", "a").is_err() && stack("<OME/>", "a").is_err());
        let bomb = r#"<!DOCTYPE a [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><OME>&b;</OME>"#;
        assert!(stack(bomb, "a").is_err());
    }

    #[test]
    fn channels_have_names() {
        let two = r#"<Channel Name="DAPI"/><Channel Fluor="GFP"/><TiffData/>"#;
        let image = xml(r#"SizeC="2" SizeZ="3" DimensionOrder="XYCZT""#, two);
        assert_eq!(channel_names(&image, 2).unwrap(), ["DAPI", "GFP"]);
        assert!(channel_names(&image, 3).is_err() && channel_names("<OME", 0).is_err());
    }

    #[test]
    fn imagej_stacks() {
        let text = "ImageJ=1.53k\nimages=6\nchannels=2\nslices=3\nhyperstack=true\nmode=composite\n";
        let stack: Vec<Vec<usize>> =
            imagej(text).unwrap().into_iter().map(|p| p.into_iter().map(Result::unwrap).collect()).collect();
        assert_eq!(stack, [[0, 1], [2, 3], [4, 5]]);
        assert!(imagej("ImageJ=1.53k\nimages=3\nslices=3\n").is_none());
        assert!(imagej("ImageJ=1.53k\nimages=7\nchannels=2\n").is_none());
        // Times too, as tifffile writes them; and numbers that do not agree.
        let films = imagej("ImageJ=1.11a\nimages=12\nchannels=2\nslices=3\nframes=2\nhyperstack=true").unwrap();
        assert_eq!((films.len(), &films[4]), (6, &vec![Ok(8), Ok(9)]));
        assert!(imagej("ImageJ=1.53k\nimages=12\nchannels=2\nslices=3\n").is_none());
        assert!(imagej("ImageJ=1.53k\nimages=6\nchannels=2\nslices=99999999999\nframes=99999999999\n").is_none());
        let axes = |text: &str| imagej_axes(text);
        assert_eq!(axes("ImageJ=1.11a\nimages=12\nchannels=2\nslices=3\nframes=2\n"), Some([3, 2]));
        assert_eq!((axes("ImageJ=1.11a\nimages=4\nframes=4\n"), axes("images=4\n")), (Some([1, 4]), None));
        assert!(imagej("something else\nchannels=2\nimages=2").is_none());
    }
}
