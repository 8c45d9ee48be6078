//! `watch`: how namespaces stand, again and again, as a replica sees them that never writes.

use crate::arguments::{Prices, StoreArguments};
use crate::failure::Failure;
use crate::objects;
use crate::observed::Requests;
use crate::output::{Output, Tone, count, size};
use crate::site::{Site, name_of, shown};
use console::Term;
use opjournal::journal::objects::METADATA;
use opjournal::time::{Reading, Stamp};
use opjournal::{Error, Journal, Namespace};
use serde_json::{Map, Value, json};
use std::collections::VecDeque;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Requests are told as an average over this time: a replica sends one in many seconds.
const WINDOW: Duration = Duration::from_secs(60);
const MONTH: f64 = 30.0 * 86_400.0;
/// How long until a namespace that could not be opened is tried again.
const AGAIN: Duration = Duration::from_secs(5);

pub async fn watch(
    store: &StoreArguments,
    names: &[String],
    every: Duration,
    times: Option<u64>,
    prices: &Prices,
    output: &Output,
) -> Result<(), Failure> {
    let watched = async {
        let site = Site::open(store, output).await?;
        let journal = site.reader().await?;
        let names = namespaces(&site, names, output).await?;
        let (now, date) = (site.environment.now(), objects::page(&site, METADATA, None).await?.date);
        let watched: Vec<Watched> = names.into_iter().map(|name| Watched { name, held: Arc::default() }).collect();
        futures_util::future::join_all(watched.iter().map(|one| one.open(&site, &journal))).await;
        for one in &watched {
            one.keep_trying(&journal, &site);
        }
        let mut view =
            View { site: &site, journal: &journal, watched: &watched, origin: date.map(|date| (now, date)), samples: VecDeque::new() };
        let mut screen = Screen::new(output);
        let mut shown = 0;
        loop {
            let look = view.look(prices);
            screen.show(&look, output)?;
            shown += 1;
            if times == Some(shown) {
                return Ok(());
            }
            tokio::time::sleep(every).await;
        }
    };
    tokio::select! {
        ended = watched => ended,
        // Whoever watches has no other way to end it.
        () = crate::ending::asked() => Ok(()),
    }
}

/// Those that are named, all of which have to be there; where none is, all.
async fn namespaces(site: &Site, names: &[String], output: &Output) -> Result<Vec<String>, Failure> {
    if names.is_empty() {
        let progress = output.progress("objects", 0);
        let (all, _) = objects::summaries(site, &progress).await?;
        progress.finish_and_clear();
        if all.is_empty() {
            return Err(Failure::Found(format!("there are no namespaces in {}", site.url())));
        }
        return Ok(all.into_iter().map(|summary| summary.name).collect());
    }
    let mut known: Vec<String> = Vec::new();
    for name in names {
        let name = name_of(name);
        site.check_exists(name).await?;
        if !known.iter().any(|known| known == name) {
            known.push(name.to_owned());
        }
    }
    Ok(known)
}

/// A namespace that is followed.
struct Watched {
    name: String,
    held: Arc<Mutex<Held>>,
}

#[derive(Default)]
struct Held {
    namespace: Option<Namespace>,
    /// Why it is not open.
    error: Option<Error>,
    /// The rollups that were read until the first state was there.
    rollups_at_first: Option<u64>,
}

impl Watched {
    async fn open(&self, site: &Site, journal: &Journal) {
        try_to_open(&self.name, &self.held, journal, site.deadline()).await;
    }

    /// Goes on trying to open it, where it is not: what is wrong may be put right while somebody watches.
    fn keep_trying(&self, journal: &Journal, site: &Site) {
        if lock(&self.held).namespace.is_some() {
            return;
        }
        let (name, held, journal, environment) = (self.name.clone(), self.held.clone(), journal.clone(), site.environment.clone());
        tokio::spawn(async move {
            while lock(&held).namespace.is_none() {
                environment.sleep_until(environment.now() + AGAIN).await;
                try_to_open(&name, &held, &journal, Some(environment.now() + AGAIN)).await;
            }
        });
    }
}

