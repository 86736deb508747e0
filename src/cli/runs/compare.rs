//! Two runs beside each other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Serialize;
use toml::{Table, Value};
use vgg_wgpu::train::history::{EpochRecord, History, loss_text};
use vgg_wgpu::train::{NamedHistory, write_comparison};

use super::list::Run;
use crate::cli::common::{columns, say};
use crate::cli::config::FLAGS;

/// How the second run differs from the first.
#[derive(Debug, Serialize)]
pub struct Comparison {
    runs: [Named; 2],
    settings: Vec<Setting>,
    results: Vec<Outcome>,
    epochs: Vec<Epoch>,
    #[serde(skip)]
    histories: [History; 2],
}

#[derive(Debug, Serialize)]
struct Named {
    name: String,
    folder: PathBuf,
}

/// A setting in which they differ; null where a run has none.
#[derive(Debug, Serialize)]
struct Setting {
    setting: String,
    values: [Option<Value>; 2],
}

/// A number that came out.
#[derive(Debug, Serialize)]
struct Outcome {
    result: &'static str,
    values: [f64; 2],
    /// The second minus the first.
    difference: f64,
    #[serde(skip)]
    form: Form,
}

#[derive(Debug, Clone, Copy)]
enum Form {
    Whole,
    Tenths,
    Share,
    Loss,
}

/// What both measured after an epoch; null where a run has not come as far.
#[derive(Debug, Serialize)]
struct Epoch {
    epoch: u32,
    runs: [Option<EpochRecord>; 2],
}

impl Comparison {
    /// Of two runs.
    pub fn of([a, b]: [&Run; 2]) -> Self {
        let named =
            |run: &Run| Named { name: run.settings.name.clone(), folder: run.folder.clone() };
        Self {
            runs: [named(a), named(b)],
            settings: differing([&a.table, &b.table]),
            results: results([a, b]),
            epochs: epochs([&a.history, &b.history]),
            histories: [a.history.clone(), b.history.clone()],
        }
    }

    /// Draws the curves of both.
    pub fn plot(&self, file: &Path) -> Result<()> {
        let names = self.names();
        let [a, b] = &self.histories;
        let runs = [
            NamedHistory { name: &names[0], history: a },
            NamedHistory { name: &names[1], history: b },
        ];
        Ok(write_comparison(runs, &format!("{} and {}", names[0], names[1]), file)?)
    }

    /// Prints it.
    pub fn print(&self) -> Result<()> {
        let [a, b] = self.names();
        let text = |value: &Option<Value>| value.as_ref().map_or("-".to_owned(), shown);
        let rows = self.settings.iter().map(|Setting { setting, values }| {
            let [a, b] = values.each_ref().map(text);
            vec![setting.clone(), a, b]
        });
        let rows: Vec<_> = rows.collect();
        match rows.is_empty() {
            true => say("the settings are the same")?,
            false => say(columns(&["setting", &a, &b], &rows).trim_end())?,
        }
        let rows: Vec<_> = self.results.iter().map(Outcome::row).collect();
        let titles = ["result", &format!(">{a}"), &format!(">{b}"), ">difference"];
        say(format!("\n{}", columns(&titles, &rows).trim_end()))?;
        let rows: Vec<_> = self.epochs.iter().map(Epoch::row).collect();
        let both = |what: &str| [format!(">{what} {a}"), format!(">{b}"), ">difference".to_owned()];
        let titles = [both("val loss"), both("val acc")].concat();
        let titles: Vec<&str> = [">epoch"].into_iter().chain(titles.iter().map(|t| &**t)).collect();
        Ok(say(format!("\n{}", columns(&titles, &rows).trim_end()))?)
    }

    /// What the two are called: their folders, if they have the same name.
    fn names(&self) -> [String; 2] {
        let [a, b] = &self.runs;
        match a.name == b.name {
            true => [&a.folder, &b.folder].map(|folder| folder.display().to_string()),
            false => [a.name.clone(), b.name.clone()],
        }
    }
}

