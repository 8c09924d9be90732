//! Vendors' files as the benches load them.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use mdb::sources::files::sources;
use mdb::store::{IfExists, Import, Shape, Store};

/// Loads a file, its columns told by their names; unpacks it, if it must, in `dir`.
pub(crate) fn load(store: &mut Store, file: &Path, dir: &Path, into: Option<&str>) {
    let import = Import {
        dialect: "auto".to_owned(),
        into: into.map(str::to_owned),
        venue: Some("bench".to_owned()),
        symbol: None,
        date: None,
        defaults: Vec::new(),
        shape: Shape::default(),
        if_exists: IfExists::Skip,
        max_errors: 0,
        evolve: false,
        memory_bytes: None,
        threads: None,
    };
    for source in sources(file).unwrap() {
        let input = source.open(dir).unwrap();
        let stop = AtomicBool::new(false);
        store.import(&input, &import, &stop, &mut |_| {}).unwrap();
    }
}
