//! Whatever the library says at `warn` or `error`, docs/operating.md says what it means.

use std::fs;
use std::path::Path;

/// The texts of the calls of `macro_name` in a source: the last string literal of each.
fn messages(source: &str, macro_name: &str) -> Vec<String> {
    source.match_indices(macro_name).map(|(at, _)| last_literal(&source[at + macro_name.len()..])).collect()
}

/// The last string literal before the parenthesis that closes a call.
fn last_literal(call: &str) -> String {
    let (mut depth, mut literal, mut inside) = (1, String::new(), None);
    let mut characters = call.chars();
    while let Some(character) = characters.next() {
        match (&mut inside, character) {
            (Some(text), '"') => {
                literal = std::mem::take(text);
                inside = None;
            }
            (Some(text), '\\') => text.extend(characters.next()),
            (Some(text), other) => text.push(other),
            (None, '"') => inside = Some(String::new()),
            (None, '(') => depth += 1,
            (None, ')') => depth -= 1,
            (None, _) => {}
        }
        if depth == 0 {
            return literal;
        }
    }
    panic!("a call has no end: {call:.100}")
}

fn check(directory: &Path, page: &str, found: &mut usize) {
    for entry in fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            check(&entry, page, found);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            let source = fs::read_to_string(&entry).expect("UTF-8");
            for (level, macro_name) in [("warn", "tracing::warn!("), ("error", "tracing::error!(")] {
                for message in messages(&source, macro_name) {
                    *found += 1;
                    let row = format!("| {} | {level} |", message.replace("{}", "..."));
                    assert!(page.contains(&row), "{}: docs/operating.md lacks the row {row:?}", entry.display());
                }
            }
        }
    }
}

#[test]
fn every_warning_and_error_is_explained() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/operating.md")).expect("the page");
    let mut found = 0;
    check(&root.join("src"), &page, &mut found);
    let rows = page.lines().filter(|line| line.contains(" | warn | ") || line.contains(" | error | ")).count();
    assert_eq!((found, found > 15), (rows, true), "a row for each message, and a message for each row");
}
