//! Folders that are called `name=value`, as programs write the partitions of a table: the name is a column of the files in
//! them.

use std::path::Path;

/// What stands for NULL.
const NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// Such a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// The column.
    pub name: String,
    /// Its value in all rows of the file, as the folder has it.
    pub value: String,
    /// The SQL type that holds the values of all folders of that name.
    pub sql_type: String,
}

/// The folders that each of these files lies in, below `directory`; `None` if one lies in others, or in folders with
/// other names than the rest.
pub(super) fn of<'a>(
    directory: &Path,
    files: impl Iterator<Item = &'a Path>,
) -> Option<Vec<Vec<Folder>>> {
    let mut all: Vec<Vec<Folder>> = files
        .map(|file| pairs(directory, file))
        .collect::<Option<_>>()?;
    let names = |folders: &[Folder]| -> Vec<String> {
        folders.iter().map(|folder| folder.name.clone()).collect()
    };
    let first = names(all.first()?);
    if first.is_empty() || !all.iter().all(|folders| names(folders) == first) {
        return None;
    }
    for at in 0..first.len() {
        let sql_type = type_of(all.iter().map(|folders| folders[at].value.as_str()));
        for folders in &mut all {
            sql_type.clone_into(&mut folders[at].sql_type);
        }
    }
    Some(all)
}

fn pairs(directory: &Path, file: &Path) -> Option<Vec<Folder>> {
    let folders = file.strip_prefix(directory).ok()?.parent()?;
    folders
        .iter()
        .map(|folder| {
            let (name, value) = folder.to_str()?.split_once('=')?;
            (!name.is_empty()).then(|| Folder {
                name: name.to_owned(),
                value: value.to_owned(),
                sql_type: String::new(),
            })
        })
        .collect()
}

/// The type from which the same values can be written again: `0700` is no number.
fn type_of<'a>(values: impl Iterator<Item = &'a str> + Clone) -> &'static str {
    let mut values = values.filter(|value| *value != NULL);
    let is_number = |value: &str| value.parse::<i64>().is_ok_and(|n| n.to_string() == value);
    let is_date = |value: &str| value.len() == 10 && value.parse::<jiff::civil::Date>().is_ok();
    if values.clone().next().is_none() {
        "VARCHAR"
    } else if values.clone().all(is_number) {
        "BIGINT"
    } else if values.all(is_date) {
        "DATE"
    } else {
        "VARCHAR"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types(files: &[&str]) -> Option<String> {
        let all = of(Path::new("dir"), files.iter().map(Path::new))?;
        let first = all[0].iter();
        let first: Vec<String> = first
            .map(|f| format!("{} {}", f.name, f.sql_type))
            .collect();
        Some(first.join(", "))
    }

    #[test]
    fn all_files_lie_in_folders_with_the_same_names_or_none_has_columns_of_them() {
        let types_of = |files: &[&str]| types(files).unwrap_or_default();
        for (files, expected) in [
            (
                &["dir/date=2024-01-01/s=A/1.csv"][..],
                "date DATE, s VARCHAR",
            ),
            (&["dir/s=7203/1.csv", "dir/s=0700/1.csv"][..], "s VARCHAR"),
            (
                &["dir/n=-1/1.csv", "dir/n=__HIVE_DEFAULT_PARTITION__/1.csv"][..],
                "n BIGINT",
            ),
            (&["dir/n=__HIVE_DEFAULT_PARTITION__/1.csv"][..], "n VARCHAR"),
            (&["dir/n=1/1.csv", "dir/n=1.5/1.csv"][..], "n VARCHAR"),
            (
                &["dir/d=2024-01-01/1.csv", "dir/d=never/1.csv"][..],
                "d VARCHAR",
            ),
            (&["dir/a=1/1.csv", "dir/b=1/1.csv"][..], ""),
            (&["dir/a=1/1.csv", "dir/1.csv"][..], ""),
            (&["dir/a=1/more/1.csv"][..], ""),
            (&["dir/=1/1.csv"][..], ""),
            (&["dir/1.csv"][..], ""),
            (&[][..], ""),
        ] {
            assert_eq!(types_of(files), expected, "{files:?}");
        }
    }
}
