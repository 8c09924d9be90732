//! What is made from what, as people and their tools read it. The edges stand in `ops.lineage`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// The query whose rows [`Graph::of`] takes.
pub const EDGES: &str =
    "SELECT name, kind, upstream, made_by FROM ops.lineage WHERE kind <> 'test' ORDER BY ALL";

/// What each relation is made from.
#[derive(Debug, Default)]
pub struct Graph {
    nodes: BTreeMap<String, Node>,
}

#[derive(Debug, Default)]
struct Node {
    kind: String,
    /// What it is made from, each with the files that do it.
    upstream: BTreeMap<String, BTreeSet<String>>,
}

/// How a graph is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// A tree of what each is made from.
    #[default]
    Text,
    /// For Markdown pages.
    Mermaid,
    /// For Graphviz.
    Dot,
    /// For programs.
    Json,
}

impl Graph {
    /// Of the rows of [`EDGES`].
    pub fn of(rows: impl IntoIterator<Item = Vec<Option<String>>>) -> Self {
        let mut graph = Self::default();
        for row in rows {
            let [Some(name), Some(kind), upstream, made_by] = &row[..] else {
                continue;
            };
            let node = graph.nodes.entry(name.clone()).or_default();
            node.kind.clone_from(kind);
            if let Some(upstream) = upstream {
                let by = node.upstream.entry(upstream.clone()).or_default();
                by.extend(made_by.iter().filter(|by| !by.is_empty()).cloned());
            }
        }
        graph
    }

