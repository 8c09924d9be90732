//! What can go wrong with a venue, on purpose and from a seed: for tests of what listens to it.
//!
//! The same seed on the same recording makes the same faults, however the machines' timing falls: whether a fault
//! strikes depends on the connection's number and the frame's number in the recording, and on nothing else.

use std::time::Duration;

use serde::Deserialize;

/// Faults and when they strike. None by default.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Faults {
    /// Of all that is left to chance.
    pub seed: u64,
    /// Only connections of these numbers, from 1 in the order of opening, suffer; all do if it is empty.
    pub only: Vec<u64>,
    /// A frame is not sent.
    pub drop: When,
    /// A frame is sent twice.
    pub duplicate: When,
    /// A frame is sent after the next one.
    pub reorder: When,
    /// Nothing is sent for `delay_ms`; then what has gathered.
    pub delay: When,
    /// How long that is, in ms; 200 if 0.
    pub delay_ms: u64,
    /// Something is sent before a frame that is none of the venue's: half of that frame, words, or bytes.
    pub garbage: When,
    /// The connection stays open, and nothing comes on it any more, not even a pong.
    pub stall: When,
    /// The connection is cut, without a word.
    pub disconnect: When,
    /// The frame's topic is silent from then on, until it is subscribed again.
    pub silent_channel: When,
    /// The checksum in a frame that has one is wrong.
    pub wrong_checksum: When,
    /// A request is answered with status 429; numbers count requests.
    pub too_many_requests: When,
    /// Good credentials are refused; numbers count logins.
    pub auth_failure: When,
}

/// When a fault strikes.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum When {
    /// At every chance with this probability, 0 to 1.
    Chance(f64),
    /// At these numbers (of frames in the recording, from 1), rising; or at the first chance after one.
    At(Vec<u64>),
}

impl Default for When {
    fn default() -> Self {
        Self::Chance(0.0)
    }
}

impl When {
    fn never(&self) -> bool {
        match self {
            Self::Chance(chance) => *chance <= 0.0,
            Self::At(numbers) => numbers.is_empty(),
        }
    }
}

/// Faults that strike while frames are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Stall,
    Disconnect,
    Silence,
    Drop,
    Checksum,
    Garbage,
    Delay,
    Duplicate,
    Reorder,
}

impl Kind {
    /// The ones that end what the others would need come first.
    pub(super) const ALL: [Self; 9] = [
        Self::Stall,
        Self::Disconnect,
        Self::Silence,
        Self::Drop,
        Self::Checksum,
        Self::Garbage,
        Self::Delay,
        Self::Duplicate,
        Self::Reorder,
    ];
}

impl Faults {
    /// From `seed=1,drop=0.01,disconnect=[5000,9000]`: TOML without the line breaks.
    ///
    /// # Errors
    /// In words.
    pub fn parse(text: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Held {
            faults: Faults,
        }
        let held: Held = toml::from_str(&format!("faults = {{ {text} }}"))
            .or_else(|one_line| {
                let lines = toml::from_str::<Faults>(text).map(|faults| Held { faults });
                lines.map_err(|lines| if text.contains('\n') { lines } else { one_line })
            })
            .map_err(|error| error.message().to_owned())?;
        for when in held.faults.all() {
            match when {
                When::Chance(chance) if !(0.0..=1.0).contains(chance) => {
                    return Err(format!(
                        "{chance} is no probability: it is not between 0 and 1"
                    ));
                }
                When::At(numbers) if !numbers.is_sorted() => {
                    return Err(format!("the numbers {numbers:?} do not rise"));
                }
                _ => {}
            }
        }
        Ok(held.faults)
    }

    fn all(&self) -> impl Iterator<Item = &When> {
        let requests = [&self.too_many_requests, &self.auth_failure];
        Kind::ALL
            .iter()
            .map(|&kind| self.when(kind))
            .chain(requests)
    }

    fn when(&self, kind: Kind) -> &When {
        match kind {
            Kind::Stall => &self.stall,
            Kind::Disconnect => &self.disconnect,
            Kind::Silence => &self.silent_channel,
            Kind::Drop => &self.drop,
            Kind::Checksum => &self.wrong_checksum,
            Kind::Garbage => &self.garbage,
            Kind::Delay => &self.delay,
            Kind::Duplicate => &self.duplicate,
            Kind::Reorder => &self.reorder,
        }
    }

