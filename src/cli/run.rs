//! `mdb run` and `mdb stream`: capture until Ctrl-C or SIGTERM.

use std::future::Future;
use std::io::Write;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use super::load::summary;
use super::progress::{bar, grouped};
use super::{Outcome, open_store, sql};
use crate::config::{FeedSettings, Settings};
use crate::engine::figures::Figures;
use crate::engine::process::{Process, Scope};
use crate::serve::Socket;

/// How long the statements of others may still run once the capture is over.
const GRACE: Duration = Duration::from_secs(2);
const SHOW_EVERY: Duration = Duration::from_millis(500);

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  mdb run\n  mdb --db /data/market run --shell")]
pub(super) struct RunArgs {
    /// Ask questions meanwhile; the capture ends with the shell
    #[arg(long)]
    shell: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example: mdb stream VENUE BTCUSDT,ETHUSDT --channels trades,quotes,book")]
pub(super) struct StreamArgs {
    /// A folder of sql/venues/
    venue: String,
    /// The instruments, in the venue's own spelling
    #[arg(required = true, value_delimiter = ',', value_name = "SYMBOL")]
    symbols: Vec<String>,
    /// What of them; trades, quotes and book by default, as far as the venue has them
    #[arg(long, value_delimiter = ',', value_name = "CHANNEL")]
    channels: Vec<String>,
    /// Connections to the same channels at once; their copies become one stream
    #[arg(long, default_value_t = 1, value_name = "N")]
    redundancy: usize,
    /// In place of the venue's WebSocket address, e.g. of `mdb replay`
    #[arg(long, value_name = "URL")]
    websocket: Option<String>,
    /// In place of the venue's REST address
    #[arg(long, value_name = "URL")]
    rest: Option<String>,
    /// Ask questions meanwhile; the capture ends with the shell
    #[arg(long)]
    shell: bool,
}

/// Captures all that mdb.toml says.
pub(super) fn run(args: &RunArgs, settings: &Settings) -> anyhow::Result<Outcome> {
    capture(settings, "run", Scope::Everything, args.shell)
}

/// Captures what the command line says.
pub(super) fn stream(args: StreamArgs, settings: &Settings) -> anyhow::Result<Outcome> {
    let mut settings = settings.clone();
    settings.feeds = vec![FeedSettings {
        venue: args.venue,
        symbols: args.symbols,
        channels: args.channels,
        redundancy: args.redundancy,
        websocket: args.websocket,
        rest: args.rest,
        place: None,
    }];
    capture(&settings, "stream", Scope::Feeds, args.shell)
}

fn capture(
    settings: &Settings,
    command: &str,
    scope: Scope,
    shell: bool,
) -> anyhow::Result<Outcome> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("feeds")
        .enable_all()
        .build()
        .context("cannot start threads")?;
    let mut store = open_store(settings)?;
    let process = Process::new(settings.clone(), scope);
    let figures = process.figures();
    let told = Arc::clone(&figures);
    let socket = Socket::open(
        runtime.handle(),
        &settings.db,
        command,
        store.readers()?,
        Arc::new(move || told.status()),
    );
    let socket = match socket {
        Ok(socket) => Some(socket),
        Err(error) if shell => return Err(error.into()),
        Err(error) => {
            writeln!(std::io::stderr(), "note: {error}")?;
            None
        }
    };
    let start = Instant::now();
    let captured = {
        let _guard = runtime.enter();
        let stop = if shell {
            shell_ends(settings.clone())?
        } else {
            interrupted()?
        };
        let shown = (!shell).then(|| runtime.spawn(show(Arc::clone(&figures))));
        let captured = process.run(&runtime, &mut store, stop);
        if let Some(shown) = shown {
            shown.abort();
        }
        captured
    };
    if let Some(socket) = socket {
        runtime.block_on(socket.close(GRACE));
    }
    drop(runtime);
    let closed = store.close();
    captured?;
    closed?;
    summary(&figures.written(), start.elapsed().as_secs_f64())?;
    Ok(Outcome::Done)
}

type Stop = Pin<Box<dyn Future<Output = ()>>>;

fn interrupted() -> anyhow::Result<Stop> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    Ok(Box::pin(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }))
}

/// Runs the shell on a thread of its own, on the socket of this very process.
fn shell_ends(settings: Settings) -> anyhow::Result<Stop> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let (ended_to, ended) = oneshot::channel::<()>();
    std::thread::Builder::new()
        .name("shell".to_owned())
        .spawn(move || {
            if let Err(error) = sql::shell(&settings) {
                super::report(&error);
            }
            drop(ended_to);
        })
        .context("cannot start the shell")?;
    Ok(Box::pin(async move {
        tokio::select! {
            _ = ended => {}
            _ = terminate.recv() => {}
        }
    }))
}

/// Keeps a line about the capture on the terminal.
async fn show(figures: Arc<Figures>) {
    let bar = bar(None, "capturing", "{spinner} {msg} · {prefix} · {elapsed}");
    let mut ticks = tokio::time::interval(SHOW_EVERY);
    loop {
        ticks.tick().await;
        let written = figures.written();
        bar.set_prefix(format!(
            "{} messages/s · {} messages · {} gaps · {} dead letters",
            grouped(figures.rate() as u64),
            grouped(written.messages),
            grouped(written.gaps),
            grouped(written.dead_letters),
        ));
        bar.tick();
    }
}
