//! What a name holds once it was changed: a map or a list over what it held before, or a single value.

use super::arena::{Arena, Extent, Member, View};
use super::name::{Name, NameRef};
use super::value::{Value, ValueRef};
use bytes::Bytes;
use imbl::{OrdMap, Vector};
use std::sync::Arc;

/// What the overlay says of a name.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    /// The name, which the base has, is gone.
    Removed,
    /// Neither object nor array.
    Value(Value),
    Map(Arc<Map>),
    List(Arc<List>),
}

impl Entry {
    /// What a name holds after it was set to this canonical text.
    pub(crate) fn from_canonical(text: &[u8]) -> Entry {
        if !matches!(text.first(), Some(b'{' | b'[')) {
            return Entry::Value(Value::from_canonical(text));
        }
        match Arena::build(Bytes::copy_from_slice(text), Extent::Outermost, usize::MAX) {
            Ok(arena) => Base { arena: Arc::new(arena), place: Place::Root }.into_entry(),
            // The text is canonical, so that only one above 4 GiB comes here, which no segment can hold.
            Err(_) => Entry::Value(Value::Text(text.into())),
        }
    }

    /// The length of the canonical text in bytes.
    pub(super) fn len(&self) -> usize {
        match self {
            Entry::Removed => 0,
            Entry::Value(value) => value.len(),
            Entry::Map(map) => map.text_len(),
            Entry::List(list) => list.text_len(),
        }
    }

    /// How many changes this entry stands for.
    pub(super) fn weight(&self) -> usize {
        1 + match self {
            Entry::Removed | Entry::Value(_) => 0,
            Entry::Map(map) => map.changes.len(),
            Entry::List(list) => list.appended.len(),
        }
    }

    pub(super) fn is_present(&self) -> bool {
        !matches!(self, Entry::Removed)
    }
}

/// An object or array in an arena.
#[derive(Clone, Debug)]
pub(super) struct Base {
    pub(super) arena: Arc<Arena>,
    pub(super) place: Place,
}

/// Which object or array of an arena.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    Root,
    /// The value of the root's member `ordinal`, which begins at `start`.
    Member {
        ordinal: u32,
        start: u32,
    },
}

impl Place {
    /// Where a member of the root has its value.
    pub(super) fn of(member: &Member<'_>) -> Place {
        // A text is shorter than 4 GiB.
        Place::Member { ordinal: member.ordinal as u32, start: member.start as u32 }
    }

    pub(super) fn view(self, arena: &Arena) -> View<'_> {
        match self {
            Place::Root => arena.root(),
            Place::Member { ordinal, start } => arena.child(ordinal, start),
        }
    }
}

impl Base {
    pub(super) fn view(&self) -> View<'_> {
        self.place.view(&self.arena)
    }

    pub(super) fn into_entry(self) -> Entry {
        let view = self.view();
        let (is_object, len, inner) = (view.is_object(), view.len(), view.inner_len());
        if is_object {
            // What stands between the brackets, less the commas.
            let text = inner - len.saturating_sub(1);
            Entry::Map(Arc::new(Map { base: Some(self), changes: OrdMap::new(), len, text }))
        } else {
            let text = inner - len.saturating_sub(1);
            Entry::List(Arc::new(List { base: Some(self), base_len: len, appended: Vector::new(), text }))
        }
    }
}

/// A map: a base that does not change, and what was changed since.
#[derive(Clone, Debug, Default)]
pub(crate) struct Map {
    pub(super) base: Option<Base>,
    /// `None` removes an entry that the base has.
    pub(super) changes: OrdMap<Name, Option<Value>>,
    len: usize,
    /// The length of all entries as `"name":value`, in bytes.
    text: usize,
}

impl Map {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    fn text_len(&self) -> usize {
        2 + self.text + self.len.saturating_sub(1)
    }

    fn in_base(&self, name: &Name) -> Option<ValueRef<'_>> {
        let view = self.base.as_ref()?.view();
        view.find(name.spelling()).map(|member| ValueRef::Text(member.value))
    }

    pub(super) fn get(&self, name: &Name) -> Option<ValueRef<'_>> {
        match self.changes.get(name) {
            Some(change) => change.as_ref().map(Value::as_ref),
            None => self.in_base(name),
        }
    }

    pub(super) fn set(&mut self, name: &Name, value: Value) {
        let after = value.len();
        let before = match self.change(name, Some(value)) {
            Some(changed) => changed.as_ref().map(Value::len),
            None => self.in_base(name).map(ValueRef::len),
        };
        self.account(name, before, after);
    }

    /// Changes an entry against the base; returns the change before.
    fn change(&mut self, name: &Name, value: Option<Value>) -> Option<Option<Value>> {
        let before = self.changes.insert(name.clone(), value);
        if let (None, Some(base)) = (&before, &self.base) {
            base.view().mark_changed(name.spelling());
        }
        before
    }

    /// Sets the entry to what `change` makes of it.
    pub(super) fn update(&mut self, name: &Name, change: impl FnOnce(Option<ValueRef<'_>>) -> Value) {
        if let Some(changed) = self.changes.get_mut(name) {
            let value = change(changed.as_ref().map(Value::as_ref));
            let (before, after) = (changed.as_ref().map(Value::len), value.len());
            *changed = Some(value);
            self.account(name, before, after);
        } else {
            let value = change(self.in_base(name));
            self.set(name, value);
        }
    }

    /// Keeps the sums right when an entry that had a value of one length, or was absent, gets one of another.
    fn account(&mut self, name: &Name, before: Option<usize>, after: usize) {
        match before {
            Some(before) => self.text -= entry_len(name.spelling(), before),
            None => self.len += 1,
        }
        self.text += entry_len(name.spelling(), after);
    }

    pub(super) fn remove(&mut self, name: &Name) {
        let Some(before) = self.get(name).map(ValueRef::len) else { return };
        self.len -= 1;
        self.text -= entry_len(name.spelling(), before);
        if self.in_base(name).is_some() {
            self.change(name, None);
        } else {
            self.changes.remove(name);
        }
    }
}