    /// Whether any frame may suffer.
    pub(super) fn strike_frames(&self) -> bool {
        Kind::ALL.iter().any(|kind| !self.when(*kind).never())
    }

    pub(super) fn pause(&self) -> Duration {
        Duration::from_millis(if self.delay_ms == 0 {
            200
        } else {
            self.delay_ms
        })
    }

    /// Whether the `number`-th request, from 1, is one too many.
    pub(super) fn refuse_request(&self, number: u64) -> bool {
        self.strikes_once(&self.too_many_requests, 100, number)
    }

    /// Whether the `number`-th login, from 1, fails.
    pub(super) fn refuse_login(&self, number: u64) -> bool {
        self.strikes_once(&self.auth_failure, 101, number)
    }

    fn strikes_once(&self, when: &When, kind: u64, number: u64) -> bool {
        match when {
            When::Chance(chance) => self.draw([kind, 0, number]) < *chance,
            When::At(numbers) => numbers.contains(&number),
        }
    }

    /// A number from 0 to 1 that is always the same for the same place.
    fn draw(&self, place: [u64; 3]) -> f64 {
        let mixed = place
            .iter()
            .fold(self.seed, |state, part| mix(state ^ mix(*part)));
        (mixed >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// `SplitMix64`'s step.
fn mix(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// One connection's share of the faults.
#[derive(Debug)]
pub(super) struct Dice {
    connection: u64,
    /// Numbers of the schedules that are behind, by kind.
    behind: [usize; Kind::ALL.len()],
}

impl Dice {
    /// For a connection that opens after `frames` of the recording; `None` if it does not suffer.
    pub(super) fn new(faults: &Faults, connection: u64, frames: u64) -> Option<Self> {
        let suffers = faults.only.is_empty() || faults.only.contains(&connection);
        (suffers && faults.strike_frames()).then(|| Self {
            connection,
            behind: Kind::ALL.map(|kind| match faults.when(kind) {
                When::At(numbers) => numbers.partition_point(|&n| n <= frames),
                When::Chance(_) => 0,
            }),
        })
    }

    /// Whether the fault strikes at the recording's `number`-th frame.
    pub(super) fn strikes(&mut self, faults: &Faults, kind: Kind, number: u64) -> bool {
        match faults.when(kind) {
            When::Chance(chance) => {
                *chance > 0.0 && faults.draw([kind as u64, self.connection, number]) < *chance
            }
            When::At(numbers) => {
                let behind = &mut self.behind[kind as usize];
                let now = numbers.partition_point(|&n| n <= number);
                let strikes = now > *behind;
                *behind = now;
                strikes
            }
        }
    }

    /// A choice among `count`, the same for the same frame.
    pub(super) fn choose(&self, faults: &Faults, number: u64, count: u64) -> u64 {
        (faults.draw([200, self.connection, number]) * count as f64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_from_a_line_or_a_file() {
        let faults = Faults::parse("seed=7, drop=0.5, disconnect=[10,20], stall=1").unwrap();
        assert_eq!(
            faults,
            Faults::parse("seed = 7\ndrop = 0.5\ndisconnect = [10, 20]\nstall = 1\n").unwrap()
        );
        assert_eq!(faults.disconnect, When::At(vec![10, 20]));
        assert_eq!(Faults::parse("").unwrap(), Faults::default());
        for (text, words) in [
            ("drpo=1", "drpo"),
            ("drop=1.5", "probability"),
            ("drop=[5,4]", "rise"),
            ("drop=", ""),
        ] {
            let error = Faults::parse(text).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn chance_is_the_seeds_and_a_schedule_strikes_once_a_number() {
        let faults = Faults::parse("seed=3,drop=0.1,disconnect=[10,20,21]").unwrap();
        let strikes = |connection: u64, kind: Kind| -> Vec<u64> {
            let mut dice = Dice::new(&faults, connection, 5).unwrap();
            (6..1000)
                .filter(|&n| n % 3 == 0 && dice.strikes(&faults, kind, n))
                .collect()
        };
        let dropped = strikes(1, Kind::Drop);
        assert!((15..60).contains(&dropped.len()), "{}", dropped.len());
        assert_eq!(dropped, strikes(1, Kind::Drop));
        assert_ne!(dropped, strikes(2, Kind::Drop));
        assert_eq!(strikes(1, Kind::Disconnect), [12, 21]);
        let later = Dice::new(&faults, 1, 20)
            .unwrap()
            .strikes(&faults, Kind::Disconnect, 20);
        assert!(!later);
    }
}
