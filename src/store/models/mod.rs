//! Models: the views and marts that the SQL tree defines, what each is made from, and in which order.

mod define;
mod reads;

use std::collections::{BTreeMap, BTreeSet};

use duckdb::Connection;

use super::catalog::{Catalog, Table};
use super::error::{Error, Result};
use crate::model::window::Window;
use crate::sqltree::{Materialize, SqlFile, SqlTree};
pub(super) use define::{apply, columns, create_table, define, keeps_history, own_table_changed};
use reads::{ASOF_JOIN, Look, Reads};

/// All models.
#[derive(Debug, Default)]
pub struct Models {
    /// Each after those that it is made from.
    all: Vec<Model>,
    /// In which order models and macros are defined.
    steps: Vec<Step>,
    tests: Vec<TestFile>,
}

/// A data test in a file of its own.
#[derive(Debug)]
pub struct TestFile {
    /// The file.
    pub file: SqlFile,
    /// The models and canonical tables that it reads, itself or through macros.
    pub upstream: BTreeSet<String>,
}

/// What is defined next.
#[derive(Debug)]
enum Step {
    /// The model of this place in `all`.
    Model(usize),
    /// A macro.
    Macro(Box<Macro>),
}

/// A macro's file.
#[derive(Debug)]
struct Macro {
    file: SqlFile,
    /// The models and canonical tables that it reads, itself or through others.
    upstream: BTreeSet<String>,
}

/// A view or a mart.
#[derive(Debug, Clone)]
pub struct Model {
    /// Its name.
    pub name: String,
    /// Its file.
    pub file: SqlFile,
    /// How it is kept.
    pub kind: Kind,
    /// The models and canonical tables that it reads, itself or through macros.
    pub upstream: BTreeSet<String>,
    /// What else it reads so: tables of the user's own.
    pub own_tables: BTreeSet<String>,
    /// Changes whenever its file does, or that of a view or macro which it is made of.
    pub definition: String,
}

/// How a model is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Not at all: it is a view.
    View,
    /// As a table that is made anew as a whole.
    Full,
    /// As a table of which windows are made anew.
    Incremental {
        /// The column that says in which window a row is.
        time: String,
        /// The windows.
        window: Window,
    },
}

impl Kind {
    /// Its word, for people.
    pub fn name(&self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Full => "full",
            Self::Incremental { .. } => "incremental",
        }
    }
}

impl Model {
    /// Whether it is stored.
    pub fn is_mart(&self) -> bool {
        self.kind != Kind::View
    }

    /// The file's SELECT.
    pub fn select(&self) -> &str {
        self.file.select()
    }
}

impl Models {
    /// Reads the tree's files.
    pub(super) fn load(conn: &Connection, tree: &SqlTree, catalog: &Catalog) -> Result<Self> {
        let mut found = BTreeMap::new();
        for folder in ["views", "marts"] {
            for file in tree.folder(folder) {
                let node = Found {
                    kind: Some(kind_of(folder, file)?),
                    reads: Reads::of(conn, &file.origin, &file.text)?,
                    file,
                };
                check_name(catalog, &found, file)?;
                found.insert(Node::Relation(file.name.to_lowercase()), node);
            }
        }
        for file in tree.folder("macros") {
            let node = Found {
                kind: None,
                reads: Reads::of_macro(conn, &file.text)?,
                file,
            };
            found.insert(Node::Macro(file.name.to_lowercase()), node);
        }
        let graph = Graph {
            found: &found,
            catalog,
        };
        let order = graph.in_order()?;
        let mut models = Self::default();
        let mut definitions = BTreeMap::new();
        for node in order {
            let definition = graph.definition(node, &definitions);
            definitions.insert(node, definition.clone());
            let Found { file, kind, .. } = &found[node];
            let file = (*file).clone();
            let (upstream, own_tables) = graph.read_by(&found[node].reads);
            match kind {
                Some(kind) => {
                    if *kind != Kind::View {
                        graph.check_told(&found[node])?;
                    }
                    if let Kind::Incremental { time, .. } = kind {
                        check_whole(&file, &upstream, &own_tables)?;
                        graph.check_windows(&found[node], time)?;
                    }
                    models.steps.push(Step::Model(models.all.len()));
                    models.all.push(Model {
                        name: file.name.clone(),
                        file,
                        kind: kind.clone(),
                        upstream,
                        own_tables,
                        definition,
                    });
                }
                None => models
                    .steps
                    .push(Step::Macro(Box::new(Macro { file, upstream }))),
            }
        }
        for file in tree.folder("tests") {
            // One that cannot be parsed fails when it is run.
            let reads = Reads::of(conn, &file.origin, &file.text).unwrap_or_default();
            models.tests.push(TestFile {
                file: file.clone(),
                upstream: graph.read_by(&reads).0,
            });
        }
        Ok(models)
    }

