//! `include/opjournal.h` is what cbindgen makes of `src/ffi`, and says of each function what its caller must know.
//! `OPJOURNAL_UPDATE=1 cargo test --test header` writes it anew.

use std::path::{Path, PathBuf};

/// The files that declare something, in the order of the header.
const SOURCES: [&str; 7] = ["status", "timeout", "buffer", "journal", "namespace", "queue", "log"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn generate(root: &Path) -> String {
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).expect("cbindgen.toml is valid");
    let sources = SOURCES.map(|name| root.join(format!("src/ffi/{name}.rs")));
    let builder = sources.iter().fold(cbindgen::Builder::new().with_config(config), |builder, source| builder.with_src(source));
    let mut text = Vec::new();
    builder.generate().expect("cbindgen reads src/ffi").write(&mut text);
    String::from_utf8(text).expect("the header is UTF-8")
}

#[test]
fn the_committed_header_is_what_the_sources_say() {
    let place = root().join("include/opjournal.h");
    let generated = generate(&root());
    if std::env::var_os("OPJOURNAL_UPDATE").is_some() {
        std::fs::write(&place, &generated).expect("the header can be written");
    }
    let committed = std::fs::read_to_string(&place).expect("include/opjournal.h can be read");
    assert!(committed == generated, "include/opjournal.h is stale: run OPJOURNAL_UPDATE=1 cargo test --test header");
}

#[test]
fn every_exported_function_is_in_the_header() {
    let header = generate(&root());
    let mut functions = 0;
    for file in std::fs::read_dir(root().join("src/ffi")).expect("src/ffi can be read") {
        let source = std::fs::read_to_string(file.expect("an entry").path()).expect("a source");
        for declaration in source.split("#[unsafe(no_mangle)]").skip(1) {
            let name = declaration.split("fn ").nth(1).and_then(|rest| rest.split('(').next()).expect("a function");
            assert!(name.starts_with("opjournal_"), "{name} is exported, but its name does not begin with opjournal_");
            assert!(header.contains(&format!("{name}(")), "{name} is not in the header: is its file among SOURCES?");
            functions += 1;
        }
    }
    assert_eq!(functions, 25);
}

#[test]
fn every_function_says_what_its_caller_must_know() {
    let header = generate(&root());
    let (_, functions) = header.split_once("extern \"C\" {").expect("the functions");
    let mut documented = 0;
    for part in functions.split("/**").skip(1) {
        let (text, declaration) = part.split_once("*/").expect("a comment ends");
        let declaration = declaration.split(';').next().unwrap_or_default().trim();
        let name = declaration.split('(').next().and_then(|before| before.split([' ', '*']).next_back()).expect("a name");
        assert!(text.contains("locks"), "{name} does not say whether it blocks");
        if declaration.starts_with("opjournal_status ") {
            for status in ["Returns OPJOURNAL_OK", "OPJOURNAL_FORKED", "OPJOURNAL_INTERNAL"] {
                assert!(text.contains(status), "{name} does not name {status}");
            }
        }
        for (argument, status) in [("timeout_ms", "OPJOURNAL_INVALID"), ("opjournal_journal journal", "OPJOURNAL_BAD_HANDLE")] {
            assert!(!declaration.contains(argument) || text.contains(status), "{name} takes {argument} and does not name {status}");
        }
        documented += 1;
    }
    assert_eq!(documented, 25);
}
