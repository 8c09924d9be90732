//! What a session may do on a database that its process has open for writing: no more than one that has the file
//! to itself, and nothing that reaches beyond the session.
//!
//! That reading changes nothing is DuckDB's own promise: each statement runs in a read-only transaction, in
//! which only the session's temporary objects can be written. The rules here keep statements away that would
//! leave that transaction, or that concern the whole process, which is busy with something else.

use super::error::{Error, SqlError};
use super::paths;
use super::tokens::{Edited, Token, tokens};
use crate::model::statements::first_word;
use crate::store;

/// Statements about the process as a whole.
const PROCESS_WIDE: [&str; 9] = [
    "attach",
    "checkpoint",
    "connect",
    "detach",
    "disconnect",
    "force",
    "import",
    "install",
    "load",
];

/// Functions and pragmas about it.
const PROCESS_WIDE_CALLS: [&str; 9] = [
    "checkpoint",
    "disable_checkpoint_on_shutdown",
    "disable_logging",
    "disable_object_cache",
    "enable_checkpoint_on_shutdown",
    "enable_logging",
    "enable_object_cache",
    "force_checkpoint",
    "truncate_duckdb_logs",
];

/// The schemas that belong to mdb itself.
const OWN_SCHEMAS: [&str; 3] = ["hot", "hot_b", "ops"];

/// State of a session on a shared database.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Whether the user has begun a transaction.
    in_transaction: bool,
}

/// What is run for a statement.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) edited: Edited,
    /// In a read-only transaction of its own.
    pub(super) guarded: bool,
    pub(super) after: After,
}

/// What a statement does to the user's transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// Nothing.
    Same,
    /// It begins one.
    Begun,
    /// It ends it.
    Ended,
}

impl Shared {
    /// What to run for `sql`.
    ///
    /// # Errors
    /// If it may not be run here; the message says why, and what to do.
    pub(super) fn admit(&self, sql: &str, write: bool) -> Result<Admitted, Error> {
        let tokens = tokens(sql);
        let first = tokens
            .first()
            .map_or_else(String::new, |token| first_word(token.text));
        let second = tokens.get(1);
        if let Some(file) = database_file(sql, &first, &tokens) {
            return Err(refused(
                Some(file),
                "this file is the open database itself; its tables can be asked, its file not",
            ));
        }
        let second_statement = tokens
            .iter()
            .skip_while(|token| !token.is_sign(";"))
            .find(|token| !token.is_sign(";"));
        if let Some(token) = second_statement {
            return Err(Error::Sql(Box::new(SqlError {
                message: "one statement at a time".to_owned(),
                at: Some(token.range()),
                hint: None,
            })));
        }
        let process_wide = PROCESS_WIDE.contains(&first.as_str())
            || (first == "update" && second.is_some_and(|word| word.is("extensions")))
            || (first == "pragma" && second.is_some_and(|word| word.is("import_database")));
        let call = tokens.iter().enumerate().find_map(|(i, token)| {
            let name = token.name()?;
            let called = tokens.get(i + 1).is_some_and(|next| next.is_sign("("));
            let called = called || (first == "pragma" && i == 1);
            (called && PROCESS_WIDE_CALLS.contains(&name.as_str())).then_some(token)
        });
        if call.is_some() || (process_wide && !(write && first == "import")) {
            return Err(refused(
                call.or(tokens.first()),
                "this concerns the whole process that has the database open, and is not for others to do",
            ));
        }
        let (edits, after) = match first.as_str() {
            "begin" | "start" if !write => (
                vec![(0..sql.len(), "BEGIN TRANSACTION READ ONLY".to_owned())],
                After::Begun,
            ),
            "begin" | "start" => (Vec::new(), After::Begun),
            "commit" | "end" | "rollback" | "abort" => (Vec::new(), After::Ended),
            "set" | "reset" => (for_session(&tokens)?, After::Same),
            "pragma" if tokens.get(2).is_some_and(|sign| sign.is_sign("=")) => (
                vec![(tokens[0].range(), "SET SESSION".to_owned())],
                After::Same,
            ),
            _ => (Vec::new(), After::Same),
        };
        if write && let Some(token) = changes_own_schema(&first, &tokens) {
            return Err(refused(
                Some(token),
                "the schemas hot and ops belong to the process that has the database open",
            ));
        }
        Ok(Admitted {
            edited: Edited::new(sql, edits),
            guarded: !write && after == After::Same && !self.in_transaction,
            after,
        })
    }

    /// Takes note of what came of a statement.
    pub(super) fn ran(&mut self, after: After, well: bool) {
        match after {
            After::Begun if well => self.in_transaction = true,
            // Also if it failed: whatever was open is rolled back then.
            After::Ended => self.in_transaction = false,
            After::Begun | After::Same => {}
        }
    }
}

