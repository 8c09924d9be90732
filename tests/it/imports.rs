//! The project's own rules: imports point one way, no venue is named in Rust, no machine's path anywhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::walk;

/// The modules, each rank allowed to use the ranks before it.
const RANKS: [&[&str]; 15] = [
    &["model"],
    &["config"],
    &["sqltree"],
    &["venues"],
    &["sources"],
    &["book"],
    &["store"],
    &["transform"],
    &["query"],
    &["output"],
    &["engine"],
    &["jobs", "research"],
    &["shell", "serve"],
    &["cli"],
    // The crate's two roots, which no module may reach into.
    &["lib", "main"],
];

fn rank(module: &str) -> Option<usize> {
    RANKS.iter().position(|rank| rank.contains(&module))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Files below `dir` of the project, by path relative to the project, with their text.
fn texts(dir: &str, extensions: &[&str]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    walk(&root().join(dir), &mut |path| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        if extension.is_some_and(|extension| extensions.contains(&extension)) {
            let name = path.strip_prefix(root()).unwrap().to_str().unwrap();
            found.push((name.to_owned(), fs::read_to_string(path).unwrap()));
        }
    });
    found
}

/// The top-level module that a file of src/ belongs to.
fn module_of(file: &str) -> String {
    let inside = PathBuf::from(file.strip_prefix("src/").unwrap());
    let first = inside.components().next().unwrap();
    Path::new(&first)
        .file_stem()
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned()
}

/// The text without its line comments, which may name whatever they like.
fn code(text: &str) -> String {
    let lines = text.lines().map(|line| line.split("//").next().unwrap());
    lines.collect::<Vec<_>>().join("\n")
}

/// The modules named behind `crate::`, in paths and in groups (`use crate::{model::Time, store}`).
fn used_modules(code: &str) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let inside_word =
            code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$');
        if inside_word {
            continue;
        }
        let rest = code[at + "crate::".len()..].trim_start();
        if let Some(group) = rest.strip_prefix('{') {
            used.extend(group_heads(group));
        } else {
            used.insert(identifier(rest));
        }
    }
    used
}

fn identifier(text: &str) -> String {
    text.chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

/// The first name of each entry of a group, up to its closing brace.
fn group_heads(group: &str) -> Vec<String> {
    let mut heads = Vec::new();
    let mut depth = 0;
    let mut entry = String::new();
    for c in group.chars() {
        match c {
            '}' if depth == 0 => break,
            ',' if depth == 0 => heads.push(identifier(std::mem::take(&mut entry).trim_start())),
            '{' => depth += 1,
            '}' => depth -= 1,
            _ if depth == 0 => entry.push(c),
            _ => {}
        }
    }
    heads.push(identifier(entry.trim_start()));
    heads.retain(|head| !head.is_empty());
    heads
}

#[test]
fn imports_are_read_as_the_compiler_reads_them() {
    let text = "use crate::{model::{Time, Row}, book,\n  store::Writer};\nuse crate::config::Settings; // crate::cli\n\
                fn f() -> crate::query::Rows { my_crate::shell::x() }";
    let used: Vec<String> = used_modules(&code(text)).into_iter().collect();
    assert_eq!(used, ["book", "config", "model", "query", "store"]);
}

#[test]
fn modules_use_only_what_stands_left_of_them() {
    let mut wrong = Vec::new();
    for (file, text) in texts("src", &["rs"]) {
        let module = module_of(&file);
        let Some(own) = rank(&module) else {
            wrong.push(format!(
                "{file}: the module {module} has no place in DESIGN's order"
            ));
            continue;
        };
        if own == RANKS.len() - 1 {
            continue;
        }
        for used in used_modules(&code(&text)) {
            match rank(&used) {
                _ if used == module => {}
                Some(other) if other < own => {}
                Some(_) => wrong.push(format!("{file}: {module} may not use crate::{used}")),
                None => wrong.push(format!(
                    "{file}: crate::{used} is no module of DESIGN's order"
                )),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether `word` stands in `text` with no letter or digit around it.
fn holds_word(text: &str, word: &str) -> bool {
    let part_of_word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    text.match_indices(word).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + word.len()..]);
        !part_of_word(before.chars().next_back()) && !part_of_word(after.chars().next())
    })
}

#[test]
fn no_venue_is_named_in_rust() {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(root().join("sql/venues")).expect("sql/venues") {
        let name = entry.unwrap().file_name().into_string().unwrap();
        // Of `exchange_market` the exchange's name alone is a venue's name, too.
        names.extend(
            name.split_once('_')
                .map(|(exchange, _)| exchange.to_owned()),
        );
        names.insert(name);
    }
    assert!(names.len() > 1, "no venue in sql/venues");
    for (file, text) in texts("src", &["rs"]) {
        let text = text.to_lowercase();
        for name in &names {
            assert!(!holds_word(&text, name), "{file} names the venue {name}");
        }
    }
}

#[test]
fn no_path_of_a_machine_stands_in_the_project() {
    let homes = ["home", "Users", "root", "work"].map(|name| format!("/{name}/"));
    let everywhere = [
        "src", "sql", "tests", "benches", "examples", "data", "docs", ".ci",
    ];
    let kinds = ["rs", "sql", "toml", "py", "sh", "md", "txt"];
    let mut files: Vec<(String, String)> = everywhere
        .iter()
        .flat_map(|dir| texts(dir, &kinds))
        .collect();
    for name in ["README.md", "Cargo.toml", ".ci/run", ".gitignore"] {
        if let Ok(text) = fs::read_to_string(root().join(name)) {
            files.push((name.to_owned(), text));
        }
    }
    assert!(!files.is_empty());
    for (file, text) in files {
        for home in &homes {
            let found = text.lines().find(|line| {
                line.match_indices(home.as_str()).any(|(at, _)| {
                    // `…/framework/` or a URL's path is none.
                    !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '.' || c == '_')
                })
            });
            assert!(
                found.is_none(),
                "{file}: a machine's path in {:?}",
                found.unwrap_or_default()
            );
        }
    }
}
