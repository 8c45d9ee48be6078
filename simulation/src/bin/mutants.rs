//! Whether the simulation notices every mutant of the engine, as a table. `docs/simulation.md` tells what a mutant is.

use clap::Parser;
use opjournal::mutant::{self, Mutant};
use opjournal_simulation::aim::Aim;
use opjournal_simulation::mutants::{Finding, Ground, find_all, ground, named};
use opjournal_simulation::plan::Profile;
use opjournal_simulation::run::run;
use opjournal_simulation::store::clock;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Parser)]
struct Arguments {
    /// Only these mutants.
    #[arg(long = "mutant", value_parser = named)]
    mutants: Vec<Mutant>,
    /// Looks on this ground instead of the mutant's own.
    #[arg(long)]
    ground: Option<String>,
    /// Runs the engine as it is instead, on every ground: nothing may be seen broken.
    #[arg(long)]
    unchanged: bool,
    /// A mutant that so many seeds did not catch has survived.
    #[arg(long, default_value_t = 2000)]
    seeds: u64,
    /// So many catches are enough.
    #[arg(long, default_value_t = 10)]
    enough: u64,
    /// Runs one seed of the first of these mutants, and prints all that happened in it.
    #[arg(long)]
    trace: Option<u64>,
    /// Writes the figures to this file, as JSON.
    #[arg(long)]
    figures: Option<PathBuf>,
    /// Writes the table to this file, between its two marks.
    #[arg(long)]
    table: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let asked_for = arguments.ground.as_deref().map(|name| Ground::named(name).unwrap_or_else(|| panic!("no ground is called {name}")));
    let cases: Vec<(Option<Mutant>, Ground)> = if arguments.unchanged {
        let all = Aim::ALL.iter().copied().map(Ground::Aimed).chain(Profile::ALL.iter().copied().map(Ground::Drawn));
        all.filter(|ground| asked_for.is_none_or(|wanted| wanted == *ground)).map(|ground| (None, ground)).collect()
    } else {
        let wanted = |mutant: &Mutant| arguments.mutants.is_empty() || arguments.mutants.contains(mutant);
        let mutants = Mutant::ALL.iter().copied().filter(wanted);
        mutants.map(|mutant| (Some(mutant), asked_for.unwrap_or_else(|| ground(mutant)))).collect()
    };
    if let (Some(seed), Some((mutant, ground))) = (arguments.trace, cases.first()) {
        mutant::use_in_this_thread(*mutant);
        let report = run(ground.plan(seed), true);
        report.trace.iter().for_each(|(at, text)| println!("{:>14} {text}", clock(*at)));
        report.violations.iter().for_each(|violation| println!("{} {}: {}", clock(violation.at), violation.promise, violation.what));
        return ExitCode::SUCCESS;
    }
    let found = find_all(&cases, arguments.seeds, arguments.enough, |finding| println!("{}", line(finding)));
    if let Some(path) = &arguments.figures {
        std::fs::write(path, figures(&found)).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
    if let Some(path) = &arguments.table {
        write_table(path, &found);
    }
    let survivors: Vec<&Finding> = found.iter().filter(|finding| finding.mutant.is_some() == (finding.caught == 0)).collect();
    println!("{} of {} as it must be", found.len() - survivors.len(), found.len());
    if survivors.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn name(finding: &Finding) -> String {
    finding.mutant.map_or_else(|| "unchanged".to_owned(), |mutant| format!("{mutant:?}"))
}

fn broken(finding: &Finding) -> String {
    finding.broken.iter().copied().collect::<Vec<_>>().join(", ")
}

fn line(finding: &Finding) -> String {
    let is_good = finding.mutant.is_some() == (finding.caught > 0);
    let first = finding.first.map_or(String::new(), |first| format!(", first seed {first}"));
    let (name, ground) = (name(finding), finding.ground.name());
    let verdict = if is_good { "ok" } else { "not ok" };
    format!("{verdict} mutant {name} on {ground}: {} of {} seeds{first}: {}", finding.caught, finding.seeds, broken(finding))
}

fn figures(found: &[Finding]) -> String {
    let rows: Vec<serde_json::Value> = found
        .iter()
        .map(|finding| {
            serde_json::json!({
                "mutant": name(finding),
                "hazard": finding.mutant.map(Mutant::hazard).filter(|hazard| *hazard > 0),
                "ground": finding.ground.name(),
                "seeds": finding.seeds,
                "caught": finding.caught,
                "first": finding.first,
                "broken": finding.broken,
            })
        })
        .collect();
    format!("{:#}\n", serde_json::Value::Array(rows))
}

/// The table stands between these two lines of the document.
const MARKS: [&str; 2] = ["<!-- mutants: begin -->\n", "<!-- mutants: end -->\n"];

fn write_table(path: &std::path::Path, found: &[Finding]) {
    let mut table = String::from(
        "\n| hazard | mutant | what is taken away | ground | caught by | first seed | seen broken |\n|---|---|---|---|---|---|---|\n",
    );
    for finding in found {
        let Some(mutant) = finding.mutant else { continue };
        let hazard = if mutant.hazard() > 0 { mutant.hazard().to_string() } else { String::new() };
        let first = finding.first.map_or_else(String::new, |first| first.to_string());
        table += &format!(
            "| {hazard} | `{mutant:?}` | {} | `{}` | {} of {} | {first} | {} |\n",
            mutant.what(),
            finding.ground.name(),
            finding.caught,
            finding.seeds,
            broken(finding)
        );
    }
    table.push('\n');
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (before, rest) = text.split_once(MARKS[0]).unwrap_or_else(|| panic!("{} has no mark for the table", path.display()));
    let (_, after) = rest.split_once(MARKS[1]).unwrap_or_else(|| panic!("{} has no mark for the table's end", path.display()));
    let text = format!("{before}{}{table}{}{after}", MARKS[0], MARKS[1]);
    std::fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