    /// The tests that a mart completes what they read of: it is the last one that they read.
    pub fn tests_after<'a>(&'a self, mart: &'a Model) -> impl Iterator<Item = &'a TestFile> {
        self.tests.iter().filter(move |test| {
            let read = self.stored(&test.upstream);
            let last = self
                .iter()
                .filter(|model| model.is_mart() && read.contains(&model.name.to_lowercase()))
                .last();
            last.is_some_and(|last| last.name == mart.name)
        })
    }

    /// All of them, each after those it is made from.
    pub fn iter(&self) -> impl Iterator<Item = &Model> {
        self.all.iter()
    }

    /// A model by name.
    pub fn get(&self, name: &str) -> Option<&Model> {
        self.all
            .iter()
            .find(|model| model.name.eq_ignore_ascii_case(name))
    }

    /// The relations that are stored which a relation is made from, views taken for what they read: marts and canonical
    /// tables.
    pub fn stored(&self, relations: &BTreeSet<String>) -> BTreeSet<String> {
        let mut stored = BTreeSet::new();
        for name in relations {
            match self.get(name) {
                Some(view) if !view.is_mart() => stored.extend(self.stored(&view.upstream)),
                _ => {
                    stored.insert(name.clone());
                }
            }
        }
        stored
    }

    /// The marts that read a mart, views taken for what they read.
    pub fn readers<'a>(&'a self, mart: &'a str) -> impl Iterator<Item = &'a Model> {
        self.iter().filter(move |model| {
            model.is_mart() && self.stored(&model.upstream).iter().any(|name| name == mart)
        })
    }
}

/// The canonical table that a name users query stands for.
pub(super) fn canonical<'a>(catalog: &'a Catalog, name: &str) -> Option<&'a Table> {
    catalog
        .iter()
        .map(AsRef::as_ref)
        .find(|table| table.name == name || table.whole() == name)
}

/// What files define: relations and macros have names of their own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Node {
    Relation(String),
    Macro(String),
}

impl Node {
    fn name(&self) -> &str {
        match self {
            Self::Relation(name) | Self::Macro(name) => name,
        }
    }
}

struct Found<'a> {
    file: &'a SqlFile,
    /// `None` for a macro.
    kind: Option<Kind>,
    reads: Reads,
}

fn refused(file: &SqlFile, message: impl Into<String>) -> Error {
    Error::Model {
        file: file.origin.clone(),
        message: message.into(),
    }
}

fn kind_of(folder: &str, file: &SqlFile) -> Result<Kind> {
    let header = &file.header;
    if folder == "views" {
        if header.materialize.is_some() {
            return Err(refused(
                file,
                "a view is not materialized; its file belongs in marts/",
            ));
        }
        return Ok(Kind::View);
    }
    match header.materialize {
        None => Err(refused(
            file,
            "a mart says `-- @materialize full` or `-- @materialize incremental`",
        )),
        Some(Materialize::Full) => Ok(Kind::Full),
        Some(Materialize::Incremental) => {
            let (Some(time), Some(window)) = (&header.time, header.window) else {
                return Err(refused(
                    file,
                    "an incremental mart says `-- @time COLUMN` and `-- @window LENGTH`",
                ));
            };
            if header.key.is_empty() {
                return Err(refused(
                    file,
                    "an incremental mart says `-- @key COLUMN, …`",
                ));
            }
            Ok(Kind::Incremental {
                time: time.clone(),
                window: Window::of(window),
            })
        }
    }
}

fn check_name(catalog: &Catalog, found: &BTreeMap<Node, Found<'_>>, file: &SqlFile) -> Result<()> {
    let name = file.name.to_lowercase();
    if canonical(catalog, &name).is_some() {
        return Err(refused(
            file,
            format!(
                "'{}' is a canonical table; name the file, and so the model, otherwise",
                file.name
            ),
        ));
    }
    match found.get(&Node::Relation(name)) {
        Some(other) => Err(refused(
            file,
            format!(
                "{} makes '{}' too; two models cannot have one name",
                other.file.origin, file.name
            ),
        )),
        None => Ok(()),
    }
}