/// The settings that differ: the flags, then what else `config.toml` tells and no flag does.
fn differing(tables: [&Table; 2]) -> Vec<Setting> {
    let [flags, others] = [true, false].map(|flags| {
        let [a, b] = tables.map(|table| flat(table, flags));
        let keys = a.keys().chain(b.keys().filter(|key| !a.contains_key(*key)));
        let pair = |key: &String| (key.clone(), [a.get(key).cloned(), b.get(key).cloned()]);
        let pairs = keys.map(pair).filter(|(_, [a, b])| a != b);
        pairs.map(|(key, values)| (key, without_common(values))).collect::<Vec<_>>()
    });
    let is_flag = |(key, values): &(String, [Option<Value>; 2])| {
        let name = key.rsplit('.').next().unwrap_or(key).replace('_', "-");
        let same = |(a, b): (&Option<Value>, &Option<Value>)| match (number(a), number(b)) {
            (Some(a), Some(b)) => a == b,
            _ => a == b,
        };
        let is = |of_flag: &[Option<Value>; 2]| of_flag.iter().zip(values).all(same);
        flags.iter().any(|(flag, of_flag)| *flag == name && is(of_flag))
    };
    let others = others.into_iter().filter(|other| !is_flag(other)).collect::<Vec<_>>();
    let all = flags.into_iter().chain(others);
    all.map(|(setting, values)| Setting { setting, values }).collect()
}

/// A number, which flags keep as it was typed (`1`) and other tables by its type (`1.0`).
fn number(value: &Option<Value>) -> Option<f64> {
    match value {
        Some(Value::Integer(number)) => Some(*number as f64),
        Some(Value::Float(number)) => Some(*number),
        _ => None,
    }
}

/// The flags by name, or all other settings with the names of their tables before theirs.
fn flat(table: &Table, flags: bool) -> BTreeMap<String, Value> {
    let mut settings = BTreeMap::new();
    for (name, value) in table {
        match value {
            Value::Table(flag) if name == FLAGS && flags => settings.extend(flag.clone()),
            Value::Table(_) if name == FLAGS => {}
            // Two runs have two names.
            _ if flags || name == "name" => {}
            Value::Table(group) => {
                settings.extend(group.iter().map(|(key, v)| (format!("{name}.{key}"), v.clone())));
            }
            other => {
                settings.insert(name.clone(), other.clone());
            }
        }
    }
    settings
}

/// Of two lists what only one of them has.
fn without_common(values: [Option<Value>; 2]) -> [Option<Value>; 2] {
    let [Some(Value::Array(a)), Some(Value::Array(b))] = &values else { return values };
    let only = |list: &[Value], other: &[Value]| {
        let only = list.iter().filter(|value| !other.contains(value)).cloned();
        Some(Value::Array(only.collect()))
    };
    [only(a, b), only(b, a)]
}

/// A value for people.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(list) if list.is_empty() => "-".to_owned(),
        Value::Array(list) => list.iter().map(shown).collect::<Vec<_>>().join(", "),
        // A kernel that was chosen: layer, task, variant.
        Value::Table(table) => table.values().map(shown).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

fn results([a, b]: [&Run; 2]) -> Vec<Outcome> {
    let outcome = |result, form, value: &dyn Fn(&Run) -> f64| {
        let values = [value(a), value(b)];
        Outcome { result, values, difference: values[1] - values[0], form }
    };
    let speed = |run: &Run| {
        let epochs = &run.history.epochs;
        epochs.iter().map(|epoch| epoch.images_per_s).sum::<f64>() / epochs.len() as f64
    };
    vec![
        outcome("best val accuracy", Form::Share, &|run| run.best().val_acc),
        outcome("in epoch", Form::Whole, &|run| run.best().epoch.into()),
        outcome("its val loss", Form::Loss, &|run| run.best().val_loss),
        outcome("last val loss", Form::Loss, &|run| run.last().val_loss),
        outcome("last train loss", Form::Loss, &|run| run.last().train_loss),
        outcome("epochs", Form::Whole, &|run| run.history.epochs.len() as f64),
        outcome("seconds", Form::Tenths, &|run| run.seconds()),
        outcome("images/s", Form::Tenths, &speed),
    ]
}