    /// The names in it.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.nodes.keys().map(String::as_str)
    }

    /// The name in it that is meant: as in SQL, capitals make no other one.
    pub fn meant(&self, name: &str) -> Option<&str> {
        self.names().find(|known| known.eq_ignore_ascii_case(name))
    }

    /// Only what a relation is made from, and what is made from it.
    #[must_use]
    pub fn around(mut self, name: &str) -> Self {
        let mut keep = BTreeSet::from([name.to_owned()]);
        let mut waiting = vec![name.to_owned()];
        while let Some(name) = waiting.pop() {
            let upstream = self
                .nodes
                .get(&name)
                .into_iter()
                .flat_map(|n| n.upstream.keys());
            waiting.extend(upstream.filter(|n| keep.insert((*n).clone())).cloned());
        }
        let mut below = BTreeSet::from([name.to_owned()]);
        while let Some((name, _)) = self.nodes.iter().find(|(name, node)| {
            !below.contains(*name) && node.upstream.keys().any(|up| below.contains(up))
        }) {
            below.insert(name.clone());
        }
        keep.extend(below);
        self.nodes.retain(|name, _| keep.contains(name));
        for node in self.nodes.values_mut() {
            node.upstream.retain(|name, _| keep.contains(name));
        }
        self
    }

    /// Writes it; as text, the trees of `roots`, or of all that nothing is made from.
    pub fn write(&self, format: Format, roots: &[&str]) -> String {
        match format {
            Format::Text => self.text(roots),
            Format::Mermaid => self.mermaid(),
            Format::Dot => self.dot(),
            Format::Json => self.json(),
        }
    }

    fn text(&self, roots: &[&str]) -> String {
        let read: BTreeSet<&String> = self
            .nodes
            .values()
            .flat_map(|n| n.upstream.keys())
            .collect();
        let is_root = |name: &&String, node: &&Node| !read.contains(*name) && node.kind != "table";
        let all = self.nodes.iter().filter(|(name, node)| is_root(name, node));
        let all: Vec<&str> = all.map(|(name, _)| name.as_str()).collect();
        let roots = if roots.is_empty() { &all[..] } else { roots };
        let mut out = String::new();
        let mut told = BTreeSet::new();
        for root in roots {
            let kind = self.nodes.get(*root).map_or("", |node| node.kind.as_str());
            let _ = writeln!(out, "{root} ({kind})");
            self.branches(root, "", &mut told, &mut out);
        }
        out
    }

    fn branches<'a>(
        &'a self,
        name: &'a str,
        indent: &str,
        told: &mut BTreeSet<&'a str>,
        out: &mut String,
    ) {
        let Some(node) = self.nodes.get(name) else {
            return;
        };
        let last = node.upstream.len();
        for (i, (up, by)) in node.upstream.iter().enumerate() {
            let (branch, next) = if i + 1 == last {
                ("└─ ", "   ")
            } else {
                ("├─ ", "│  ")
            };
            let kind = self
                .nodes
                .get(up)
                .map_or("table", |node| node.kind.as_str());
            let by = if node.kind == "table" && !by.is_empty() {
                format!(
                    " by {}",
                    by.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
                )
            } else {
                String::new()
            };
            let known = !told.insert(up.as_str());
            let has_more = known
                && self
                    .nodes
                    .get(up)
                    .is_some_and(|node| !node.upstream.is_empty());
            let above = if has_more { " (above)" } else { "" };
            let _ = writeln!(out, "{indent}{branch}{up} ({kind}){by}{above}");
            if !known {
                self.branches(up, &format!("{indent}{next}"), told, out);
            }
        }
    }

    fn mermaid(&self) -> String {
        let mut out = "graph LR\n".to_owned();
        for (name, node) in &self.nodes {
            let (open, close) = match node.kind.as_str() {
                "view" => ("(", ")"),
                "table" => ("[(", ")]"),
                _ => ("[", "]"),
            };
            let _ = writeln!(out, "    {name}{open}{name}{close}");
            for up in node.upstream.keys() {
                let _ = writeln!(out, "    {up} --> {name}");
            }
        }
        out
    }

    fn dot(&self) -> String {
        let mut out = "digraph lineage {\n    rankdir=LR;\n".to_owned();
        for (name, node) in &self.nodes {
            let shape = match node.kind.as_str() {
                "view" => "ellipse",
                "table" => "cylinder",
                _ => "box",
            };
            let _ = writeln!(out, "    \"{name}\" [shape={shape}];");
            for up in node.upstream.keys() {
                let _ = writeln!(out, "    \"{up}\" -> \"{name}\";");
            }
        }
        out + "}\n"
    }

    fn json(&self) -> String {
        let nodes = self.nodes.iter().map(|(name, node)| {
            let upstream = node
                .upstream
                .iter()
                .map(|(name, by)| serde_json::json!({ "name": name, "by": by }));
            serde_json::json!({
                "name": name,
                "kind": node.kind,
                "upstream": upstream.collect::<Vec<_>>(),
            })
        });
        let mut text = serde_json::to_string_pretty(&nodes.collect::<Vec<_>>()).unwrap_or_default();
        text.push('\n');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph() -> Graph {
        let row = |name: &str, kind: &str, up: Option<&str>, by: &str| {
            vec![
                Some(name.to_owned()),
                Some(kind.to_owned()),
                up.map(str::to_owned),
                Some(by.to_owned()),
            ]
        };
        Graph::of([
            row(
                "trades",
                "table",
                Some("raw_messages"),
                "sql/venues/a/trades.sql",
            ),
            row("raw_messages", "table", None, ""),
            row("bars_1m", "incremental", Some("trades"), "f"),
            row("bars_1h", "incremental", Some("bars_1m"), "f"),
            row("ticks", "view", Some("trades"), "f"),
            row("ticks", "view", Some("quotes"), "f"),
        ])
    }

    #[test]
    fn a_tree_tells_what_each_is_made_from_down_to_the_normalizers() {
        assert_eq!(
            graph().write(Format::Text, &["bars_1h", "ticks"]),
            "bars_1h (incremental)\n\
             └─ bars_1m (incremental)\n   \
                └─ trades (table)\n      \
                   └─ raw_messages (table) by sql/venues/a/trades.sql\n\
             ticks (view)\n\
             ├─ quotes (table)\n\
             └─ trades (table) (above)\n"
        );
    }

    #[test]
    fn around_a_model_is_what_it_reads_and_what_reads_it() {
        let names = |graph: &Graph| {
            graph
                .names()
                .map(str::to_owned)
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(
            names(&graph().around("bars_1m")),
            "bars_1h bars_1m raw_messages trades"
        );
        assert!(
            graph()
                .write(Format::Mermaid, &[])
                .contains("    trades --> bars_1m\n")
        );
        assert!(
            graph()
                .write(Format::Dot, &[])
                .contains("\"trades\" -> \"bars_1m\";")
        );
        let json: serde_json::Value =
            serde_json::from_str(&graph().write(Format::Json, &[])).unwrap();
        assert_eq!(json[0]["name"], "bars_1h");
    }
}