/// What an incremental mart is to read as a whole it must read, and something else by window.
fn check_whole(
    file: &SqlFile,
    upstream: &BTreeSet<String>,
    own_tables: &BTreeSet<String>,
) -> Result<()> {
    let whole = &file.header.whole;
    let read: Vec<&str> = upstream.union(own_tables).map(String::as_str).collect();
    if let Some(name) = whole.iter().find(|name| !read.contains(&name.as_str())) {
        return Err(refused(
            file,
            format!(
                "@whole names '{name}', which its SELECT does not read; it reads {}",
                read.join(", ")
            ),
        ));
    }
    if upstream.iter().all(|name| whole.contains(name)) {
        let message = "nothing that its SELECT reads has windows: that are canonical tables, views of them and marts, \
                       and none that @whole names; say `@materialize full`";
        return Err(refused(file, message.to_owned()));
    }
    Ok(())
}

/// DuckDB's function that takes a text for the name of a relation.
const QUERY_TABLE: &str = "query_table";

/// What is made from what.
struct Graph<'a> {
    found: &'a BTreeMap<Node, Found<'a>>,
    catalog: &'a Catalog,
}

impl<'a> Graph<'a> {
    fn is_relation(&self, name: &str) -> bool {
        self.found.contains_key(&Node::Relation(name.to_owned()))
            || canonical(self.catalog, name).is_some()
    }

    /// What a file mentions itself, each with the line. Of a macro's arguments, texts that are names of relations count
    /// if the macro takes such names.
    fn mentions(&self, reads: &Reads) -> Vec<(Node, usize)> {
        let relations = reads
            .relations
            .iter()
            .map(|(name, &line)| (Node::Relation(name.clone()), line));
        let mut mentioned: Vec<(Node, usize)> = relations.collect();
        for (function, texts) in &reads.functions {
            let callee = Node::Macro(function.clone());
            if self.takes_names(function) {
                let names = texts.iter().filter(|text| self.is_relation(text));
                mentioned.extend(names.map(|name| (Node::Relation(name.clone()), 1)));
            }
            mentioned.push((callee, 1));
        }
        mentioned
    }

    /// Whether a function reads relations whose names it is given as texts.
    fn takes_names(&self, function: &str) -> bool {
        let (mut seen, mut waiting) = (BTreeSet::new(), vec![function]);
        while let Some(name) = waiting.pop() {
            if name == QUERY_TABLE {
                return true;
            }
            if seen.insert(name)
                && let Some(found) = self.found.get(&Node::Macro(name.to_owned()))
            {
                waiting.extend(found.reads.functions.keys().map(String::as_str));
            }
        }
        false
    }

    /// The models and canonical tables that a file reads, itself or through macros, and the other relations.
    fn read_by(&self, reads: &Reads) -> (BTreeSet<String>, BTreeSet<String>) {
        let (mut upstream, mut others) = (BTreeSet::new(), BTreeSet::new());
        let mut seen = BTreeSet::new();
        let mut waiting = self.mentions(reads);
        while let Some((node, _)) = waiting.pop() {
            match &node {
                Node::Relation(name) if self.is_relation(name) => {
                    upstream.insert(name.clone());
                }
                Node::Macro(_) => {
                    if let Some(found) = self.found.get(&node)
                        && seen.insert(node)
                    {
                        waiting.extend(self.mentions(&found.reads));
                    }
                }
                Node::Relation(name) => {
                    others.insert(name.clone());
                }
            }
        }
        (upstream, others)
    }