impl Outcome {
    fn row(&self) -> Vec<String> {
        let [a, b] = self.values.map(|value| self.form.text(value));
        vec![self.result.to_owned(), a, b, signed(self.difference, self.form)]
    }
}

impl Form {
    fn text(self, value: f64) -> String {
        match self {
            Self::Whole => format!("{value:.0}"),
            Self::Tenths => format!("{value:.1}"),
            Self::Share => format!("{value:.4}"),
            Self::Loss => loss_text(value),
        }
    }
}

fn signed(value: f64, form: Form) -> String {
    let text = form.text(value);
    if value > 0.0 { format!("+{text}") } else { text }
}

/// The epochs that either run has finished.
fn epochs([a, b]: [&History; 2]) -> Vec<Epoch> {
    let mut epochs: BTreeMap<u32, [Option<EpochRecord>; 2]> = BTreeMap::new();
    for (place, history) in [a, b].into_iter().enumerate() {
        for record in &history.epochs {
            epochs.entry(record.epoch).or_default()[place] = Some(*record);
        }
    }
    epochs.into_iter().map(|(epoch, runs)| Epoch { epoch, runs }).collect()
}

impl Epoch {
    fn row(&self) -> Vec<String> {
        let cells = |value: fn(&EpochRecord) -> f64, form: Form| {
            let [a, b] = self.runs.map(|record| record.as_ref().map(value));
            let text = |value: Option<f64>| value.map_or("-".to_owned(), |v| form.text(v));
            let difference = a.zip(b).map_or("-".to_owned(), |(a, b)| signed(b - a, form));
            [text(a), text(b), difference]
        };
        let loss = cells(|record| record.val_loss, Form::Loss);
        let accuracy = cells(|record| record.val_acc, Form::Share);
        [self.epoch.to_string()].into_iter().chain(loss).chain(accuracy).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Table {
        text.parse().unwrap()
    }

    #[test]
    fn a_setting_that_is_a_flag_is_shown_once() {
        let config = |rate: &str, resolution: usize| {
            table(&format!(
                "name = '{rate}'\n[flags]\nlr = {rate}\nno-shuffle = true\n\
                 [learning]\nlr = {rate}\n[network]\nresize = {resolution}\n"
            ))
        };
        let of = |a: &Table, b: &Table| {
            let settings = differing([a, b]);
            settings.into_iter().map(|setting| setting.setting).collect::<Vec<_>>()
        };
        let (a, b) = (config("0.1", 32), config("0.2", 32));
        assert_eq!(of(&a, &b), ["lr"]);
        assert_eq!(of(&a, &config("0.1", 64)), ["network.resize"]);
        assert_eq!(of(&a, &a), [""; 0]);
        // As it was typed, and as it was parsed.
        let typed = |rate: &str, parsed: &str| {
            table(&format!("[flags]\nlr = {rate}\n[learning]\nlr = {parsed}"))
        };
        assert_eq!(of(&typed("0", "0.0"), &typed("0.5", "0.5")), ["lr"]);
        assert_eq!(
            of(&a, &table("[flags]\nlr = 0.1")),
            ["no-shuffle", "learning.lr", "network.resize"]
        );
    }

    #[test]
    fn of_lists_only_what_one_has_is_shown() {
        let [a, b] = ["x = ['one', 'two']", "x = ['two', 'three', 'four']"].map(table);
        let settings = differing([&a, &b]);
        let shown = settings[0].values.each_ref().map(|value| shown(value.as_ref().unwrap()));
        assert_eq!(shown, ["one", "three, four"]);
    }
}
