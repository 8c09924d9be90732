//! Time zones: what a zone's clock shows at a moment of UTC, and which moment a time on it is. The IANA database is the
//! one inside the binary, so that the answers do not depend on the machine's.
//!
//! All times are nanoseconds since 1970-01-01, of UTC or of the zone's clock. The offset between the two changes at
//! moments that are listed once for a zone, for all the years that nanoseconds in an i64 can hold (1677 to 2262).

use std::collections::HashMap;
use std::sync::{LazyLock, OnceLock};

use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use strsim::osa_distance;

/// The zones by number, and the numbers by name in lower case. A zone's changes are listed when it is first asked for.
struct Zones {
    database: TimeZoneDatabase,
    named: Vec<(String, OnceLock<Zone>)>,
    numbers: HashMap<String, usize>,
}

static ZONES: LazyLock<Zones> = LazyLock::new(|| {
    let database = TimeZoneDatabase::bundled();
    let names = database.available().map(|name| name.as_str().to_owned());
    let named: Vec<_> = names.map(|name| (name, OnceLock::new())).collect();
    let numbers = named.iter().enumerate();
    let numbers = numbers.map(|(number, (name, _))| (name.to_lowercase(), number));
    Zones {
        numbers: numbers.collect(),
        database,
        named,
    }
});

/// The number that a zone has in this process. Its name may be in capitals or small letters.
pub fn number(name: &str) -> Option<usize> {
    ZONES.numbers.get(&name.trim().to_lowercase()).copied()
}

/// The zone of a [number].
pub fn zone(number: usize) -> Option<&'static Zone> {
    let (name, zone) = ZONES.named.get(number)?;
    Some(zone.get_or_init(|| {
        // A name that the database lists it has.
        Zone::of(&ZONES.database.get(name).unwrap_or(TimeZone::UTC))
    }))
}

/// Names of zones that a name which is none may have been meant for: those that differ by the fewest letters, as a whole
/// or from the last slash on, if these are few. At most three.
pub fn similar(name: &str) -> Vec<&'static str> {
    let city = |name: &str| name.rsplit('/').next().unwrap_or_default().to_owned();
    let wanted = name.trim().to_lowercase().replace(' ', "_");
    let few = (wanted.chars().count() / 3).clamp(1, 3);
    let distances = ZONES.named.iter().map(|(name, _)| {
        let known = name.to_lowercase();
        let whole = osa_distance(&wanted, &known);
        let of_city = osa_distance(&city(&wanted), &city(&known));
        (whole.min(of_city), name.as_str())
    });
    let mut near: Vec<_> = distances.filter(|(letters, _)| *letters <= few).collect();
    near.sort_unstable();
    let nearest = near.first().map_or(0, |(letters, _)| *letters);
    let nearest = near.into_iter().filter(|(letters, _)| *letters == nearest);
    nearest.take(3).map(|(_, name)| name).collect()
}

/// A zone's clock.
#[derive(Debug)]
pub struct Zone {
    /// By the moment of UTC.
    utc: Steps,
    /// By the time that the clock shows.
    wall: Steps,
}

/// The offset from UTC: `offsets[n]` from `starts[n]` on. The first starts at the beginning of time.
#[derive(Debug)]
struct Steps {
    starts: Vec<i64>,
    offsets: Vec<i64>,
}

impl Zone {
    fn of(zone: &TimeZone) -> Self {
        let ns = |timestamp: Timestamp| i64::try_from(timestamp.as_nanosecond());
        let offset_ns = |seconds: i32| i64::from(seconds) * 1_000_000_000;
        let begin = Timestamp::from_nanosecond(i128::from(i64::MIN)).unwrap_or(Timestamp::MIN);
        let first = offset_ns(zone.to_offset(begin).seconds());
        let (mut starts, mut offsets) = (vec![i64::MIN], vec![first]);
        let mut wall_starts = vec![i64::MIN];
        for change in zone.following(begin) {
            let Ok(at) = ns(change.timestamp()) else {
                break;
            };
            let before = offsets[offsets.len() - 1];
            let after = offset_ns(change.offset().seconds());
            if before != after {
                starts.push(at);
                offsets.push(after);
                // What the clock shows twice, or passes over, counts by the offset before the change.
                wall_starts.push(at.saturating_add(before.max(after)));
            }
        }
        Self {
            wall: Steps {
                starts: wall_starts,
                offsets: offsets.clone(),
            },
            utc: Steps { starts, offsets },
        }
    }

