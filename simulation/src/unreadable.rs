//! Holds what was said of unreadable segments to the promise: while one lies in a namespace, Flush and a new open fail and name
//! it, and so does the status; and nothing else is ever called unreadable.

use super::history::What;
use std::collections::{BTreeMap, BTreeSet};

/// A segment of a namespace.
type Place<'a> = (&'a str, &'a str);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Call {
    Flush(u64),
    Open(u64),
}

#[derive(Default)]
pub struct Unreadable<'a> {
    /// Events so far.
    now: u64,
    /// What lies there, and since when.
    present: BTreeMap<Place<'a>, u64>,
    ever: BTreeSet<Place<'a>>,
    began: BTreeMap<Call, u64>,
}

impl<'a> Unreadable<'a> {
    /// What is wrong with an event, if anything is.
    pub fn event(&mut self, what: &'a What) -> Option<String> {
        self.now += 1;
        match what {
            What::Spoiled { namespace, segment } => {
                self.present.insert((namespace, segment), self.now);
                self.ever.insert((namespace, segment));
            }
            What::Healed { namespace, segment } => drop(self.present.remove(&(namespace.as_str(), segment.as_str()))),
            What::FlushBegan { flush, .. } => drop(self.began.insert(Call::Flush(*flush), self.now)),
            What::OpenBegan { open } => drop(self.began.insert(Call::Open(*open), self.now)),
            What::View(view) => return self.succeeded(Call::Flush(view.after_flush?), &view.namespace),
            What::Opened { open, namespace } => return self.succeeded(Call::Open(*open), namespace),
            What::ToldUnreadable { namespace, segment, is_in_status } => {
                if !self.ever.contains(&(namespace.as_str(), segment.as_str())) {
                    return Some(format!("{segment} of {namespace:?} is called unreadable, and nobody wrote it so"));
                }
                if !is_in_status {
                    return Some(format!("a Flush names {segment} of {namespace:?}, and the status does not"));
                }
            }
            _ => {}
        }
        None
    }

    fn succeeded(&self, call: Call, namespace: &str) -> Option<String> {
        let began = self.began.get(&call)?;
        let ((_, segment), _) = self.present.iter().find(|((name, _), since)| *name == namespace && *since < began)?;
        Some(format!("{call:?} was good although {segment} of {namespace:?} cannot be read"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::history::View;
    use super::*;

    fn spoiled(is_healed: bool) -> What {
        let (namespace, segment) = ("n".to_owned(), "segment-x.json".to_owned());
        if is_healed { What::Healed { namespace, segment } } else { What::Spoiled { namespace, segment } }
    }

    fn flush_began() -> What {
        What::FlushBegan { flush: 7, namespace: "n".to_owned() }
    }

    fn flushed() -> What {
        What::View(View { replica: 0, namespace: "n".to_owned(), state: 0, mark: (0, String::new()), after_flush: Some(7) })
    }

    fn opened(namespace: &str) -> What {
        What::Opened { open: 3, namespace: namespace.to_owned() }
    }

    fn told(segment: &str, is_in_status: bool) -> What {
        What::ToldUnreadable { namespace: "n".to_owned(), segment: segment.to_owned(), is_in_status }
    }

    fn is_wrong(history: &[What]) -> bool {
        let mut unreadable = Unreadable::default();
        history.iter().any(|what| unreadable.event(what).is_some())
    }

    #[test]
    fn a_flush_or_an_open_that_passes_over_one_is_found() {
        assert!(is_wrong(&[spoiled(false), flush_began(), flushed()]));
        assert!(!is_wrong(&[spoiled(false), flush_began(), spoiled(true), flushed()]));
        assert!(!is_wrong(&[flush_began(), spoiled(false), flushed()]));
        assert!(is_wrong(&[spoiled(false), What::OpenBegan { open: 3 }, opened("n")]));
        assert!(!is_wrong(&[spoiled(false), What::OpenBegan { open: 3 }, opened("other")]));
    }

    #[test]
    fn what_is_called_unreadable_and_is_not_is_found() {
        assert!(!is_wrong(&[spoiled(false), told("segment-x.json", true)]));
        assert!(is_wrong(&[spoiled(false), told("segment-y.json", true)]));
        assert!(is_wrong(&[spoiled(false), told("segment-x.json", false)]));
    }
}