async fn try_to_open(name: &str, held: &Mutex<Held>, journal: &Journal, deadline: Option<Reading>) {
    let opened = journal.namespace(name, deadline).await;
    let mut held = lock(held);
    match opened {
        Ok(namespace) => *held = Held { namespace: Some(namespace), ..Held::default() },
        Err(error) => held.error = Some(error),
    }
}

fn lock(held: &Mutex<Held>) -> std::sync::MutexGuard<'_, Held> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

struct View<'a> {
    site: &'a Site,
    journal: &'a Journal,
    watched: &'a [Watched],
    /// The store's time at a reading of the local clock.
    origin: Option<(Reading, Stamp)>,
    /// Requests so far, at several times, the oldest first.
    samples: VecDeque<(Reading, Requests)>,
}

/// What is shown at one time.
struct Look {
    url: String,
    /// The store's.
    at: Option<Stamp>,
    rows: Vec<Row>,
    requests: Requests,
    per_second: f64,
    usd_a_month: f64,
}

struct Row {
    name: String,
    /// Since the LIST of the last good tick.
    age: Option<Duration>,
    tail: u64,
    state_bytes: u64,
    mark: Option<Stamp>,
    mark_age: Option<Duration>,
    /// By others, since the watch began.
    folds: u64,
    unreadable: Vec<String>,
    last_error: Option<Value>,
}

impl View<'_> {
    fn look(&mut self, prices: &Prices) -> Look {
        let now = self.site.environment.now();
        let at = self.origin.map(|(reading, date)| date + now.since(reading));
        let stats = self.journal.stats();
        let requests = Requests::of(&stats);
        while self.samples.len() > 1 && now.since(self.samples[0].0) > WINDOW {
            self.samples.pop_front();
        }
        let (since, before) = self.samples.front().copied().unwrap_or((now, requests));
        // A refresh that comes often would otherwise keep as many samples.
        if self.samples.back().is_none_or(|(last, _)| now.since(*last) >= WINDOW / 60) {
            self.samples.push_back((now, requests));
        }
        let seconds = now.since(since).as_secs_f64();
        let per_second = |number: f64| if seconds > 0.0 { number / seconds } else { 0.0 };
        let recent = requests.since(&before);
        let rows = self.watched.iter().map(|one| one.row(&stats["namespaces"][&one.name], at)).collect();
        Look {
            url: self.site.url().to_owned(),
            at,
            rows,
            requests,
            per_second: per_second(recent.total() as f64),
            usd_a_month: per_second(recent.usd(prices)) * MONTH,
        }
    }
}

impl Watched {
    fn row(&self, figures: &Value, now: Option<Stamp>) -> Row {
        let number = |member: &str| figures[member].as_u64().unwrap_or_default();
        let mark = figures["mark"]["lm"].as_str().and_then(Stamp::parse).filter(|mark| *mark > Stamp::ZERO);
        let age = figures["age_ms"].as_u64().map(Duration::from_millis);
        let rollups = number("advanced") + number("downloaded");
        let mut held = lock(&self.held);
        if age.is_some() {
            held.rollups_at_first.get_or_insert(rollups);
        }
        let folds = rollups.saturating_sub(held.rollups_at_first.unwrap_or(rollups));
        let last_error =
            held.error.as_ref().map(Error::to_json).or_else(|| Some(figures["last_error"].clone()).filter(|error| !error.is_null()));
        Row {
            name: self.name.clone(),
            age,
            tail: number("tail"),
            state_bytes: number("state_bytes"),
            mark,
            mark_age: mark.and_then(|mark| now.map(|now| now.since(mark))),
            folds,
            unreadable: figures["unreadable"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect(),
            last_error,
        }
    }
}

impl Row {
    fn to_json(&self) -> Value {
        json!({
            "age_ms": self.age.map(milliseconds),
            "tail": self.tail,
            "state_bytes": self.state_bytes,
            "mark": self.mark.map(|mark| mark.to_string()),
            "mark_age_ms": self.mark_age.map(milliseconds),
            "folds": self.folds,
            "unreadable": self.unreadable,
            "last_error": self.last_error,
        })
    }

