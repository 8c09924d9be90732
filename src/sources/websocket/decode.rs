//! Binary frames: some venues send their texts compressed.

use std::io::Read;

use flate2::read::{DeflateDecoder, GzDecoder, ZlibDecoder};

/// What a decompressed frame may hold at most, bytes.
const MOST: u64 = super::MAX_MESSAGE as u64;

/// The text of a binary frame: as it is, or out of gzip, zlib or bare deflate. `None` if it is none of these, or
/// too large.
pub(super) fn text_of(bytes: &[u8]) -> Option<String> {
    match bytes {
        [] => Some(String::new()),
        [0x1f, 0x8b, ..] => read(GzDecoder::new(bytes)),
        [b'{' | b'[', ..] if std::str::from_utf8(bytes).is_ok() => {
            String::from_utf8(bytes.to_vec()).ok()
        }
        _ => read(ZlibDecoder::new(bytes))
            .or_else(|| read(DeflateDecoder::new(bytes)))
            .or_else(|| String::from_utf8(bytes.to_vec()).ok()),
    }
}

fn read(from: impl Read) -> Option<String> {
    let mut text = String::new();
    let read = from.take(MOST + 1).read_to_string(&mut text).ok()?;
    (read as u64 <= MOST).then_some(text)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;

    #[test]
    fn every_way_of_packing_a_text_is_undone_and_nothing_else() {
        let text = r#"{"e":"trade","p":"1.5"}"#;
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
        let mut bare = DeflateEncoder::new(Vec::new(), Compression::fast());
        for encoder in [&mut gzip as &mut dyn Write, &mut zlib, &mut bare] {
            encoder.write_all(text.as_bytes()).unwrap();
        }
        for bytes in [
            gzip.finish().unwrap(),
            zlib.finish().unwrap(),
            bare.finish().unwrap(),
            text.as_bytes().to_vec(),
        ] {
            assert_eq!(text_of(&bytes).as_deref(), Some(text));
        }
        assert_eq!(text_of(b"pong").as_deref(), Some("pong"));
        assert_eq!(text_of(&[0x1f, 0x8b, 8, 0, 1]), None);
        assert_eq!(text_of(&[0xff, 0xfe, 0x00, 0x80, 0x99]), None);
    }
}