    /// A mart's file, and those of the macros that it calls.
    fn with_macros<'f>(&'f self, mart: &'f Found<'a>) -> Vec<&'f Found<'a>> {
        let (mut seen, mut files, mut at) = (BTreeSet::new(), vec![mart], 0);
        while let Some(found) = files.get(at) {
            at += 1;
            for (node, _) in self.mentions(&found.reads) {
                if matches!(node, Node::Macro(_))
                    && let Some(inner) = self.found.get(&node)
                    && seen.insert(node)
                {
                    files.push(inner);
                }
            }
        }
        files
    }

    /// What a mart reads mdb knows, also through views and macros: or it would not make the mart anew when that changes.
    fn check_told(&self, mart: &Found<'_>) -> Result<()> {
        let (mut seen, mut waiting) = (BTreeSet::new(), vec![mart]);
        while let Some(found) = waiting.pop() {
            if let Some((line, function)) = &found.reads.untold {
                return Err(Error::Sql {
                    file: found.file.origin.clone(),
                    line: *line,
                    message: format!(
                        "the mart {} would not be made anew when what it reads has changed: mdb cannot tell what {function} \
                         reads here; give it a text that is written out, or read the relation by its name",
                        mart.file.name
                    ),
                });
            }
            for (node, _) in self.mentions(&found.reads) {
                if let Some(inner) = self.found.get(&node)
                    && matches!(inner.kind, None | Some(Kind::View))
                    && seen.insert(node)
                {
                    waiting.push(inner);
                }
            }
        }
        Ok(())
    }

    /// What an incremental mart reads by window it calls by its name alone, as do the macros that it calls: only so it is given
    /// the rows of its windows in that name. None of them looks at rows of other windows, which are not there.
    fn check_windows(&self, mart: &Found<'_>, time: &str) -> Result<()> {
        let (name, whole) = (&mart.file.name, &mart.file.header.whole);
        for found in self.with_macros(mart) {
            let refused = |line: usize, message: String| {
                Err(Error::Sql {
                    file: found.file.origin.clone(),
                    line,
                    message,
                })
            };
            let mut named = found.reads.qualified.iter();
            let wrong = named.find(|(name, _)| self.is_relation(name) && !whole.contains(*name));
            if let Some((read, &line)) = wrong {
                return refused(
                    line,
                    format!(
                        "{name} is made by windows, and reads main.{read} past them; write {read}, not main.{read}"
                    ),
                );
            }
            for Look { line, what, within } in &found.reads.looks {
                if what == ASOF_JOIN {
                    if whole.is_empty() {
                        return refused(
                            *line,
                            format!(
                                "{name} is made by windows, and an {what} looks for rows before them; name by @whole what it \
                                 looks in, or say `@materialize full`"
                            ),
                        );
                    }
                } else if within
                    .as_ref()
                    .is_some_and(|columns| self.cross_windows(columns, time))
                {
                    return refused(
                        *line,
                        format!(
                            "{name} is made by windows, and {what} looks from row to row past their ends; let it PARTITION BY \
                             the window too, as in date_trunc('minute', ts), or say `@materialize full`"
                        ),
                    );
                }
            }
        }
        Ok(())
    }

    /// Whether rows that are equal in these columns may lie in several windows: none of them is the mart's time, or
    /// one that a SELECT has made.
    fn cross_windows(&self, columns: &BTreeSet<String>, time: &str) -> bool {
        let stored = |column: &String| {
            let mut tables = self.catalog.iter();
            tables.any(|table| table.columns.iter().any(|c| c.name == *column))
        };
        columns
            .iter()
            .all(|column| column != time && stored(column))
    }

    /// A hash of all the text that a node is made of, given those of the nodes before it: its own file's, and those of the
    /// views and macros that it mentions. A mart is what is stored of it, and says itself when that changes.
    fn definition(&self, node: &Node, before: &BTreeMap<&Node, String>) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.found[node].file.text.as_bytes());
        let mentioned: BTreeSet<Node> = self
            .mentions(&self.found[node].reads)
            .into_iter()
            .map(|(node, _)| node)
            .collect();
        for node in &mentioned {
            let is_mart = self
                .found
                .get(node)
                .and_then(|found| found.kind.as_ref())
                .is_some_and(|kind| *kind != Kind::View);
            if let Some(definition) = before.get(node).filter(|_| !is_mart) {
                hasher.update(definition.as_bytes());
            }
        }
        hasher.finalize().to_hex()[..16].to_owned()
    }

    /// All nodes, each after those it mentions; what is kept by windows follows the ticks, and comes before what need not.
    fn in_order(&self) -> Result<Vec<&'a Node>> {
        let below = |node: &Node| -> Vec<(&'a Node, usize)> {
            let mentioned = self.mentions(&self.found[node].reads).into_iter();
            mentioned
                .filter_map(|(node, line)| Some((self.found.get_key_value(&node)?.0, line)))
                .collect()
        };
        let (mut order, mut done) = (Vec::new(), BTreeSet::new());
        // Depth first; the path is what a circle is told by.
        let mut path: Vec<(&Node, Vec<(&Node, usize)>)> = Vec::new();
        let by_windows =
            |node: &&Node| matches!(self.found[*node].kind, Some(Kind::Incremental { .. }));
        let (first, others): (Vec<_>, Vec<_>) = self.found.keys().partition(by_windows);
        for root in first.into_iter().chain(others) {
            if done.contains(root) {
                continue;
            }
            path.push((root, below(root)));
            while let Some((node, waiting)) = path.last_mut() {
                let node = *node;
                let Some((next, line)) = waiting.pop() else {
                    done.insert(node);
                    order.push(node);
                    path.pop();
                    continue;
                };
                if let Some(at) = path.iter().position(|(node, _)| *node == next) {
                    let names = path[at..].iter().map(|(node, _)| node.name());
                    let circle: Vec<&str> = names.chain([next.name()]).collect();
                    return Err(Error::Sql {
                        file: self.found[node].file.origin.clone(),
                        line,
                        message: format!(
                            "models are made from one another in a circle: {}",
                            circle.join(" reads ")
                        ),
                    });
                }
                if !done.contains(next) {
                    path.push((next, below(next)));
                }
            }
        }
        Ok(order)
    }
}
