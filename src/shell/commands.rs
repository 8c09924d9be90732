//! The list of the shell's own commands, which drives help and completion.

/// What stands behind a command, for completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Argument {
    /// A table or view.
    Relation,
    /// One of these words.
    Word(&'static [&'static str]),
    /// How results are written.
    Format,
    /// A command or function.
    Topic,
    /// A file.
    File,
    /// A parameter.
    Parameter,
    /// A saved query.
    Saved,
    /// A setting.
    Setting,
    /// A function.
    Function,
    /// A symbol of the market.
    Symbol,
    /// A venue, or `--at`.
    Venue,
    /// SQL, to the end of the line.
    Query,
    /// The same, or a table or view.
    Relations,
    /// What nobody can complete.
    Text,
}

/// A command as help and completion know it.
pub(super) struct Entry {
    pub(super) name: &'static str,
    pub(super) arguments: &'static str,
    pub(super) help: &'static str,
    pub(super) takes: &'static [Argument],
    /// What `.help` shows beside that, a line each.
    pub(super) examples: &'static [&'static str],
}

const fn entry_of(
    name: &'static str,
    arguments: &'static str,
    help: &'static str,
    takes: &'static [Argument],
    examples: &'static [&'static str],
) -> Entry {
    Entry {
        name,
        arguments,
        help,
        takes,
        examples,
    }
}

pub(super) const COMMANDS: [Entry; 22] = [
    entry_of(
        ".tables",
        "[PATTERN]",
        "tables and views, or those like PATTERN",
        &[Argument::Relation],
        &[".tables", ".tables ops"],
    ),
    entry_of(
        ".schema",
        "[TABLE]",
        "a table's columns with their comments, or how all are defined",
        &[Argument::Relation],
        &[".schema trades"],
    ),
    entry_of(
        ".describe",
        "[TABLE|QUERY]",
        "names and types of the columns; of the last result without an argument",
        &[Argument::Relations],
        &[
            ".describe trades",
            ".describe SELECT symbol, max(price) FROM trades GROUP BY ALL",
        ],
    ),
    entry_of(
        ".summarize",
        "[TABLE|QUERY]",
        "each column's range, mean, quartiles, distinct values and NULLs",
        &[Argument::Relations],
        &[
            ".summarize trades",
            ".summarize FROM trades WHERE symbol = 'BTCUSDT'",
        ],
    ),
    entry_of(
        ".functions",
        "[PATTERN]",
        "functions and macros like PATTERN; without one, mdb's own macros",
        &[Argument::Function],
        &[".functions", ".functions bucket"],
    ),
    entry_of(
        ".settings",
        "[PATTERN]",
        "settings with their values, or those like PATTERN",
        &[Argument::Setting],
        &[".settings memory"],
    ),
    entry_of(
        ".mode",
        "[FORMAT]",
        "how results are written",
        &[Argument::Format],
        &[".mode markdown", ".mode line"],
    ),
    entry_of(
        ".output",
        "[FILE | '|'COMMAND]",
        "results go to a file, or to a command's input; back to the terminal without an argument",
        &[Argument::File],
        &[".output trades.csv", ".output |grep BTC", ".output"],
    ),
    entry_of(
        ".once",
        "FILE | '|'COMMAND",
        "the same for the next result alone",
        &[Argument::File],
        &[".once today.parquet", ".once |wc -l"],
    ),
    entry_of(
        ".last",
        "",
        "the last result whole, in a pager ($PAGER, or less)",
        &[],
        &[".last"],
    ),
    entry_of(
        ".plot",
        "[KIND] [--to FILE.svg] [QUERY]",
        "draws the last result or a query: line, candles, histogram or depth, by its columns if not told",
        &[Argument::Query],
        &[
            ".plot",
            ".plot candles FROM ohlcv('BTCUSDT', '1 minute') ORDER BY ts",
            ".plot histogram SELECT size FROM trades",
            ".plot depth FROM book_at('BTCUSDT', '2024-08-08 23:55')",
            ".plot --to spread.svg SELECT ts, ask_price - bid_price AS spread FROM quotes",
        ],
    ),
    entry_of(
        ".watch",
        "[SECONDS] QUERY",
        "runs a query again and again in place and marks what changed, until q or Ctrl-C",
        &[Argument::Text, Argument::Query],
        &[
            ".watch 1s FROM latest",
            ".watch 500ms SELECT symbol, max(ts) FROM trades GROUP BY ALL",
        ],
    ),
    entry_of(
        ".tail",
        "TABLE [SYMBOL]",
        "shows rows as they come in, until q or Ctrl-C",
        &[Argument::Relation, Argument::Symbol],
        &[".tail trades BTCUSDT"],
    ),
    entry_of(
        ".book",
        "SYMBOL [VENUE] [--at TIME]",
        "the order book as a ladder: live, or as it stood at a time, from which arrow keys step; q ends",
        &[Argument::Symbol, Argument::Venue, Argument::Text],
        &[".book BTCUSDT", ".book BTCUSDT --at '2024-08-08 23:55'"],
    ),
    entry_of(
        ".param",
        "[set NAME VALUE | clear [NAME]]",
        "parameters: a query has the value as $NAME",
        &[
            Argument::Word(&["set", "clear"]),
            Argument::Parameter,
            Argument::Text,
        ],
        &[
            ".param set sym BTCUSDT",
            "FROM trades WHERE symbol = $sym;",
            ".param clear sym",
        ],
    ),
    entry_of(
        ".save",
        "NAME [QUERY]",
        "keeps the last query, or this one, under a name",
        &[Argument::Saved, Argument::Query],
        &[
            ".save spreads",
            ".save spreads SELECT ts, ask_price - bid_price FROM quotes",
        ],
    ),
    entry_of(
        ".run",
        "[NAME]",
        "runs a query that was saved, or lists them",
        &[Argument::Saved],
        &[".run spreads"],
    ),
    entry_of(
        ".read",
        "FILE",
        "runs the statements and commands of a file",
        &[Argument::File],
        &[".read report.sql"],
    ),
    entry_of(
        ".edit",
        "[QUERY]",
        "opens the last query, or this one, in $EDITOR and runs what is saved there",
        &[Argument::Query],
        &[".edit"],
    ),
    entry_of(
        ".timer",
        "[on|off]",
        "whether each query's time, processor time, rows and memory are shown",
        &[Argument::Word(&["on", "off"])],
        &[".timer on"],
    ),
    entry_of(
        ".help",
        "[COMMAND|FUNCTION|MACRO|TABLE]",
        "this list, or what there is to say about one thing, with examples",
        &[Argument::Topic],
        &[".help .plot", ".help ohlcv", ".help arg_max"],
    ),
    entry_of(".quit", "", "leave, as do exit, quit and Ctrl-D", &[], &[]),
];

/// The entry of a command, by its name with or without the dot.
pub(super) fn entry(name: &str) -> Option<&'static Entry> {
    let name = name.trim_start_matches('.');
    COMMANDS
        .iter()
        .find(|entry| entry.name[1..].eq_ignore_ascii_case(name))
}
