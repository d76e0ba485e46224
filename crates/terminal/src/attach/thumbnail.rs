//! A small picture of a picture, to be shown before the file is fetched. The large one is decoded
//! within bounds: whoever gave it may have made it to fill the memory.

use std::fs::File;
use std::io::BufReader;

use godwit_client::THUMBNAIL_BYTES_MAX;
use image::codecs::jpeg::JpegEncoder;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

/// Largest file that is decoded, 64 MiB: decoders hold the whole of it.
const PICTURE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// RAM that the decoded picture may take: 64 megapixels of three bytes.
const DECODED_BYTES_MAX: u64 = 192 * 1024 * 1024;

/// Sides and qualities that are tried until the small picture is small enough, best first.
const TRIES: [(u32, u8); 6] = [(160, 60), (128, 60), (96, 60), (96, 40), (64, 40), (32, 30)];

/// A picture and how large the real one is, as one looks at it.
pub(super) struct Thumbnail {
    pub(super) width: u32,
    pub(super) height: u32,
    /// Empty if the real one is too large to be decoded.
    pub(super) jpeg: Vec<u8>,
}

/// None of what is no picture that can be read here; the file goes all the same.
pub(super) fn of(file: File, mime: &str) -> Option<Thumbnail> {
    let format = match mime {
        "image/gif" => ImageFormat::Gif,
        "image/jpeg" => ImageFormat::Jpeg,
        "image/png" => ImageFormat::Png,
        "image/webp" => ImageFormat::WebP,
        _ => return None,
    };
    if file.metadata().ok()?.len() > PICTURE_BYTES_MAX {
        return None;
    }
    within(file, format, DECODED_BYTES_MAX)
}

fn within(file: File, format: ImageFormat, decoded_bytes_max: u64) -> Option<Thumbnail> {
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(decoded_bytes_max);
    let mut reader = ImageReader::with_format(BufReader::new(file), format);
    reader.limits(limits.clone());
    let mut decoder = reader.into_decoder().ok()?;
    decoder.set_limits(limits).ok()?;
    let (width, height) = decoder.dimensions();
    if decoder.total_bytes() > decoded_bytes_max {
        return Some(Thumbnail { width, height, jpeg: Vec::new() });
    }
    // A camera that is held upright says so beside the picture.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut picture = DynamicImage::from_decoder(decoder).ok()?;
    picture.apply_orientation(orientation);
    let jpeg = TRIES.iter().find_map(|(side, quality)| small(&picture, *side, *quality));
    let (width, height) = (picture.width(), picture.height());
    Some(Thumbnail { width, height, jpeg: jpeg.unwrap_or_default() })
}

fn small(picture: &DynamicImage, side: u32, quality: u8) -> Option<Vec<u8>> {
    let small = picture.thumbnail(side, side).into_rgb8();
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, quality).encode_image(&small).ok()?;
    (jpeg.len() <= THUMBNAIL_BYTES_MAX).then_some(jpeg)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        std::io::Seek::rewind(&mut file).unwrap();
        file
    }

    fn encoded(picture: &image::RgbImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = std::io::Cursor::new(Vec::new());
        picture.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn even_noise_becomes_a_small_picture() {
        let mut word = 7_u32;
        let noise = image::RgbImage::from_fn(640, 480, |_, _| {
            word = word.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let [r, g, b, _] = word.to_be_bytes();
            image::Rgb([r, g, b])
        });
        let png = encoded(&noise, ImageFormat::Png);
        let thumbnail = of(file(&png), "image/png").unwrap();
        assert_eq!((thumbnail.width, thumbnail.height), (640, 480));
        assert!((100..=THUMBNAIL_BYTES_MAX).contains(&thumbnail.jpeg.len()));
        let small = image::load_from_memory(&thumbnail.jpeg).unwrap();
        assert!(small.width() <= 160 && small.width() * 3 == small.height() * 4);
    }

    #[test]
    fn each_kind_has_one() {
        let plain = image::RgbImage::from_pixel(40, 20, image::Rgb([200, 10, 10]));
        for (format, mime) in [
            (ImageFormat::Gif, "image/gif"),
            (ImageFormat::Jpeg, "image/jpeg"),
            (ImageFormat::Png, "image/png"),
            (ImageFormat::WebP, "image/webp"),
        ] {
            let thumbnail = of(file(&encoded(&plain, format)), mime).unwrap();
            assert_eq!((thumbnail.width, thumbnail.height), (40, 20), "{mime}");
            assert!(!thumbnail.jpeg.is_empty(), "{mime}");
        }
    }

    #[test]
    fn a_picture_is_decoded_up_to_its_bound_and_no_further() {
        let plain = image::RgbImage::from_pixel(40, 20, image::Rgb([1, 2, 3]));
        let png = encoded(&plain, ImageFormat::Png);
        let bytes = 40 * 20 * 3;
        let fits = within(file(&png), ImageFormat::Png, bytes).map(|t| t.jpeg.is_empty());
        let over = within(file(&png), ImageFormat::Png, bytes - 1).map(|t| t.jpeg.is_empty());
        assert_ne!(fits, Some(true), "at its bound it is not passed over");
        assert_ne!(over, Some(false), "above it nothing is decoded");
    }

    /// A head that promises 65,500 x 65,500 pixels, 12 GB, and a few bytes of them.
    #[test]
    fn a_picture_made_to_fill_the_memory_does_not() {
        let plain = image::RgbImage::from_pixel(8, 8, image::Rgb([1, 2, 3]));
        let mut jpeg = encoded(&plain, ImageFormat::Jpeg);
        // Height and width stand 5 bytes into the frame's head.
        let at = jpeg.windows(2).position(|bytes| bytes == [0xff, 0xc0]).unwrap();
        jpeg[at + 5..at + 9].copy_from_slice(&[0xff, 0xdc, 0xff, 0xdc]);
        let thumbnail = of(file(&jpeg), "image/jpeg");
        assert!(thumbnail.is_none_or(|thumbnail| thumbnail.jpeg.is_empty()));
    }

    #[test]
    fn what_is_no_picture_has_none() {
        assert!(of(file(b"\x89PNG\r\n\x1a\nand no more"), "image/png").is_none());
        assert!(of(file(b"%PDF"), "application/pdf").is_none());
        let huge = file(b"\x89PNG");
        huge.set_len(PICTURE_BYTES_MAX + 1).unwrap();
        assert!(of(huge, "image/png").is_none());
    }
}