/// Settings hold for the session, even those that DuckDB would set for all.
fn for_session(tokens: &[Token<'_>]) -> Result<Vec<(std::ops::Range<usize>, String)>, Error> {
    let Some(scope) = tokens.get(1) else {
        return Ok(Vec::new());
    };
    if scope.is("global") {
        return Err(refused(Some(scope), SETTING));
    }
    let scoped = scope.is_any(&["session", "local", "variable", "schema", "time"]);
    if scoped && !tokens.get(2).is_some_and(|sign| sign.is_sign("=")) {
        return Ok(Vec::new());
    }
    Ok(vec![(scope.at..scope.at, "SESSION ".to_owned())])
}

const SETTING: &str = "this setting holds for the whole process that has the database open";

/// Says of a refused setting what DuckDB cannot know.
pub(super) fn explain(error: Error) -> Error {
    match error {
        Error::Sql(error)
            if [
                "cannot be set locally",
                "cannot be reset locally",
                "as a session variable",
            ]
            .iter()
            .any(|words| error.message.contains(words)) =>
        {
            Error::Sql(Box::new(SqlError {
                message: SETTING.to_owned(),
                hint: Some("mdb.toml sets memory_limit and threads, under [store]".to_owned()),
                at: error.at,
            }))
        }
        error => error,
    }
}

fn refused(token: Option<&Token<'_>>, message: &str) -> Error {
    Error::Sql(Box::new(SqlError {
        message: message.to_owned(),
        at: token.map(Token::range),
        hint: Some("wait until that process has ended, or end it".to_owned()),
    }))
}

/// The text that names the database file where a path stands, or may come to stand. Reading the file would also drop the lock
/// on it: the system drops a process's locks when it closes the file.
fn database_file<'t, 's>(sql: &str, first: &str, tokens: &'t [Token<'s>]) -> Option<&'t Token<'s>> {
    if !sql.contains(store::FILE) {
        return None;
    }
    let names_it = |token: &Token<'_>| {
        token
            .value()
            .is_some_and(|value| value.ends_with(store::FILE))
    };
    let computed = paths::computed(sql);
    let is_part = |token: &Token<'_>| computed.iter().any(|place| place.contains(&token.at));
    // What a later statement reads.
    let kept = matches!(first, "execute" | "set");
    let named = tokens.iter().enumerate().find(|(i, token)| {
        names_it(token) && (kept || is_part(token) || paths::is_path(tokens, *i))
    });
    named.map(|(_, token)| token)
}

/// The token by which a statement names a table or schema of mdb's own in order to change it. What it only
/// reads is no concern of this.
fn changes_own_schema<'t, 's>(first: &str, tokens: &'t [Token<'s>]) -> Option<&'t Token<'s>> {
    let own = |token: &Token<'_>| {
        token
            .name()
            .is_some_and(|name| OWN_SCHEMAS.contains(&name.as_str()))
    };
    let every = matches!(first, "drop" | "alter" | "truncate" | "comment");
    let any_name =
        first == "use" || (first == "drop" && tokens.get(1).is_some_and(|word| word.is("schema")));
    let sets_path = first == "set"
        && tokens
            .iter()
            .any(|token| token.is_any(&["schema", "search_path"]));
    tokens.iter().enumerate().find_map(|(i, token)| {
        let text_names_own = sets_path
            && token.value().is_some_and(|value| {
                value
                    .to_lowercase()
                    .split([',', '.'])
                    .any(|part| OWN_SCHEMAS.contains(&part.trim().trim_matches('"')))
            });
        let dotted = tokens.get(i + 1).is_some_and(|next| next.is_sign("."));
        let named = any_name
            || after_schema(tokens, i)
            || (dotted && (every || is_target(first, tokens, i)));
        (text_names_own || (own(token) && named)).then_some(token)
    })
}

fn after_schema(tokens: &[Token<'_>], i: usize) -> bool {
    before(tokens, i).is_some_and(|word| word.is("schema"))
}

/// The word before a name, less its catalog and an `IF [NOT] EXISTS`.
fn before<'t, 's>(tokens: &'t [Token<'s>], name: usize) -> Option<&'t Token<'s>> {
    let mut i = name;
    if i >= 2 && tokens[i - 1].is_sign(".") {
        i -= 2;
    }
    while i > 0 && tokens[i - 1].is_any(&["if", "not", "exists", "only"]) {
        i -= 1;
    }
    tokens[..i].last()
}

