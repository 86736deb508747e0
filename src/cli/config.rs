//! Flags in a file: `--config FILE` stands for the flags that the file names.
//!
//! What there is to name, and what it may be, is taken from clap's definitions. The file becomes
//! arguments that clap reads as if they had been typed.

use std::borrow::Cow;
use std::error::Error as _;
use std::ffi::OsString;
use std::fs;
use std::ops::Range;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

/// The flag that names the file.
const CONFIG: &str = "config";
/// The flag that names a run, whose flags are those of its `config.toml`.
const RESUME: &str = "resume";
/// The subcommand that leaves records of its flags.
const RECORDED: &str = "train";
/// The table of a run's `config.toml` that holds its flags.
pub const FLAGS: &str = "flags";
/// Flags that belong to one run: not kept for another one.
const OF_ONE_RUN: [&str; 4] = ["out", "name", "resume", "max-minutes"];

/// The arguments `given` to the program, with those of the file that `--config` names before them.
///
/// Left out of these are flags that were given, those that conflict with one that was, and values that
/// are the default anyway.
///
/// # Errors
/// Of a file that cannot be read; a [`clap::Error`] of one that is wrong.
pub fn with_file(mut command: Command, given: Vec<OsString>) -> Result<Vec<OsString>> {
    // What is wrong with the arguments, or missing in them, clap says when it reads all of them.
    let loose = command.clone().ignore_errors(true);
    let Ok(matches) = loose.try_get_matches_from(&given) else { return Ok(given) };
    let Some((name, matches)) = matches.subcommand() else { return Ok(given) };
    let named = |flag| matches.try_get_one::<PathBuf>(flag).ok().flatten();
    let run = named(RESUME).map(|run| run.join("config.toml"));
    let Some(path) = &named(CONFIG).cloned().or(run) else { return Ok(given) };
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    command.build();
    let train = command.find_subcommand(RECORDED).cloned();
    let Some(command) = command.find_subcommand_mut(name) else { return Ok(given) };
    let arguments = arguments((command, train.as_ref()), matches, &text).map_err(|wrong| {
        let line = text[..wrong.place.start].matches('\n').count() + 1;
        command.error(wrong.kind, format!("{}:{line}: {}", path.display(), wrong.what))
    })?;
    // Before the subcommand there may only be `--config FILE`.
    let is_name = |i: &usize| given[*i] == *name && given[i - 1] != *format!("--{CONFIG}");
    let after = (1..given.len()).find(is_name).map_or(given.len(), |place| place + 1);
    let (before, rest) = given.split_at(after);
    let arguments = arguments.into_iter().map(OsString::from);
    Ok(before.iter().cloned().chain(arguments).chain(rest.iter().cloned()).collect())
}

/// Every flag with the value it has, for a file that repeats the run: without those that name the run.
pub fn resolved(command: &Command, matches: &ArgMatches) -> Table {
    let kept = flags(command).filter(|(name, _)| !OF_ONE_RUN.contains(name));
    kept.filter_map(|(name, arg)| Some((name.to_owned(), resolved_value(arg, matches)?))).collect()
}

fn resolved_value(arg: &Arg, matches: &ArgMatches) -> Option<Value> {
    let id = arg.get_id().as_str();
    let kind = Kind::of(arg);
    if kind == Kind::Switch {
        return Some(Value::Boolean(matches.get_flag(id)));
    }
    let texts = matches.get_raw(id)?.map(|raw| raw.to_str());
    let mut values = texts.map(|text| text.map(number_or_text)).collect::<Option<Vec<_>>>()?;
    match kind {
        Kind::List | Kind::Several(_) => Some(Value::Array(values)),
        _ => Some(values.pop().unwrap_or(Value::Boolean(true))),
    }
}

/// A number where its text comes back from it.
fn number_or_text(text: &str) -> Value {
    let whole = text.parse().ok().filter(|number: &i64| number.to_string() == text);
    let float = || text.parse().ok().filter(|number: &f64| number.to_string() == text);
    match whole {
        Some(number) => Value::Integer(number),
        None => float().map_or_else(|| Value::String(text.to_owned()), Value::Float),
    }
}

/// The flags of a subcommand that a file may name.
fn flags(command: &Command) -> impl Iterator<Item = (&str, &Arg)> {
    let named = command.get_arguments().filter_map(|arg| Some((arg.get_long()?, arg)));
    named.filter(|(name, arg)| {
        let sets =
            matches!(arg.get_action(), ArgAction::Set | ArgAction::SetTrue | ArgAction::Append);
        sets && *name != CONFIG
    })
}

