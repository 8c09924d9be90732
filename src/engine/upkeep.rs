//! Upkeep beside a capture: finished dates are sealed, many small files become one, and what is older than mdb.toml keeps
//! is dropped.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::marts::Marts;
use crate::config::Settings;
use crate::model::time::date_of;
use crate::sources::now_ns;
use crate::store::{self, Effort, Importer, Order, Sealer, Which};
use crate::transform::Error;
use crate::transform::build::{Builder, Request};

/// Those who change the lake, one at a time.
pub(super) struct Lake {
    pub(super) sealer: Sealer,
    pub(super) importer: Importer,
}

/// The one that does it.
pub(super) struct Upkeep {
    lake: Arc<Mutex<Lake>>,
    marts: Marts,
    orders: mpsc::Sender<Order>,
    stop: AtomicBool,
    /// Files may have left the lake that are still there, …
    untidy: AtomicBool,
    /// … and this build of marts may read them.
    build: Mutex<Option<u64>>,
    /// Rows are to be dropped by these settings once the marts have them.
    waiting: Mutex<Option<Settings>>,
    at_work: Mutex<Option<JoinHandle<()>>>,
}

impl Upkeep {
    pub(super) fn new(lake: Arc<Mutex<Lake>>, marts: Marts, orders: mpsc::Sender<Order>) -> Self {
        Self {
            lake,
            marts,
            orders,
            stop: AtomicBool::new(false),
            untidy: AtomicBool::new(false),
            build: Mutex::new(None),
            waiting: Mutex::new(None),
            at_work: Mutex::new(None),
        }
    }

    /// Does all there is to do, on a thread of its own. One that is still at it needs no other.
    pub(super) fn begin(this: &Arc<Self>, settings: &Settings) {
        let settings = settings.clone();
        Self::spawn(this, move |upkeep| upkeep.run(&settings));
    }

    /// Goes on with what has had to wait: drops what the marts have by now, and removes what has left the lake once nobody
    /// can be reading it.
    pub(super) fn tick(this: &Arc<Self>) {
        if let Some(settings) = lock(&this.waiting).clone() {
            Self::spawn(this, move |upkeep| {
                upkeep.drop_old(&lock(&upkeep.lake).sealer, &settings);
            });
        }
        let build = *lock(&this.build);
        let is_read = build.is_some() && build == this.marts.under_way();
        if this.untidy.load(Ordering::Relaxed) && !is_read {
            Self::spawn(this, Self::tidy);
        }
    }

    fn spawn(this: &Arc<Self>, work: impl FnOnce(&Self) + Send + 'static) {
        let mut at_work = lock(&this.at_work);
        if at_work.as_ref().is_some_and(|work| !work.is_finished()) {
            return;
        }
        let upkeep = Arc::clone(this);
        *at_work = Some(tokio::task::spawn_blocking(move || {
            work(&upkeep);
        }));
    }

    /// Ends it: a file under way is given up, or made known if it is whole.
    pub(super) async fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        let at_work = lock(&self.at_work).take();
        if let Some(work) = at_work {
            // It has told of its errors.
            let _ = work.await;
        }
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    /// Each step by itself: that one fails is no reason to leave out the others.
    fn run(&self, settings: &Settings) {
        let lake = lock(&self.lake);
        tell(self.seal(&lake.sealer, settings));
        tell(self.compact(&lake.sealer));
        self.drop_old(&lake.sealer, settings);
    }

    fn drop_old(&self, sealer: &Sealer, settings: &Settings) {
        let waits = tell(self.retain(sealer, settings)).unwrap_or_default();
        let waiting = (!waits.is_empty()).then(|| settings.clone());
        let before = std::mem::replace(&mut *lock(&self.waiting), waiting);
        if before.is_none() && !waits.is_empty() {
            tracing::info!("old rows of {} wait for their marts", waits.join(", "));
        }
        *lock(&self.build) = self.marts.under_way();
        self.untidy.store(true, Ordering::Relaxed);
    }

    fn seal(&self, sealer: &Sealer, settings: &Settings) -> store::Result<()> {
        sealer.seal(Which::Finished(&settings.seal, now_ns()), |file| {
            tracing::info!("sealed {}: {} rows", file.path, file.rows);
            self.marts.deleted(file.rows);
            self.goes_on()
        })
    }

    fn compact(&self, sealer: &Sealer) -> store::Result<()> {
        let compacted = sealer.compact(Effort::LIVE, &self.stop, |_| {})?;
        for (table, merged) in compacted.tables {
            let (before, after) = (merged.files_before, merged.files);
            tracing::info!("compacted {table}: {before} files are {after}");
        }
        Ok(())
    }

    /// Returns the tables whose old rows wait for their marts.
    fn retain(&self, sealer: &Sealer, settings: &Settings) -> Result<Vec<String>, Error> {
        let mut waits = Vec::new();
        for retention in &settings.retain {
            if !self.goes_on() {
                break;
            }
            let marts = match &retention.downsample {
                Some(mart) => Builder::new(sealer.modeler()?).keepers(mart)?,
                None => Vec::new(),
            };
            let Some(expired) = sealer.expired(&retention.table, retention.keep, marts)? else {
                continue;
            };
            let (dates, table) = (expired.dates, &expired.table);
            if dates == 0 {
                continue;
            }
            if !expired.is_plausible(date_of(now_ns())) {
                let newest = expired.newest;
                tracing::error!("{table} has rows of {newest}: nothing of it is dropped");
                continue;
            }
            if !settings.models.live && !expired.marts.is_empty() {
                self.build_marts(sealer, &expired.marts)?;
            }
            match sealer.drop_expired(&expired) {
                Err(store::Error::NotDownsampled { .. }) if settings.models.live => {
                    waits.push(table.clone());
                }
                dropped => {
                    dropped?;
                    tracing::info!("dropped {dates} dates of {table}");
                    if expired.late_rows > 0 {
                        tracing::warn!(
                            "{} older rows of {table} stay: they came when rows of their time had been dropped, and are in no mart",
                            expired.late_rows
                        );
                    }
                }
            }
        }
        Ok(waits)
    }

    /// Brings the marts up to date that are to hold what is dropped; beside a capture that keeps them, nobody has to.
    fn build_marts(&self, sealer: &Sealer, marts: &[String]) -> Result<(), Error> {
        let request = Request {
            names: marts.to_vec(),
            ..Request::default()
        };
        Builder::new(sealer.modeler()?).build(&request, &self.stop, &mut |built| {
            tell(built.error.map_or(Ok(()), Err));
        })
    }

    fn tidy(&self) {
        let tidied = lock(&self.lake).sealer.tidy(&self.orders);
        // What cannot be removed now is at the next round, or the next start.
        self.untidy
            .store(matches!(tidied, Ok(false)), Ordering::Relaxed);
        tell(tidied);
    }
}

fn tell<T, E: std::fmt::Display>(result: Result<T, E>) -> Option<T> {
    result
        .inspect_err(|error| tracing::error!("upkeep: {error}"))
        .ok()
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