fn is_target(first: &str, tokens: &[Token<'_>], name: usize) -> bool {
    const KINDS: [&str; 10] = [
        "into", "update", "table", "view", "macro", "function", "sequence", "type", "schema",
        "copy",
    ];
    let Some(word) = before(tokens, name) else {
        return false;
    };
    if word.is("from") {
        let at = tokens.iter().position(|token| token.at == word.at);
        return at.is_some_and(|at| at > 0 && tokens[at - 1].is("delete"));
    }
    if first == "create" {
        // What stands behind AS is a question.
        let head = !tokens[..name].iter().any(|token| token.is("as"));
        return head && (word.is("on") || word.is_any(&KINDS));
    }
    // So is `TABLE hot.x`.
    word.is_any(&KINDS) && !word.is("table")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admit(sql: &str, write: bool) -> Result<Admitted, String> {
        Shared::default()
            .admit(sql, write)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn settings_are_the_sessions_own() {
        for (sql, run) in [
            (
                "SET default_order = 'desc'",
                "SET SESSION default_order = 'desc'",
            ),
            ("set session x = 1", "set session x = 1"),
            ("set variable x = 1", "set variable x = 1"),
            ("set schema = 'a'", "set SESSION schema = 'a'"),
            ("set schema 'a'", "set schema 'a'"),
            ("reset default_order", "reset SESSION default_order"),
            ("PRAGMA threads=4", "SET SESSION threads=4"),
            ("pragma table_info('trades')", "pragma table_info('trades')"),
            ("select 1", "select 1"),
        ] {
            assert_eq!(admit(sql, false).unwrap().edited.sql, run);
        }
        assert!(admit("set global threads = 4", true).is_err());
        assert!(admit("reset global threads", false).is_err());
    }

    #[test]
    fn a_transaction_of_a_reader_is_read_only() {
        let mut shared = Shared::default();
        let begin = shared.admit("BEGIN", false).unwrap();
        assert_eq!(begin.edited.sql, "BEGIN TRANSACTION READ ONLY");
        assert!(!begin.guarded);
        shared.ran(begin.after, true);
        assert!(shared.in_transaction);
        assert!(!shared.admit("select 1", false).unwrap().guarded);
        let commit = shared.admit("commit", false).unwrap();
        shared.ran(commit.after, false);
        assert!(!shared.in_transaction);
        assert!(shared.admit("select 1", false).unwrap().guarded);
        assert!(!shared.admit("select 1", true).unwrap().guarded);
    }

    #[test]
    fn what_concerns_the_process_is_refused() {
        for sql in [
            "attach 'x.db'",
            "LOAD json",
            "force checkpoint",
            "update extensions",
            "pragma import_database('d')",
            "select * from read_blob('data/market.duckdb')",
            "select * from read_blob('data/' || 'market.duckdb')",
            "from 'market.duckdb'",
            "copy t to 'market.duckdb'",
            "set variable f = 'market.duckdb'",
            "execute p('market.duckdb')",
            "commit; drop table t",
            "select 1 --\r; commit; drop table t",
            "\u{a0}attach 'x.db'",
            "\u{b}set global threads = 1",
            "\u{feff}\u{3000}commit;\u{2003}drop table t",
            "call checkpoint()",
            "from \"Force_Checkpoint\"()",
            "pragma disable_checkpoint_on_shutdown",
            "call enable_logging()",
        ] {
            assert!(admit(sql, false).is_err(), "{sql}");
        }
        assert!(admit("select ';', '\u{a0}attach';", false).is_ok());
        assert!(admit("select checkpoint from t", false).is_ok());
        for sql in [
            "select * from t where file like '%market.duckdb'",
            "select 'market.duckdb' as name from read_text('a')",
        ] {
            assert!(admit(sql, false).is_ok(), "{sql}");
        }
        assert!(admit("update mine set i = 1", true).is_ok());
        assert!(admit("import database 'd'", true).is_ok());
        assert!(admit("import database 'd'", false).is_err());
    }

    #[test]
    fn a_writer_may_read_what_is_mdbs_own_but_not_change_it() {
        for sql in [
            "insert into hot.trades select * from mine",
            "INSERT OR REPLACE INTO \"Hot\".trades values (1)",
            "insert into market.hot.trades values (1)",
            "delete from hot.trades",
            "with gone as (delete from ops.manifest returning *) from gone",
            "update ops.progress set seq = 0",
            "drop table if exists mine, hot.trades",
            "drop schema hot cascade",
            "alter table hot.trades add column x int",
            "create or replace table hot.trades as select 1",
            "create table if not exists hot.x (i int)",
            "create index i on hot.trades (seq)",
            "truncate hot.trades",
            "merge into hot.trades using mine on true when matched then delete",
            "copy hot.trades from 'x.csv'",
            "comment on table hot.trades is 'x'",
            "use hot",
            "set search_path = 'main,hot'",
            "set schema = 'ops'",
            "delete from\u{a0}hot.trades",
        ] {
            assert!(admit(sql, true).is_err(), "{sql}");
        }
        for sql in [
            "create table mine as from hot.trades",
            "create table mine as select hot.seq from hot.trades hot join ops.loads on ops.loads.last_seq = hot.seq",
            "insert into mine select * from ops.manifest",
            "delete from mine where seq in (select seq from hot.trades)",
            "copy (from hot.trades) to 'x.csv'",
            "select * from (table hot.trades)",
            "create table mine as table hot.trades",
            "alter table mine drop column hot",
            "create view v as select * from hot.quotes",
            "update mine set hot = 1",
        ] {
            assert!(admit(sql, true).is_ok(), "{sql}");
        }
    }
}
