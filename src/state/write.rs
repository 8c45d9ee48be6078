//! Writing canonical text: what did not change is copied in runs, as long as they come.

use super::State;
use super::arena::View;
use super::changes::Changes;
use super::entry::{Base, Entry, Item, List, ListRef, Map, MapRef};
use super::value::Value;
use std::ops::{Bound, Range};

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
pub(super) struct Hashing<H: sha2::Digest>(pub(super) H);

impl<H: sha2::Digest> Sink for Hashing<H> {
    fn take(&mut self, text: &[u8]) {
        self.0.update(text);
    }
}

impl State {
    pub(crate) fn write_to(&self, sink: &mut impl Sink) {
        write_object(Some(self.base.root()), &self.names, sink, |entry, sink| match entry {
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
    write_object(view, &map.changes, sink, write_value);
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

/// Writes the members of a base with its changes.
fn write_object<V: Clone, S: Sink>(base: Option<View<'_>>, changes: &Changes<V>, sink: &mut S, write: impl Fn(&V, &mut S)) {
    sink.take(b"{");
    let mut separator: &[u8] = b"";
    let mut copied = 0;
    let copy = |sink: &mut S, separator: &mut &[u8], members: Range<usize>| {
        if let Some(view) = base.as_ref().filter(|_| !members.is_empty()) {
            sink.take(separator);
            sink.take(view.span(members));
            *separator = b",";
        }
    };
    for step in changes.walk(base.clone(), 0, Bound::Unbounded) {
        copy(sink, &mut separator, copied..step.at);
        copied = step.next;
        let Some((name, value)) = step.change else { continue };
        sink.take(separator);
        sink.take(b"\"");
        sink.take(name);
        sink.take(b"\":");
        write(value, sink);
        separator = b",";
    }
    copy(sink, &mut separator, copied..base.as_ref().map_or(0, View::len));
    sink.take(b"}");
}
