//! How a command answers: tables for people, or JSON, one value a line.

use crate::failure::Failure;
use clap::ColorChoice;
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use serde_json::{Value, json};
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

pub struct Output {
    is_json: bool,
    color: ColorChoice,
}

/// How a word of an answer is to be taken.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    Good,
    Doubtful,
    Bad,
}

impl Output {
    pub fn new(is_json: bool, color: ColorChoice) -> Output {
        Output { is_json, color }
    }

    pub fn is_json(&self) -> bool {
        self.is_json
    }

    pub fn is_colored(&self) -> bool {
        match self.color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => {
                let is_unset = |name| std::env::var_os(name).is_none_or(|value| value.is_empty());
                is_unset("NO_COLOR") && std::env::var_os("TERM").is_some_and(|term| term != "dumb") && io::stdout().is_terminal()
            }
        }
    }

    /// A word, in colour where there is any.
    pub fn toned(&self, tone: Tone, text: &str) -> String {
        if !self.is_colored() {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Good => 32,
            Tone::Doubtful => 33,
            Tone::Bad => 31,
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// A line for people.
    pub fn line(&self, text: impl AsRef<str>) -> Result<(), Failure> {
        self.bytes(text.as_ref().as_bytes())?;
        self.bytes(b"\n")
    }

    /// Bytes as they are.
    pub fn bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        out.write_all(bytes)?;
        Ok(out.flush()?)
    }

    /// A value for programs, on a line of its own.
    pub fn json(&self, value: &Value) -> Result<(), Failure> {
        self.line(value.to_string())
    }

    /// The same value, as JSON or as people read it.
    pub fn answer(&self, value: Value, people: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
        if self.is_json { self.json(&value) } else { people() }
    }

    /// Rows below a header. Columns that `right` names are numbers.
    pub fn table(&self, header: &[&str], right: &[usize], rows: impl IntoIterator<Item = Vec<String>>) -> Result<(), Failure> {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled).set_header(header);
        table.add_rows(rows);
        for (index, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, 2));
            if right.contains(&index) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        for line in table.lines() {
            self.line(line.trim_end())?;
        }
        Ok(())
    }

    /// Something that people should know beside the answer.
    pub fn note(&self, text: impl AsRef<str>) {
        if self.is_json {
            let _ = writeln!(io::stderr(), "{}", json!({ "note": text.as_ref() }));
        } else {
            let _ = writeln!(io::stderr(), "{}", text.as_ref());
        }
    }

    pub fn failed(&self, failure: &Failure) {
        if self.is_json {
            let _ = writeln!(io::stderr(), "{}", json!({ "error": failure.to_json() }));
        } else {
            let _ = writeln!(io::stderr(), "opjournal: {failure}");
        }
    }

    /// Shows that something goes on, on a terminal only. `total` is 0 where nobody knows how long.
    pub fn progress(&self, what: &'static str, total: u64) -> ProgressBar {
        if self.is_json || !io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let (bar, template) = match total {
            0 => (ProgressBar::new_spinner(), "{spinner} {msg}: {human_pos}"),
            _ => (ProgressBar::new(total), "{msg} {bar:30} {human_pos} of {human_len}, {eta} left"),
        };
        // Also where the work is given up or fails.
        let bar = bar.with_finish(ProgressFinish::AndClear);
        bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message(what);
        bar.enable_steady_tick(Duration::from_millis(120));
        bar
    }
}

/// A length in bytes for people.
pub fn size(bytes: u64) -> String {
    indicatif::HumanBytes(bytes).to_string()
}

pub fn count(number: u64) -> String {
    indicatif::HumanCount(number).to_string()
}

/// How long ago, for people.
pub fn age(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        0 => "just now".to_owned(),
        1..120 => format!("{seconds} s ago"),
        120..7200 => format!("{} min ago", seconds / 60),
        7200..172_800 => format!("{} h ago", seconds / 3600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

/// `; did you mean "..."?`, where something near is known.
pub fn suggestion<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> String {
    let near = known.into_iter().map(|known| (strsim::jaro_winkler(name, known), known)).max_by(|a, b| a.0.total_cmp(&b.0));
    match near {
        Some((likeness, near)) if likeness >= 0.7 => format!("; did you mean {near:?}?"),
        _ => String::new(),
    }
}
