//! Compressed streams, told from their first bytes.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::GzDecoder;

/// Wraps the reader by what its first bytes say.
pub(super) fn reader(input: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
    let mut input = BufReader::with_capacity(256 << 10, input);
    let mut magic = [0; 4];
    let mut have = 0;
    while have < magic.len() {
        match input.read(&mut magic[have..]) {
            Ok(0) => break,
            Ok(n) => have += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    let whole = io::Cursor::new(magic).take(have as u64).chain(input);
    Ok(match magic {
        [0x1f, 0x8b, ..] => Box::new(Members {
            member: Some(GzDecoder::new(BufReader::with_capacity(256 << 10, whole))),
        }),
        // … or a frame to be skipped, which may stand before others.
        [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => {
            Box::new(zstd::Decoder::new(whole)?)
        }
        _ => Box::new(whole),
    })
}

/// The members of a gzip stream, without the zeros that may stand behind them, as tapes and disks leave them.
struct Members<R> {
    /// The one that is read.
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(member) = &mut self.member else {
                return Ok(0);
            };
            let read = member.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            let input = member.get_mut();
            loop {
                let rest = input.fill_buf()?;
                if rest.is_empty() {
                    return Ok(0);
                }
                let zeros = rest.iter().take_while(|&&byte| byte == 0).count();
                let is_next = zeros < rest.len();
                input.consume(zeros);
                if is_next {
                    break;
                }
            }
            let input = self.member.take().map(GzDecoder::into_inner);
            self.member = input.map(GzDecoder::new);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn unpacked(bytes: Vec<u8>) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        reader(io::Cursor::new(bytes))?.read_to_end(&mut text)?;
        Ok(text)
    }

    #[test]
    fn members_of_gzip_are_read_with_zeros_behind_them_and_nothing_else() {
        let pack = |text: &[u8]| {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(text).unwrap();
            gzip.finish().unwrap()
        };
        let (one, two) = (pack(b"one"), pack(b"two"));
        let zeros = vec![0; 1_000];
        for bytes in [
            [&one[..], &two[..]].concat(),
            [&one[..], &two[..], &zeros[..]].concat(),
            [&one[..], &zeros[..], &two[..]].concat(),
        ] {
            assert_eq!(unpacked(bytes).unwrap(), b"onetwo");
        }
        let mut cut = [&one[..], &two[..]].concat();
        cut.pop();
        assert!(unpacked(cut).is_err());
        assert!(unpacked([&one[..], b"more"].concat()).is_err());
    }

    #[test]
    fn a_frame_of_zstd_that_is_to_be_skipped_may_stand_first() {
        let skipped = b"\x50\x2a\x4d\x18\x03\0\0\0any";
        let frame = zstd::encode_all(&b"text"[..], 3).unwrap();
        let bytes = [&skipped[..], &frame[..], &skipped[..], &frame[..]].concat();
        assert_eq!(unpacked(bytes).unwrap(), b"texttext");
    }
}
