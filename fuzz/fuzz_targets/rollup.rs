//! Rollups. The first byte says which: any bytes as a rollup, whole and by its head; or a rollup that is written, and read again whole,
//! by its head, and cut off.

#![no_main]

use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use opjournal::journal::objects::{Chain, LastFolded, Mark, Place, Proof, Rollup, SegmentKey, encode, read, read_head};
use opjournal::ops::MOST_FOLDED;
use opjournal::state::State;
use opjournal::time::Stamp;
use opjournal_fuzz::model::{DEPTH, Json, text};
use opjournal_fuzz::place_in;
use std::collections::BTreeMap;

fuzz_target!(|data: &[u8]| {
    match data.split_first() {
        Some((b'w', rest)) => {
            // What runs out of bytes is no rollup.
            let _ = check_written(&mut Unstructured::new(rest));
        }
        Some((_, rest)) => check_any(rest),
        None => {}
    }
});

fn same(one: &Rollup, other: &Rollup) {
    assert_eq!((&one.head.proof, &one.head.mark), (&other.head.proof, &other.head.mark));
    assert_eq!(text(&one.state), text(&other.state));
}

fn check_any(data: &[u8]) {
    let whole = read(Bytes::copy_from_slice(data), DEPTH);
    let head = read_head(data, DEPTH);
    let cut = place_in(data);
    match &whole {
        Ok(rollup) => {
            let is_cut = !data[cut..].iter().all(u8::is_ascii_whitespace);
            assert!(!is_cut || read(Bytes::copy_from_slice(&data[..cut]), DEPTH).is_err(), "a cut off rollup is none");
            let named = head.expect("what can be read whole can be read by its head");
            if let Some(named) = &named {
                assert_eq!((&named.proof, &named.mark), (&rollup.head.proof, &rollup.head.mark));
            }
            assert_eq!(named.is_some(), rollup.head.proof.is_some(), "without a proof the head says nothing");
            if let Some(proof) = &rollup.head.proof {
                let again = encode(proof, &rollup.head.mark, &rollup.state);
                same(&read(again.into(), DEPTH).expect("what is written can be read"), rollup);
            }
            // A head is that of the whole where no later member takes its place.
            let is_plain = match Json::read_lossy(data, DEPTH) {
                Some(Json::Object(members)) => {
                    ["proof", "mark", "format"].iter().all(|name| members.iter().filter(|(known, _)| known == name).count() <= 1)
                }
                _ => false,
            };
            if is_plain && let Ok(Some(head)) = read_head(&data[..cut], DEPTH) {
                assert_eq!((&head.proof, &head.mark), (&rollup.head.proof, &rollup.head.mark));
            }
        }
        // Messages about an object name the object, and are not as long as the object is.
        Err(reason) => assert!(!reason.is_empty() && reason.len() < 4096, "{reason:.1000}"),
    }
}

fn check_written(u: &mut Unstructured) -> Result<()> {
    let mark = if u.ratio(1, 4)? { Mark::zero() } else { Mark::at(&place(u)?) };
    let mut chain = Chain::START;
    for _ in 0..u.int_in_range(0..=3)? {
        chain = chain.link(&place(u)?);
    }
    let mut folded = BTreeMap::new();
    for _ in 0..u.int_in_range(0..=6)? {
        folded.insert(key(u)?, stamp(u)?);
    }
    let mut writers = BTreeMap::new();
    for _ in 0..u.int_in_range(0..=3)? {
        writers.insert(u.arbitrary::<String>()?, LastFolded { key: key(u)?, at: stamp(u)? });
    }
    let since = if u.arbitrary()? { Stamp::ZERO } else { stamp(u)? };
    let proof = Proof { count: u.int_in_range(0..=MOST_FOLDED)?, chain, since, folded, writers };
    let state = State::read(Bytes::copy_from_slice(u.bytes(u.len())?), DEPTH - 1).unwrap_or_else(|_| State::empty());

    let body = encode(&proof, &mark, &state);
    assert!(Json::read_lossy(&body, DEPTH).is_some(), "what is written is JSON");
    let rollup = read(body.clone().into(), DEPTH).expect("what is written can be read");
    assert_eq!((rollup.head.proof.as_ref(), &rollup.head.mark), (Some(&proof), &mark));
    assert_eq!(text(&rollup.state), text(&state));
    // Proof and mark stand before the state, so that the head is whole wherever the state is cut off.
    let state_at = body.len() - text(&state).len() - 1;
    let cuts = [place_in(&body).min(body.len() - 1), state_at, state_at - 1, body.len() - 1, place_in(&body) / 2, place_in(&body) % 64];
    for cut in cuts {
        let start = &body[..cut];
        match read_head(start, DEPTH).expect("a cut is no damage") {
            Some(head) => assert_eq!((head.proof.as_ref(), &head.mark), (Some(&proof), &mark)),
            None => assert!(cut < state_at, "the head is whole"),
        }
        assert!(read(Bytes::copy_from_slice(start), DEPTH).is_err(), "a cut off rollup is none");
    }
    Ok(())
}

fn place(u: &mut Unstructured) -> Result<Place> {
    Ok(Place { stamp: stamp(u)?, key: key(u)? })
}

/// Any stamp that a LIST can show.
fn stamp(u: &mut Unstructured) -> Result<Stamp> {
    Ok(match u.int_in_range(0..=3)? {
        0 => Stamp::from_millis(1_800_000_000_000 + u.int_in_range(0..=10_000)?),
        1 => Stamp::from_millis(u.int_in_range(0..=4_000_000_000_i64)? * 1000),
        2 => Stamp::from_nanos(1_800_000_000_000_000_000 + i128::from(u.arbitrary::<u32>()?)),
        _ => Stamp::from_nanos(i128::from(u.arbitrary::<i64>()?)),
    })
}

fn key(u: &mut Unstructured) -> Result<SegmentKey> {
    if u.ratio(3, 4)? {
        let uuid: [u8; 16] = u.arbitrary()?;
        let hex: String = uuid.iter().map(|byte| format!("{byte:02x}")).collect();
        let name = format!("segment-{}-{}-{}-{}-{}.json", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]);
        return Ok(SegmentKey::parse(&name).expect("a segment's name"));
    }
    let inner: String = u.arbitrary()?;
    SegmentKey::parse(&format!("segment-{inner}.json")).ok_or(arbitrary::Error::IncorrectFormat)
}