/// A list: a base that does not change, and what was appended since.
#[derive(Clone, Debug, Default)]
pub(crate) struct List {
    pub(super) base: Option<Base>,
    pub(super) base_len: usize,
    pub(super) appended: Vector<Value>,
    /// The length of all elements, in bytes.
    text: usize,
}

impl List {
    pub(super) fn len(&self) -> usize {
        self.base_len + self.appended.len()
    }

    fn text_len(&self) -> usize {
        2 + self.text + self.len().saturating_sub(1)
    }

    pub(super) fn append(&mut self, value: Value) {
        self.text += value.len();
        self.appended.push_back(value);
    }
}

/// The length of `"name":value`.
pub(super) fn entry_len(name: &[u8], value_len: usize) -> usize {
    name.len() + 3 + value_len
}

/// What a name holds, wherever it lies.
pub(crate) enum Item<'a> {
    /// Neither object nor array.
    Value(ValueRef<'a>),
    Map(MapRef<'a>),
    List(ListRef<'a>),
}

impl<'a> Item<'a> {
    /// What a member of the base's root holds.
    pub(super) fn of_member(arena: &'a Arena, member: &Member<'a>) -> Item<'a> {
        let (place, text) = (Place::of(member), member.value);
        match text.first() {
            Some(b'{') => Item::Map(MapRef::Base { arena, place, text }),
            Some(b'[') => Item::List(ListRef::Base { arena, place, text }),
            _ => Item::Value(ValueRef::Text(text)),
        }
    }

    pub(super) fn of_entry(entry: &'a Entry) -> Option<Item<'a>> {
        match entry {
            Entry::Removed => None,
            Entry::Value(value) => Some(Item::Value(value.as_ref())),
            Entry::Map(map) => Some(Item::Map(MapRef::Changed(map))),
            Entry::List(list) => Some(Item::List(ListRef::Changed(list))),
        }
    }
}

/// A map, wherever it lies.
#[derive(Clone, Copy)]
pub(crate) enum MapRef<'a> {
    Base { arena: &'a Arena, place: Place, text: &'a [u8] },
    Changed(&'a Map),
}

impl<'a> MapRef<'a> {
    pub(crate) fn len(self) -> usize {
        match self {
            MapRef::Base { arena, place, .. } => place.view(arena).len(),
            MapRef::Changed(map) => map.len(),
        }
    }

    pub(super) fn view(self) -> Option<View<'a>> {
        match self {
            MapRef::Base { arena, place, .. } => Some(place.view(arena)),
            MapRef::Changed(map) => map.base.as_ref().map(Base::view),
        }
    }

    pub(crate) fn get(self, name: NameRef<'_>) -> Option<ValueRef<'a>> {
        let view = self.view();
        if let MapRef::Changed(map) = self
            && view.as_ref().is_none_or(|view| view.may_be_changed(name.0))
            && let Some(change) = map.changes.get(&name)
        {
            return change.as_ref().map(Value::as_ref);
        }
        view?.find(name.0).map(|member| ValueRef::Text(member.value))
    }
}

/// A list, wherever it lies.
#[derive(Clone, Copy)]
pub(crate) enum ListRef<'a> {
    Base { arena: &'a Arena, place: Place, text: &'a [u8] },
    Changed(&'a List),
}

impl<'a> ListRef<'a> {
    pub(crate) fn len(self) -> usize {
        match self {
            ListRef::Base { arena, place, .. } => place.view(arena).len(),
            ListRef::Changed(list) => list.len(),
        }
    }

    /// The elements from this index on.
    pub(crate) fn from(self, first: usize) -> impl Iterator<Item = ValueRef<'a>> {
        let (view, appended) = match self {
            ListRef::Base { arena, place, .. } => (Some(place.view(arena)), None),
            ListRef::Changed(list) => (list.base.as_ref().map(Base::view), Some(&list.appended)),
        };
        let base_len = view.as_ref().map_or(0, View::len);
        let in_base = (first..base_len).filter_map(move |index| view.as_ref().map(|view| ValueRef::Text(view.element(index))));
        let rest = appended.into_iter().flat_map(move |appended| {
            let skipped = first.saturating_sub(base_len).min(appended.len());
            (skipped..appended.len()).filter_map(|index| appended.get(index).map(Value::as_ref))
        });
        in_base.chain(rest)
    }
}
