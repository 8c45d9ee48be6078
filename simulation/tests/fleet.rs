//! A fleet of real engines in one thread, under a clock, a network and a store that a seed decides, with every promise of the
//! journal that a client can see checked by code that shares nothing with the engine. `docs/simulation.md` tells how it works,
//! and how the program `opjournal-simulation` runs more seeds, replays one, and makes one small.

use opjournal_simulation::campaign::{self, Options};
use opjournal_simulation::plan::Plan;
use opjournal_simulation::run::run;
use opjournal_simulation::shrink::Case;

#[test]
fn every_promise_holds() {
    let options = Options {
        seeds: 0..100,
        limit: None,
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        profile: None,
        mutant: None,
        state: None,
        afresh: true,
        stop_at_first: false,
        progress: false,
    };
    let progress = campaign::run(&options, &mut std::io::stdout()).expect("a campaign");
    assert_eq!(progress.seeds(), 100);
    assert!(progress.failed.is_empty(), "seeds that break a promise: {:#?}", progress.failed);
}

/// Whether it is traced, which thread it runs in, and what ran there before makes no difference.
#[test]
fn a_seed_decides_everything() {
    for seed in 0..12 {
        let plan = || Case { seed, profile: None, mutant: None }.plan();
        let first = run(plan(), false);
        let second = std::thread::spawn(move || run(Plan::draw(seed), true)).join().expect("no panic");
        if first.hash != second.hash {
            let again = run(plan(), true);
            let difference = again.trace.iter().zip(&second.trace).position(|(first, second)| first != second);
            if let Some(line) = difference {
                println!("the first difference is in line {line}: {:?} and {:?}", again.trace[line], second.trace[line]);
            }
        }
        assert_eq!(first.hash, second.hash, "two runs of seed {seed} differ");
        assert_eq!(first.counts.0, second.counts.0, "two runs of seed {seed} differ");
    }
}
