//! Writing canonical text: what did not change is copied in runs, as long as they come.

use super::State;
use super::arena::View;
use super::entry::{Base, Entry, Item, List, ListRef, Map, MapRef};
use super::name::Name;
use super::value::Value;
use imbl::OrdMap;

/// Takes canonical text piece by piece.
pub(crate) trait Sink {
    fn take(&mut self, text: &[u8]);
}

impl Sink for Vec<u8> {
    fn take(&mut self, text: &[u8]) {
        self.extend_from_slice(text);
    }
}

/// Feeds a hash.
pub(crate) struct Hashing<H: sha2::Digest>(pub(crate) H);

impl<H: sha2::Digest> Sink for Hashing<H> {
    fn take(&mut self, text: &[u8]) {
        self.0.update(text);
    }
}

impl State {
    pub(crate) fn write_to(&self, sink: &mut impl Sink) {
        write_object(Some(self.base.root()), &self.names, sink, Entry::is_present, |entry, sink| match entry {
            Entry::Removed => {}
            Entry::Value(value) => write_value(value, sink),
            Entry::Map(map) => write_map(map, sink),
            Entry::List(list) => write_list(list, sink),
        });
    }
}

impl Item<'_> {
    pub(crate) fn write_to(&self, out: &mut Vec<u8>) {
        match self {
            Item::Value(value) => value.write(out),
            Item::Map(MapRef::Base { text, .. }) | Item::List(ListRef::Base { text, .. }) => out.extend_from_slice(text),
            Item::Map(MapRef::Changed(map)) => write_map(map, out),
            Item::List(ListRef::Changed(list)) => write_list(list, out),
        }
    }
}

fn write_value(value: &Value, sink: &mut impl Sink) {
    match value {
        Value::Integer(_) => {
            let mut text = Vec::with_capacity(20);
            value.as_ref().write(&mut text);
            sink.take(&text);
        }
        Value::True => sink.take(b"true"),
        Value::Text(text) => sink.take(text),
    }
}

fn write_map(map: &Map, sink: &mut impl Sink) {
    let view = map.base.as_ref().map(Base::view);
    write_object(view, &map.changes, sink, Option::is_some, |change, sink| {
        if let Some(value) = change {
            write_value(value, sink);
        }
    });
}

fn write_list(list: &List, sink: &mut impl Sink) {
    sink.take(b"[");
    let mut separator: &[u8] = b"";
    if let Some(view) = list.base.as_ref().map(Base::view)
        && view.len() > 0
    {
        sink.take(view.span(0..view.len()));
        separator = b",";
    }
    for value in &list.appended {
        sink.take(separator);
        write_value(value, sink);
        separator = b",";
    }
    sink.take(b"]");
}

/// Writes the members of a base with its changes. `is_present` is false for a change that removes.
fn write_object<V, S: Sink>(
    base: Option<View<'_>>,
    changes: &OrdMap<Name, V>,
    sink: &mut S,
    is_present: impl Fn(&V) -> bool,
    write: impl Fn(&V, &mut S),
) {
    sink.take(b"{");
    let mut separator: &[u8] = b"";
    let mut copied = 0;
    for (name, change) in changes {
        if let Some(view) = &base {
            let (until, next) = match view.seek(name.spelling(), copied) {
                Ok(found) => (found, found + 1),
                Err(behind) => (behind, behind),
            };
            if until > copied {
                sink.take(separator);
                sink.take(view.span(copied..until));
                separator = b",";
            }
            copied = next;
        }
        if is_present(change) {
            sink.take(separator);
            sink.take(b"\"");
            sink.take(name.spelling());
            sink.take(b"\":");
            write(change, sink);
            separator = b",";
        }
    }
    if let Some(view) = &base
        && view.len() > copied
    {
        sink.take(separator);
        sink.take(view.span(copied..view.len()));
    }
    sink.take(b"}");
}