/// What a flag takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Nothing.
    Switch,
    /// Nothing or a value.
    Optional,
    /// A value.
    One,
    /// A value each time it is given.
    List,
    /// So many values at once.
    Several(usize),
}

impl Kind {
    /// Of an argument of a command that was built.
    fn of(arg: &Arg) -> Self {
        let least = arg.get_num_args().map_or(1, |values| values.min_values());
        match (arg.get_action(), least) {
            (ArgAction::SetTrue, _) => Self::Switch,
            (_, 0) => Self::Optional,
            (_, 2..) => Self::Several(least),
            (ArgAction::Append, _) => Self::List,
            _ => Self::One,
        }
    }

    fn expected(self) -> Cow<'static, str> {
        let words = match self {
            Self::Switch => "expected true or false",
            Self::Optional => "expected true, false or a value",
            Self::One => "expected a number or a text",
            Self::List => "expected a number, a text, or a list of these",
            Self::Several(count) => return format!("expected a list of {count} values").into(),
        };
        words.into()
    }
}

/// What is wrong with a file.
#[derive(Debug)]
struct Wrong {
    /// Bytes of the file.
    place: Range<usize>,
    kind: ErrorKind,
    what: String,
}

impl Wrong {
    fn value(place: Range<usize>, what: String) -> Self {
        Self { place, kind: ErrorKind::ValueValidation, what }
    }
}

/// The flags of a file as arguments. The record of a run also has flags of `train` that `command` has not.
fn arguments(
    (command, train): (&Command, Option<&Command>),
    given: &ArgMatches,
    text: &str,
) -> Result<Vec<String>, Wrong> {
    let table = DeTable::parse(text).map_err(|error| {
        let place = error.span().unwrap_or(0..0);
        Wrong::value(place, error.message().to_owned())
    })?;
    let mut seen: Vec<(&str, usize)> = Vec::new();
    let mut arguments = Vec::new();
    let record = record(table.get_ref()).is_some();
    for (key, value) in entries(table.get_ref()) {
        let (name, arg) = match known(command, key) {
            Err(_) if record && train.is_some_and(|train| known(train, key).is_ok()) => continue,
            found => found?,
        };
        let line = text[..key.span().start].matches('\n').count() + 1;
        if let Some((_, before)) = seen.iter().find(|(seen, _)| *seen == name) {
            let what = format!("{name} is there twice, first in line {before}");
            return Err(Wrong::value(key.span(), what));
        }
        seen.push((name, line));
        let values = values(name, arg, value)?;
        if !is_given(command, arg, given) && !is_default(arg, value) {
            arguments.extend(values);
        }
    }
    Ok(arguments)
}

type Entry<'a, 'i> = (&'a Spanned<Cow<'i, str>>, &'a Spanned<DeValue<'i>>);

/// The flags in the record of a run.
fn record<'a, 'i>(table: &'a DeTable<'i>) -> Option<&'a DeTable<'i>> {
    table.get(FLAGS).and_then(|flags| flags.get_ref().as_table())
}

/// The keys of the file, and of its tables, in its order. The names of tables are for people; but in
/// the record of a run only its flags are flags.
fn entries<'a, 'i>(table: &'a DeTable<'i>) -> Vec<Entry<'a, 'i>> {
    let mut entries = Vec::new();
    for (key, value) in record(table).unwrap_or(table) {
        match value.get_ref().as_table() {
            Some(group) => entries.extend(group),
            None => entries.push((key, value)),
        }
    }
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

/// The flag that a key names; `_` may stand for `-`.
fn known<'a>(
    command: &'a Command,
    key: &Spanned<Cow<'_, str>>,
) -> Result<(&'a str, &'a Arg), Wrong> {
    let wanted = key.get_ref().replace('_', "-");
    let names = |(name, arg): &(&str, &Arg)| {
        *name == wanted || arg.get_all_aliases().is_some_and(|all| all.contains(&wanted.as_str()))
    };
    flags(command).find(names).ok_or_else(|| {
        let distance = |(name, _): &(&str, &Arg)| strsim::damerau_levenshtein(name, &wanted);
        let nearest = flags(command).min_by_key(distance).map_or("none", |(name, _)| name);
        let (place, key, command) = (key.span(), key.get_ref(), command.get_name());
        let what = format!("{command} has no flag '{key}'; the nearest known one is '{nearest}'");
        Wrong { place, kind: ErrorKind::UnknownArgument, what }
    })
}