    /// What is wrong, where anything is.
    fn trouble(&self) -> Option<String> {
        let unreadable = self.unreadable.first().map(|first| match self.unreadable.len() {
            1 => format!("unreadable: {first}"),
            number => format!("{number} unreadable: {first}, ..."),
        });
        let error = self
            .last_error
            .as_ref()
            .map(|error| format!("{}: {}", error["code"].as_str().unwrap_or_default(), error["message"].as_str().unwrap_or_default()));
        match (unreadable, error) {
            (Some(unreadable), Some(error)) => Some(format!("{unreadable}; {error}")),
            (unreadable, error) => unreadable.or(error),
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn seconds(age: Option<Duration>) -> String {
    match age {
        None => "-".to_owned(),
        Some(age) if age < Duration::from_secs(120) => format!("{:.1} s", age.as_secs_f64()),
        Some(age) if age < Duration::from_secs(7200) => format!("{} min", age.as_secs() / 60),
        Some(age) => format!("{} h", age.as_secs() / 3600),
    }
}

impl Look {
    fn to_json(&self) -> Value {
        let namespaces: Map<String, Value> = self.rows.iter().map(|row| (row.name.clone(), row.to_json())).collect();
        json!({
            "store": self.url,
            "at": self.at.map(|at| at.to_string()),
            "namespaces": namespaces,
            "requests": self.requests.to_json(),
            "requests_per_second": self.per_second,
            "usd_per_month": self.usd_a_month,
        })
    }

    fn cost(&self) -> String {
        format!("{:.2} requests a second, {:.2} USD a month", self.per_second, self.usd_a_month)
    }

    /// All of it in one line.
    fn line(&self) -> String {
        let rows = self.rows.iter().map(|row| {
            let trouble = row.trouble().map(|trouble| format!(", {trouble}")).unwrap_or_default();
            format!("{}: age {}, tail {}, {}{trouble}", shown(&row.name), seconds(row.age), row.tail, size(row.state_bytes))
        });
        let rows: Vec<String> = rows.collect();
        format!("{}  {}  {}", self.at.map_or_else(|| "-".to_owned(), |at| at.to_string()), rows.join("; "), self.cost())
    }

    fn table(&self) -> Vec<Vec<String>> {
        let rows = self.rows.iter().map(|row| {
            vec![
                shown(&row.name).to_owned(),
                seconds(row.age),
                count(row.tail),
                size(row.state_bytes),
                seconds(row.mark_age),
                count(row.folds),
                row.trouble().unwrap_or_else(|| "-".to_owned()),
            ]
        });
        rows.collect()
    }
}

const HEADER: [&str; 7] = ["NAMESPACE", "AGE", "TAIL", "STATE", "MARK", "FOLDS", "TROUBLE"];
/// Of these columns the numbers stand to the right.
const NUMBERS: std::ops::RangeInclusive<usize> = 1..=5;

/// Where it is shown: a terminal that is written over each time, or line below line.
struct Screen {
    terminal: Option<Term>,
}

impl Screen {
    fn new(output: &Output) -> Screen {
        let can_move = std::env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb");
        let terminal = (!output.is_json() && can_move && std::io::stdout().is_terminal()).then(Term::buffered_stdout);
        if let Some(terminal) = &terminal {
            // A terminal that cannot do it shows its cursor.
            let _ = terminal.hide_cursor().and_then(|()| terminal.clear_screen()).and_then(|()| terminal.flush());
        }
        Screen { terminal }
    }

    fn show(&mut self, look: &Look, output: &Output) -> Result<(), Failure> {
        let Some(terminal) = &self.terminal else {
            return output.answer(look.to_json(), || output.line(look.line()));
        };
        let (height, width) = terminal.size();
        let lines = lines(look, usize::from(height), usize::from(width), output);
        terminal.move_cursor_to(0, 0)?;
        for (number, line) in lines.iter().enumerate() {
            // No line break after the last one: it would move the screen up.
            if number > 0 {
                terminal.write_str("\r\n")?;
            }
            terminal.write_str(line)?;
            terminal.write_str("\x1b[K")?;
        }
        terminal.clear_to_end_of_screen()?;
        Ok(terminal.flush()?)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if let Some(terminal) = &self.terminal {
            // What was shown last stays; the shell goes on below it.
            let _ = terminal.show_cursor().and_then(|()| terminal.write_line("")).and_then(|()| terminal.flush());
        }
    }
}

/// What fits on a screen of so many lines and columns.
fn lines(look: &Look, height: usize, width: usize, output: &Output) -> Vec<String> {
    let cut = |text: &str| console::truncate_str(text, width, "…").into_owned();
    let at = look.at.map_or_else(String::new, |at| format!("  {at}"));
    let mut lines = vec![cut(&format!("{}{at}", look.url)), cut(&look.cost()), String::new()];
    let table = look.table();
    let widths: Vec<usize> = (0..HEADER.len())
        .map(|column| table.iter().map(|row| console::measure_text_width(&row[column])).chain([HEADER[column].len()]).max().unwrap_or(0))
        .collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded = cells.enumerate().map(|(column, cell)| {
            let side = if NUMBERS.contains(&column) { console::Alignment::Right } else { console::Alignment::Left };
            console::pad_str(cell, widths[column], side, None).into_owned()
        });
        cut(padded.collect::<Vec<_>>().join("  ").trim_end())
    };
    lines.push(line(&mut HEADER.into_iter()));
    // One line is for those that do not fit.
    let room = height.saturating_sub(lines.len() + 1).max(1);
    for (row, cells) in look.rows.iter().zip(&table).take(room) {
        let text = line(&mut cells.iter().map(String::as_str));
        lines.push(if row.trouble().is_some() { output.toned(Tone::Bad, &text) } else { text });
    }
    if table.len() > room {
        lines.push(cut(&format!("and {} more: name those to watch", table.len() - room)));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::ROOT_NAMESPACE;
    use clap::ColorChoice;

    fn look(rows: usize) -> Look {
        let row = |number| Row {
            name: if number == 0 { String::new() } else { format!("namespace-{number}") },
            age: Some(Duration::from_millis(1500)),
            tail: 1234,
            state_bytes: 5000,
            mark: None,
            mark_age: None,
            folds: 0,
            unreadable: if number == 1 { vec!["segment-1.json".into(), "segment-2.json".into()] } else { Vec::new() },
            last_error: None,
        };
        let rows = (0..rows).map(row).collect();
        Look { url: "file:///store".into(), at: None, rows, requests: Requests::default(), per_second: 0.5, usd_a_month: 1.25 }
    }

    #[test]
    fn a_screen_holds_what_fits_and_says_what_does_not() {
        let plain = Output::new(false, ColorChoice::Never);
        for (rows, height, width) in [(2, 24, 80), (100, 10, 40), (100, 3, 5), (3, 0, 1)] {
            let lines = lines(&look(rows), height, width, &plain);
            assert!(lines.iter().all(|line| console::measure_text_width(line) <= width), "{lines:?}");
            assert!(lines.len() <= height.max(6), "{lines:?}");
        }
        let all = lines(&look(2), 24, 100, &plain).join("\n");
        for part in [ROOT_NAMESPACE, "1.5 s", "1,234", "2 unreadable: segment-1.json, ...", "0.50 requests a second, 1.25 USD a month"] {
            assert!(all.contains(part), "{part:?} is not in {all}");
        }
        assert!(lines(&look(100), 10, 80, &plain).join("\n").contains("and 95 more"));
        let colored = lines(&look(2), 24, 100, &Output::new(false, ColorChoice::Always));
        assert_eq!(colored.iter().filter(|line| line.starts_with("\x1b[31m")).count(), 1);
    }
}
