//! Sequences of ops, new bases and clones: the state against the model, by every query.

#![no_main]

use arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use opjournal_fuzz::model::{Json, KINDS, Needs, Step, play};

const NAMES: [&str; 6] = ["a", "b", "", "m<&>", "q\"\\", "\u{2028}"];

/// Keys as canonical JSON; the last has the form of a cursor that no key leads to.
const KEYS: [&str; 9] = ["\"a\"", "\"\"", "\"a\\u0026b\"", "\"a\\\\\"", "\"key/7\"", "0", "null", "[1,\"a\"]", "{\"\":\"raw\"}"];

fuzz_target!(|data: &[u8]| {
    let mut u = Unstructured::new(data);
    let mut steps = Vec::new();
    // Each comparison asks hundreds of questions: a few are enough.
    let mut checks = 0;
    while !u.is_empty() && steps.len() < 40 {
        let Ok(step) = step(&mut u) else { break };
        checks += usize::from(matches!(step, Step::Keep | Step::Check(_)));
        if checks <= 3 || matches!(step, Step::Op(_)) {
            steps.push(step);
        }
    }
    play(steps, &KEYS.map(str::to_owned));
});

fn step(u: &mut Unstructured) -> Result<Step> {
    Ok(match u.int_in_range(0..=19)? {
        0 => Step::FillMap(name(u)?, u.int_in_range(0..=30)?),
        1 => Step::FillList(name(u)?, u.int_in_range(0..=60)?),
        2 => Step::FillNames(u.int_in_range(0..=20)?),
        3 => Step::Compact,
        4 => Step::ReadAgain,
        5 => Step::Keep,
        6 => Step::Check(u.int_in_range(1..=9)?),
        _ => op(u)?,
    })
}

fn op(u: &mut Unstructured) -> Result<Step> {
    let (kind, name) = (u.choose_index(KINDS.len())?, name(u)?);
    Step::op(kind, &name, |needs| {
        Ok(match needs {
            Needs::Value => value(u, 0)?.text(),
            Needs::Integer => integer(u)?.to_string(),
            Needs::Key => key(u)?,
        })
    })
}

fn name(u: &mut Unstructured) -> Result<String> {
    Ok(if u.ratio(4, 5)? { (*u.choose(&NAMES)?).to_owned() } else { u.arbitrary()? })
}

fn key(u: &mut Unstructured) -> Result<String> {
    Ok(if u.ratio(3, 4)? { (*u.choose(&KEYS)?).to_owned() } else { value(u, 2)?.text() })
}

fn integer(u: &mut Unstructured) -> Result<i64> {
    Ok(if u.arbitrary()? { i64::from(u.arbitrary::<i8>()?) } else { *u.choose(&[i64::MAX, i64::MIN, 1 << 62, 0, -1])? })
}

/// Any value, a few levels deep.
fn value(u: &mut Unstructured, level: usize) -> Result<Json> {
    Ok(match u.int_in_range(0..=if level < 4 { 8 } else { 6 })? {
        0 => Json::Null,
        1 => Json::Bool(u.arbitrary()?),
        2 => Json::Number(integer(u)?.to_string()),
        3 => Json::Number(
            (*u.choose(&["1.50", "-0", "1e2", "-2.9E-1", "123456789012345678901234567890", "-1e400", "9223372036854775808"])?).to_owned(),
        ),
        4 => Json::String((*u.choose(&NAMES)?).to_owned()),
        5 | 6 => Json::String(u.arbitrary()?),
        7 => Json::Array((0..u.int_in_range(0..=4)?).map(|_| value(u, level + 1)).collect::<Result<_>>()?),
        _ => {
            // Member names that are encoded keys, and others.
            let member = |u: &mut Unstructured| Ok((if u.arbitrary()? { key(u)? } else { name(u)? }, value(u, level + 1)?));
            let mut members = (0..u.int_in_range(0..=4)?).map(|_| member(u)).collect::<Result<Vec<_>>>()?;
            members.sort_by(|one, other| one.0.cmp(&other.0));
            members.dedup_by(|one, other| one.0 == other.0);
            Json::Object(members)
        }
    })
}
