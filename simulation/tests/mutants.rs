//! That the table of mutants is whole, and that the engine as it is breaks nothing on the grounds on which mutants are caught. Whether each
//! is caught is what `make mutants` finds out.

use opjournal::mutant::Mutant;
use opjournal_simulation::aim::Aim;
use opjournal_simulation::mutants::{Ground, find, find_all};

/// Rows in the table of hazards.
const HAZARDS: u8 = 31;

#[test]
fn every_hazard_has_a_mutant() {
    let without: Vec<u8> = (1..=HAZARDS).filter(|number| !Mutant::ALL.iter().any(|mutant| mutant.hazard() == *number)).collect();
    assert!(without.is_empty(), "hazards without a mutant: {without:?}");
}

#[test]
fn the_library_does_not_carry_them() {
    let default = include_str!("../../Cargo.toml").lines().find(|line| line.starts_with("default = "));
    assert_eq!(default, Some("default = [\"s3\"]"));
}

#[test]
fn the_engine_as_it_is_breaks_nothing_where_mutants_do() {
    let grounds: Vec<_> = Aim::ALL.iter().map(|aim| (None, Ground::Aimed(*aim))).collect();
    for finding in find_all(&grounds, 6, 1, |_| {}) {
        assert_eq!(finding.caught, 0, "seed {:?} of {}: {:?}", finding.first, finding.ground.name(), finding.broken);
    }
}

#[test]
fn a_mutant_is_gone_when_its_search_is_over() {
    let ground = Ground::Aimed(Aim::LateCopies);
    assert!(find(Some(Mutant::OpenMeansFailed), ground, 20, 1).caught > 0);
    assert_eq!(find(None, ground, 6, 1).caught, 0);
}
