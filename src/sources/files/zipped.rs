//! Zip archives, member by member.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use tempfile::{NamedTempFile, TempPath};
use zip::ZipArchive;
use zip::result::ZipError;

use super::{Error, Source};

/// How the names of unpacked members begin.
pub const UNPACKED: &str = ".unpacked-";
/// An archive has at most this many members.
const MAX_MEMBERS: usize = 100_000;
/// A member is not unpacked to more than this many times its packed size, if it is large: ticks as text shrink to a
/// tenth, a bomb to a thousandth.
const MAX_RATIO: u64 = 200;
const LARGE_BYTES: u64 = 64 << 20;

/// The file itself, or the members of it if it is a zip archive.
pub(super) fn members(path: &Path) -> Result<Vec<Source>, Error> {
    let opened = |source| Error::Open {
        path: path.to_owned(),
        source,
    };
    let mut magic = [0; 4];
    let n = File::open(path)
        .and_then(|mut file| file.read(&mut magic))
        .map_err(opened)?;
    if magic[..n] != *b"PK\x03\x04" {
        return Ok(vec![Source {
            path: path.to_owned(),
            member: None,
            folders: Vec::new(),
        }]);
    }
    let mut archive = open(path)?;
    if archive.len() > MAX_MEMBERS {
        return Err(damaged(
            path,
            &format!(
                "it has {} members; at most {MAX_MEMBERS} are read",
                archive.len()
            ),
        ));
    }
    let mut members = Vec::new();
    for member in 0..archive.len() {
        let entry = archive
            .by_index_raw(member)
            .map_err(|e| damaged(path, &e))?;
        if entry.is_file() {
            members.push(Source {
                path: path.to_owned(),
                member: Some(member),
                folders: Vec::new(),
            });
        }
    }
    Ok(members)
}

/// Unpacks a member into a file of its own; returns its name.
pub(super) fn unpack(
    path: &Path,
    member: usize,
    scratch: &Path,
) -> Result<(String, TempPath), Error> {
    let mut archive = open(path)?;
    let mut entry = archive.by_index(member).map_err(|e| damaged(path, &e))?;
    let name = entry.name().map_err(|e| damaged(path, &e))?.into_owned();
    let limit = LARGE_BYTES.max(entry.compressed_size().saturating_mul(MAX_RATIO));
    let written = |source| Error::Open {
        path: scratch.to_owned(),
        source,
    };
    let mut file = NamedTempFile::with_prefix_in(UNPACKED, scratch).map_err(written)?;
    let mut buffer = vec![0; 256 << 10];
    let mut bytes = 0;
    loop {
        let n = match entry.read(&mut buffer) {
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(damaged(path, &format!("{name}: {e}"))),
        };
        if n == 0 {
            break;
        }
        bytes += n as u64;
        if bytes > limit {
            return Err(damaged(
                path,
                &format!(
                    "{name} unpacks to more than {MAX_RATIO} times its size, like a zip bomb; unpack it yourself if you trust it"
                ),
            ));
        }
        file.write_all(&buffer[..n]).map_err(written)?;
    }
    Ok((name, file.into_temp_path()))
}

fn open(path: &Path) -> Result<ZipArchive<File>, Error> {
    let file = File::open(path).map_err(|source| Error::Open {
        path: path.to_owned(),
        source,
    })?;
    ZipArchive::new(file).map_err(|error: ZipError| damaged(path, &error))
}

fn damaged(path: &Path, why: &dyn std::fmt::Display) -> Error {
    Error::File {
        path: path.display().to_string(),
        message: why.to_string(),
    }
}
