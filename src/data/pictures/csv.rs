//! Pictures named by a CSV file.

use std::collections::BTreeSet;
use std::path::Path;

use super::{Found, Picture};
use crate::data::DataError;

/// Finds the pictures that a CSV file names, one a line: its path, from the file's own folder or
/// `dir`, and the label of its class. A first line `path,label` is a header. Classes are sorted: as
/// numbers if all are whole numbers, else as bytes.
///
/// # Errors
/// [`DataError::Csv`] of a line that does not have two columns, or a file that cannot be read,
/// [`DataError::FewClasses`] of fewer than two classes.
pub fn pictures_of_csv(file: &Path, dir: Option<&Path>) -> Result<Found, DataError> {
    let failed =
        |line: u64, problem: String| DataError::Csv { path: file.to_owned(), line, problem };
    let open = |error: &csv::Error| failed(0, error.to_string());
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_path(file)
        .map_err(|error| open(&error))?;
    let dir = dir.or(file.parent()).unwrap_or(Path::new(""));
    let mut rows: Vec<(String, String)> = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| {
            let line = error.position().map_or(0, csv::Position::line);
            failed(line, error.to_string())
        })?;
        let line = record.position().map_or(0, csv::Position::line);
        let is_header = rows.is_empty() && line <= 1 && record.iter().eq(["path", "label"]);
        if is_header {
            continue;
        }
        match record.iter().collect::<Vec<_>>()[..] {
            [path, label] if !path.is_empty() && !label.is_empty() => {
                rows.push((path.to_owned(), label.to_owned()));
            }
            _ => return Err(failed(line, "is not a path and a label".to_owned())),
        }
    }
    let classes = sorted(rows.iter().map(|(_, label)| label.as_str()));
    if classes.len() < 2 {
        return Err(DataError::FewClasses { dir: file.to_owned(), found: classes });
    }
    let picture = |(path, label): (String, String)| {
        let label = classes.iter().position(|class| *class == label).unwrap_or(0) as u32;
        Picture { path: dir.join(path), label }
    };
    let name = file.file_stem().unwrap_or(file.as_os_str()).to_string_lossy().into_owned();
    let train = rows.into_iter().map(picture).collect();
    Ok(Found { name, classes, train, validation: None, test: None, bad: Vec::new() })
}

fn sorted<'a>(labels: impl Iterator<Item = &'a str>) -> Vec<String> {
    let classes: BTreeSet<&str> = labels.collect();
    let mut classes: Vec<String> = classes.into_iter().map(str::to_owned).collect();
    let numbers: Result<Vec<i64>, _> = classes.iter().map(|class| class.parse()).collect();
    if numbers.is_ok() {
        classes.sort_by_key(|class| class.parse::<i64>().unwrap_or(0));
    }
    classes
}
