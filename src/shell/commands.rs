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
    /// SQL, to the end of the line, or of the query that is open there.
    Query,
    /// The same, or a table or view.
    Relations,
    /// The same, or a kind of picture.
    Picture,
    /// What nobody can complete.
    Text,
}

/// A command as help and completion know it.
pub(super) struct Entry {
    pub(super) name: &'static str,
    pub(super) arguments: &'static str,
    /// A few words for the list.
    pub(super) help: &'static str,
    /// What its own page says beside them.
    pub(super) more: &'static str,
    pub(super) takes: &'static [Argument],
    /// What `.help` shows beside that, a line each.
    pub(super) examples: &'static [&'static str],
}

const fn entry_of(
    name: &'static str,
    arguments: &'static str,
    help: &'static str,
    more: &'static str,
    takes: &'static [Argument],
    examples: &'static [&'static str],
) -> Entry {
    Entry {
        name,
        arguments,
        help,
        more,
        takes,
        examples,
    }
}

/// The commands by what they are about.
pub(super) const SECTIONS: [(&str, &[Entry]); 5] = [
    (
        "What there is",
        &[
            entry_of(
                ".tables",
                "[PATTERN]",
                "tables and views: rows, bytes, range of time",
                "All of mdb's, or those like PATTERN, of other schemas too. bytes are those of files in the lake; views hold no rows of their own.",
                &[Argument::Relation],
                &[".tables", ".tables ops"],
            ),
            entry_of(
                ".schema",
                "[TABLE]",
                "a table's columns, with what they mean",
                "Without a table: how all are defined.",
                &[Argument::Relation],
                &[".schema trades"],
            ),
            entry_of(
                ".describe",
                "[TABLE|QUERY]",
                "names and types of the columns",
                "Of a table or a query, without one of the last result.",
                &[Argument::Relations],
                &[
                    ".describe trades",
                    ".describe SELECT symbol, max(price) FROM trades GROUP BY ALL",
                ],
            ),
            entry_of(
                ".summarize",
                "[TABLE|QUERY]",
                "each column's range, mean, quartiles, NULLs",
                "Of a table or a query, without one of the last result.",
                &[Argument::Relations],
                &[
                    ".summarize trades",
                    ".summarize FROM trades WHERE symbol = 'BTCUSDT'",
                ],
            ),
            entry_of(
                ".functions",
                "[PATTERN]",
                "functions and macros",
                "Those like PATTERN; without one, mdb's own macros.",
                &[Argument::Function],
                &[".functions", ".functions bucket"],
            ),
            entry_of(
                ".settings",
                "[PATTERN]",
                "settings with their values",
                "All, or those like PATTERN.",
                &[Argument::Setting],
                &[".settings memory"],
            ),
            entry_of(
                ".models",
                "",
                "views and marts: how each is kept, and how fresh it is",
                "",
                &[],
                &[".models"],
            ),
            entry_of(
                ".lineage",
                "[MODEL]",
                "what is made from what, down to the venues' SQL",
                "Of one table, view or mart, or of all.",
                &[Argument::Relation],
                &[".lineage ohlcv_1m"],
            ),
            entry_of(
                ".venues",
                "",
                "venues that can be captured, and what there is of each",
                "",
                &[],
                &[".venues"],
            ),
            entry_of(
                ".status",
                "",
                "what the capture is doing; without one, what is there",
                "",
                &[],
                &[".status"],
            ),
        ],
    ),
    (
        "Pictures, and what changes",
        &[
            entry_of(
                ".plot",
                "[KIND] [--to FILE] [TABLE|QUERY]",
                "draws the last result, a table or a query",
                "Line, candles, histogram, depth, heat or bar, by its columns if not told; --to writes a PNG, SVG or HTML file. Of a \
                 table: its rows in .range, of .symbol.",
                &[Argument::Picture],
                &[
                    ".plot",
                    ".plot trades",
                    ".plot candles FROM ohlcv('BTCUSDT', '1 minute') ORDER BY ts",
                    ".plot histogram SELECT size FROM trades",
                    ".plot SELECT symbol, count(*) AS trades FROM trades GROUP BY ALL",
                    ".plot depth FROM book_at('BTCUSDT', '2024-08-08 23:55')",
                    ".plot --as heat SELECT ts, price, size FROM book_deltas WHERE symbol = $symbol",
                    ".plot --to spread.svg SELECT ts, ask_price - bid_price AS spread FROM quotes",
                ],
            ),
            entry_of(
                ".candles",
                "[SYMBOL] [VENUE] [LENGTH]",
                "bars of a symbol in .range",
                "Of .symbol, and as long as the width asks for, if not told. Left and right move .range, up and down zoom it, q ends; beside a capture the newest bar is repainted. The bars are the last result.",
                &[Argument::Symbol, Argument::Venue, Argument::Text],
                &[".candles BTCUSDT 1m", ".candles"],
            ),
            entry_of(
                ".watch",
                "[SECONDS] QUERY",
                "repeats a query in place and marks what changed",
                "Until q or Ctrl-C.",
                &[Argument::Text, Argument::Query],
                &[
                    ".watch 1s FROM latest",
                    ".watch 500ms SELECT symbol, max(ts) FROM trades GROUP BY ALL",
                ],
            ),
            entry_of(
                ".tail",
                "TABLE [SYMBOL] [VENUE] | off",
                "shows rows as they come in, above the prompt",
                "Of .symbol, if none is told. Until another .tail, or .tail off. Without a capture: the last ones in .range.",
                &[Argument::Relation, Argument::Symbol, Argument::Venue],
                &[".tail trades BTCUSDT", ".tail quotes", ".tail off"],
            ),
            entry_of(
                ".book",
                "[SYMBOL] [VENUE] [--at TIME]",
                "the order book as a ladder",
                "Live, or as it stood at a time or at the end of .range, from which arrow keys step; q ends.",
                &[Argument::Symbol, Argument::Venue, Argument::Text],
                &[".book BTCUSDT", ".book BTCUSDT --at '2024-08-08 23:55'"],
            ),
            entry_of(
                ".symbol",
                "[SYMBOL [VENUE] | clear]",
                "what .book, .tail, .candles and .plot are of",
                "Queries have it as $symbol, and $venue. Macros such as vwap take it where no symbol is given.",
                &[Argument::Symbol, Argument::Venue],
                &[
                    ".symbol BTCUSDT",
                    "FROM trades WHERE symbol = $symbol;",
                    "FROM ohlcv(bucket := '5 minutes');",
                    ".symbol clear",
                ],
            ),
            entry_of(
                ".range",
                "[FROM..TO | last TIME | in | out | left | right]",
                "the times that .candles, .plot and .book are of",
                "In UTC; either end may be left out, and TO is a date's end, a time of FROM's date, or a moment. last is counted back from the newest row. in and out zoom, left and right move by half. Queries have it as $from and $to. Macros such as vwap take it where no times are given.",
                &[Argument::Word(&[
                    "last", "in", "out", "left", "right", "..",
                ])],
                &[
                    ".range 2024-08-08 09:30..16:00",
                    ".range 2024-08-08",
                    ".range last 2h",
                    ".range in",
                    "FROM trades WHERE ts >= $from AND ts < $to;",
                    ".range ..",
                ],
            ),
        ],
    ),
    (
        "Results",
        &[
            entry_of(
                ".mode",
                "[FORMAT]",
                "how results are written",
                "",
                &[Argument::Format],
                &[".mode markdown", ".mode line"],
            ),
            entry_of(
                ".last",
                "",
                "the last result whole, in a pager",
                "In $PAGER, or less if there is one.",
                &[],
                &[".last"],
            ),
            entry_of(
                ".copy",
                "[FORMAT]",
                "puts the last result into the clipboard, also over ssh",
                "By the terminal (OSC 52), up to 56,244 bytes, as tsv if not told. In tmux: set -g set-clipboard on.",
                &[Argument::Format],
                &[".copy", ".copy markdown"],
            ),
            entry_of(
                ".once",
                "FILE | '|'COMMAND",
                "the same for the next result alone",
                "",
                &[Argument::File],
                &[".once today.parquet", ".once |wc -l"],
            ),
            entry_of(
                ".output",
                "[FILE | '|'COMMAND]",
                "results go to a file, or to a command's input",
                "Back to the terminal without an argument.",
                &[Argument::File],
                &[".output trades.csv", ".output |grep BTC", ".output"],
            ),
            entry_of(
                ".export",
                "FILE [TABLE|QUERY]",
                "writes a table, query or the last result to a file",
                "As the file's name says; whole, or not at all. mdb export has more options.",
                &[Argument::File, Argument::Relations],
                &[
                    ".export trades.parquet trades",
                    ".export day.csv FROM ohlcv('BTCUSDT', '1 day')",
                    ".export last.json",
                ],
            ),
        ],
    ),
    (
        "Queries",
        &[
            entry_of(
                ".param",
                "[set NAME VALUE | clear [NAME]]",
                "parameters, which a query has as $NAME",
                "",
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
                "",
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
                "",
                &[Argument::Saved],
                &[".run spreads"],
            ),
            entry_of(
                ".read",
                "FILE",
                "runs the statements and commands of a file",
                "",
                &[Argument::File],
                &[".read report.sql"],
            ),
            entry_of(
                ".edit",
                "[QUERY]",
                "opens a query in $EDITOR and runs what is saved there",
                "The last query, or this one.",
                &[Argument::Query],
                &[".edit"],
            ),
            entry_of(
                ".explain",
                "QUERY",
                "runs a query and shows its plan with times and rows",
                "Of the lake: how many of its files were read. Rows are those an operator gave.",
                &[Argument::Query],
                &[".explain SELECT max(price) FROM trades WHERE ts >= '2024-08-08'"],
            ),
            entry_of(
                ".import",
                "FILE [NAME]",
                "makes a temporary table of a file",
                "CSV, Parquet or JSON, also compressed; it lasts as long as the shell. mdb load keeps rows in the database.",
                &[Argument::File, Argument::Text],
                &[".import fills.csv", ".import fills.csv my_fills"],
            ),
        ],
    ),
    (
        "The shell",
        &[
            entry_of(
                ".timer",
                "[on|off]",
                "whether each query's time, rows and memory are shown",
                "Wall time, processor time of its own and of the system for it, rows, bytes read from files, and peak memory: of the process that has the database open.",
                &[Argument::Word(&["on", "off"])],
                &[".timer on"],
            ),
            entry_of(
                ".color",
                "[on|off|dark|light|auto]",
                "colours: by the background, or as told",
                "auto, as it begins, has none with NO_COLOR. The variable MDB_COLOR says the same for every shell.",
                &[Argument::Word(&["on", "off", "dark", "light", "auto"])],
                &[".color light", ".color off"],
            ),
            entry_of(
                ".keys",
                "[emacs|vi]",
                "the keys with which a line is edited",
                "",
                &[Argument::Word(&["emacs", "vi"])],
                &[".keys vi"],
            ),
            entry_of(
                ".help",
                "[COMMAND|FUNCTION|MACRO|TABLE]",
                "this list, or all about one thing",
                "A command, function, macro or table; with examples.",
                &[Argument::Topic],
                &[".help .plot", ".help ohlcv", ".help arg_max"],
            ),
            entry_of(
                ".quit",
                "",
                "leave, as do exit, quit and Ctrl-D",
                "",
                &[],
                &[],
            ),
        ],
    ),
];

/// All commands.
pub(super) fn commands() -> impl Iterator<Item = &'static Entry> {
    SECTIONS.iter().flat_map(|(_, entries)| entries.iter())
}

/// The entry of a command, by its name with or without the dot.
pub(super) fn entry(name: &str) -> Option<&'static Entry> {
    let name = name.trim_start_matches('.');
    commands().find(|entry| entry.name[1..].eq_ignore_ascii_case(name))
}