    /// Reads many moments of UTC: a reader is quick as long as the offset stays the same.
    pub fn utc(&self) -> Reader<'_> {
        self.utc.reader()
    }

    /// Reads many times of the zone's clock. A time that it shows twice is the first of the two; one that it passes over is
    /// taken by the offset before the change, and so falls as much after it.
    pub fn wall(&self) -> Reader<'_> {
        self.wall.reader()
    }
}

impl Steps {
    fn reader(&self) -> Reader<'_> {
        Reader {
            steps: self,
            from: i64::MAX,
            to: i64::MIN,
            offset: 0,
        }
    }
}

/// Tells offsets from UTC, and remembers between which times the last one holds.
pub struct Reader<'a> {
    steps: &'a Steps,
    from: i64,
    to: i64,
    offset: i64,
}

impl Reader<'_> {
    /// The offset from UTC at `ns`, in nanoseconds; east of Greenwich it is positive.
    pub fn offset(&mut self, ns: i64) -> i64 {
        if !(self.from..self.to).contains(&ns) {
            let after = self.steps.starts.partition_point(|&start| start <= ns);
            let n = after.saturating_sub(1);
            self.from = self.steps.starts[n];
            self.to = self.steps.starts.get(after).copied().unwrap_or(i64::MAX);
            self.offset = self.steps.offsets[n];
        }
        self.offset
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::DateTime;

    use super::*;

    fn named(name: &str) -> &'static Zone {
        zone(number(name).unwrap()).unwrap()
    }

    fn all() -> impl Iterator<Item = (&'static str, &'static Zone)> {
        let names = ZONES.named.iter().map(|(name, _)| name.as_str());
        names.map(|name| (name, named(name)))
    }

    fn civil(ns: i64) -> DateTime {
        let timestamp = Timestamp::from_nanosecond(i128::from(ns)).unwrap();
        TimeZone::UTC.to_datetime(timestamp)
    }

    /// Times around each change, and far from any.
    fn times(steps: &Steps) -> Vec<i64> {
        let near = [-7_200_000_000_001, -1, 0, 1, 1_800_000_000_000];
        let around = steps.starts[1..]
            .iter()
            .flat_map(|start| near.map(|d| start + d));
        let far = (-90..90).map(|n| n * 100_000_000_000_000_000);
        around.chain(far).collect()
    }

    #[test]
    fn offsets_of_all_zones_are_those_of_the_database() {
        let mut compared = 0;
        for (name, zone) in all() {
            let theirs = ZONES.database.get(name).unwrap();
            let mut reader = zone.utc();
            for ns in times(&zone.utc) {
                let timestamp = Timestamp::from_nanosecond(i128::from(ns)).unwrap();
                let want = i64::from(theirs.to_offset(timestamp).seconds()) * 1_000_000_000;
                assert_eq!(reader.offset(ns), want, "{name} at {timestamp}");
                compared += 1;
            }
        }
        assert!(compared > 100_000, "{compared} moments");
    }

    #[test]
    fn wall_clocks_of_all_zones_are_read_as_the_database_does() {
        for (name, zone) in all() {
            let theirs = ZONES.database.get(name).unwrap();
            let mut reader = zone.wall();
            for ns in times(&zone.wall) {
                let want = theirs
                    .to_ambiguous_timestamp(civil(ns))
                    .compatible()
                    .unwrap();
                let got = i128::from(ns) - i128::from(reader.offset(ns));
                assert_eq!(got, want.as_nanosecond(), "{name}: {}", civil(ns));
            }
        }
    }

    #[test]
    fn names_are_known_in_any_letters_and_others_are_not() {
        assert_eq!(number("america/new_york"), number("America/New_York"));
        assert_eq!(number(" UTC "), number("utc"));
        assert!(number("Europe/London").is_some());
        assert_eq!(number("Mars/Olympus"), None);
        assert_eq!(number(""), None);
    }

    #[test]
    fn a_name_that_is_none_has_similar_ones() {
        assert_eq!(similar("America/New_Yrok"), ["America/New_York"]);
        assert_eq!(similar("New York"), ["America/New_York"]);
        assert_eq!(similar("Amerika/Chicago"), ["America/Chicago"]);
        assert_eq!(similar("Londn"), ["Europe/London"]);
        assert!(similar("Mars/Olympus").is_empty());
        assert!(similar("").is_empty());
    }
}
