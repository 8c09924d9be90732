//! Checksums of a book as venues send them: CRC-32 over the best levels, in the wire's own digits.

use serde::{Deserialize, Serialize};

use super::Ladder;
use crate::venues::feed::{Checksum, ChecksumOrder};

/// Bytes of a level's digits. Prices and sizes have 20 digits at most on any wire seen.
const MAX_DIGITS: usize = 55;

/// A level as its venue's checksum reads it: price, separator, size. Nothing if the wire's digits are not
/// known or too long, so that no checksum that needs the level can be right.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", from = "String")]
pub struct Digits {
    length: u8,
    bytes: [u8; MAX_DIGITS],
}

impl Digits {
    /// What stands for a level whose digits are not known.
    pub const UNKNOWN: Self = Self {
        length: 0,
        bytes: [0; MAX_DIGITS],
    };

    /// A level's price and size as the wire wrote them, made ready for `checksum`.
    pub fn of(checksum: &Checksum, price: &str, size: &str) -> Self {
        let mut digits = Self::UNKNOWN;
        if price.is_empty() || size.is_empty() {
            return digits;
        }
        let separator = checksum.separator.as_bytes();
        let fits = if checksum.digits_only {
            digits.push(significant(price))
                && digits.push(separator.iter().copied())
                && digits.push(significant(size))
        } else {
            digits.push(price.bytes())
                && digits.push(separator.iter().copied())
                && digits.push(size.bytes())
        };
        if fits { digits } else { Self::UNKNOWN }
    }

    fn push(&mut self, bytes: impl Iterator<Item = u8>) -> bool {
        for byte in bytes {
            let Some(place) = self.bytes.get_mut(usize::from(self.length)) else {
                return false;
            };
            *place = byte;
            self.length += 1;
        }
        true
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

/// The digits without the dot and leading zeros.
fn significant(number: &str) -> impl Iterator<Item = u8> {
    number
        .bytes()
        .filter(|&byte| byte != b'.')
        .skip_while(|&byte| byte == b'0')
}

impl std::fmt::Debug for Digits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        String::from_utf8_lossy(self.as_bytes()).fmt(f)
    }
}

impl From<Digits> for String {
    fn from(digits: Digits) -> Self {
        Self::from_utf8_lossy(digits.as_bytes()).into_owned()
    }
}

impl From<String> for Digits {
    fn from(text: String) -> Self {
        let mut digits = Self::UNKNOWN;
        if digits.push(text.bytes()) {
            digits
        } else {
            Self::UNKNOWN
        }
    }
}

/// The checksum of a book; `None` if it needs a level whose digits are not known.
pub(super) fn of(checksum: &Checksum, bids: &Ladder, asks: &Ladder) -> Option<u32> {
    let mut sum = Sum {
        hasher: crc32fast::Hasher::new(),
        separator: checksum.separator.as_bytes(),
        any: false,
    };
    let (mut bids, mut asks) = (
        bids.digits().take(checksum.levels),
        asks.digits().take(checksum.levels),
    );
    match checksum.order {
        ChecksumOrder::AsksBids => asks.chain(bids).try_for_each(|level| sum.add(level))?,
        ChecksumOrder::Alternating => loop {
            let pair = (bids.next(), asks.next());
            if pair == (None, None) {
                break;
            }
            pair.0
                .into_iter()
                .chain(pair.1)
                .try_for_each(|level| sum.add(level))?;
        },
    }
    Some(sum.hasher.finalize())
}

struct Sum<'a> {
    hasher: crc32fast::Hasher,
    separator: &'a [u8],
    any: bool,
}

impl Sum<'_> {
    fn add(&mut self, level: &Digits) -> Option<()> {
        if level.length == 0 {
            return None;
        }
        if std::mem::replace(&mut self.any, true) {
            self.hasher.update(self.separator);
        }
        self.hasher.update(level.as_bytes());
        Some(())
    }
}