/// A flag and its value as arguments: none for a switch that is off.
fn values(name: &str, arg: &Arg, value: &Spanned<DeValue<'_>>) -> Result<Vec<String>, Wrong> {
    let kind = Kind::of(arg);
    match (kind, value.get_ref()) {
        (Kind::Switch | Kind::Optional, DeValue::Boolean(on)) => {
            Ok(on.then(|| format!("--{name}")).into_iter().collect())
        }
        (Kind::List, DeValue::Array(list)) => {
            list.iter().map(|value| argument(name, arg, value)).collect()
        }
        (Kind::Several(count), DeValue::Array(list)) if list.len() == count => {
            let values = list.iter().map(|value| checked(name, arg, value));
            std::iter::once(Ok(format!("--{name}"))).chain(values).collect()
        }
        (Kind::Several(count), DeValue::Array(list)) => {
            let what = format!("{name} has {} of {count} values", list.len());
            Err(Wrong::value(value.span(), what))
        }
        (Kind::Switch | Kind::Several(_), _) => Err(mistaken(name, kind, value)),
        _ => Ok(vec![argument(name, arg, value)?]),
    }
}

/// A flag with one value.
fn argument(name: &str, arg: &Arg, value: &Spanned<DeValue<'_>>) -> Result<String, Wrong> {
    Ok(format!("--{name}={}", checked(name, arg, value)?))
}

/// The text of a value, which the flag's own parser has to like.
fn checked(name: &str, arg: &Arg, value: &Spanned<DeValue<'_>>) -> Result<String, Wrong> {
    let text = scalar(value.get_ref()).ok_or_else(|| mistaken(name, Kind::of(arg), value))?;
    let alone = Arg::new("value").long("value").value_parser(arg.get_value_parser().clone());
    let parsed = Command::new("")
        .no_binary_name(true)
        .arg(alone)
        .try_get_matches_from([format!("--value={text}")]);
    let Err(error) = parsed else { return Ok(text.into_owned()) };
    let expected = match (error.source(), error.get(ContextKind::ValidValue)) {
        (Some(source), _) => source.to_string(),
        (None, Some(ContextValue::Strings(values))) if !values.is_empty() => {
            format!("expected one of {}", values.join(", "))
        }
        _ => Kind::of(arg).expected().into_owned(),
    };
    Err(Wrong::value(value.span(), format!("'{text}' for {name}: {expected}")))
}

/// A number as it is written, or a text.
fn scalar<'a>(value: &'a DeValue<'_>) -> Option<Cow<'a, str>> {
    match value {
        DeValue::String(text) => Some(Cow::Borrowed(text)),
        DeValue::Float(number) => Some(Cow::Borrowed(number.as_str())),
        DeValue::Integer(number) if number.radix() == 10 => Some(Cow::Borrowed(number.as_str())),
        DeValue::Integer(number) => {
            let number = i64::from_str_radix(number.as_str(), number.radix()).ok()?;
            Some(Cow::Owned(number.to_string()))
        }
        _ => None,
    }
}

fn mistaken(name: &str, kind: Kind, value: &Spanned<DeValue<'_>>) -> Wrong {
    let (found, expected) = (value.get_ref().type_str(), kind.expected());
    Wrong::value(value.span(), format!("{name} is of the type {found}: {expected}"))
}

/// True if a flag was given, or another one that it cannot stand beside.
fn is_given(command: &Command, arg: &Arg, given: &ArgMatches) -> bool {
    let typed =
        |arg: &Arg| given.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine);
    let excludes = |one: &Arg, other: &Arg| {
        command.get_arg_conflicts_with(one).iter().any(|arg| arg.get_id() == other.get_id())
    };
    let stands_against = |other: &Arg| excludes(arg, other) || excludes(other, arg);
    typed(arg) || command.get_arguments().any(|other| typed(other) && stands_against(other))
}

/// True if a value is what the flag has without it: a flag that requires another one would else do so.
fn is_default(arg: &Arg, value: &Spanned<DeValue<'_>>) -> bool {
    let [default] = arg.get_default_values() else { return false };
    scalar(value.get_ref()).is_some_and(|text| **default == *text)
}
