//! What a name holds once it was changed: a map or a list over what it held before, or a single value.

use super::arena::{Arena, Extent, Member, Spot, View, WARMED};
use super::changes::{Changes, Current};
use super::name::{Name, NameRef};
use super::value::{Value, ValueRef};
use crate::ops::{Action, Op};
use bytes::Bytes;
use imbl::Vector;
use std::sync::Arc;

/// What the overlay says of a name.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
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
            Entry::Value(value) => value.len(),
            Entry::Map(map) => map.sums.text_len(),
            Entry::List(list) => list.sums.text_len(),
        }
    }

    /// How many changes this entry holds.
    pub(super) fn weight(&self) -> usize {
        match self {
            Entry::Value(_) => 0,
            Entry::Map(map) => map.changes.len(),
            Entry::List(list) => list.appended.len(),
        }
    }

    /// Applies ops to the map that this is, or becomes.
    pub(super) fn apply(&mut self, ops: &[Op]) {
        match self {
            Entry::Map(map) => Arc::make_mut(map).apply(ops),
            Entry::Value(_) | Entry::List(_) => {
                let mut map = Map::default();
                map.apply(ops);
                *self = Entry::Map(Arc::new(map));
            }
        }
    }

    /// Appends to the list that this is, or becomes.
    pub(super) fn append(&mut self, value: Value) {
        match self {
            Entry::List(list) => Arc::make_mut(list).append(value),
            Entry::Value(_) | Entry::Map(_) => {
                let mut list = List::default();
                list.append(value);
                *self = Entry::List(Arc::new(list));
            }
        }
    }
}

/// What is told of the members of an object, or the elements of an array, without a look at them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sums {
    /// How many there are.
    pub(super) len: usize,
    /// The length of all in bytes, without the commas between them; that of a member as `"name":value`.
    text: usize,
}

impl Sums {
    pub(super) fn of(view: &View<'_>) -> Sums {
        Sums { len: view.len(), text: view.inner_len() - view.len().saturating_sub(1) }
    }

    /// The length of the canonical text.
    pub(super) fn text_len(&self) -> usize {
        2 + self.text + self.len.saturating_sub(1)
    }

    /// A member goes from a value of one length to one of another; `None` where it is absent.
    pub(super) fn account(&mut self, name: &Name, before: Option<usize>, after: Option<usize>) {
        let of = |value: usize| name.spelling().len() + 3 + value;
        self.len = self.len - usize::from(before.is_some()) + usize::from(after.is_some());
        self.text = self.text - before.map_or(0, of) + after.map_or(0, of);
    }

    /// An element of this length is appended.
    fn account_appended(&mut self, value: usize) {
        self.len += 1;
        self.text += value;
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
        let (is_object, sums) = (view.is_object(), Sums::of(&view));
        if is_object {
            Entry::Map(Arc::new(Map { base: Some(self), changes: Changes::default(), sums }))
        } else {
            Entry::List(Arc::new(List { base: Some(self), appended: Vector::new(), sums }))
        }
    }
}

/// A map: a base that does not change, and what was changed since.
#[derive(Clone, Debug, Default)]
pub(crate) struct Map {
    pub(super) base: Option<Base>,
    pub(super) changes: Changes<Value>,
    sums: Sums,
}

impl Map {
    /// What an entry is, where `spot` was found for its name in the base.
    fn at<'a>(changes: &'a Changes<Value>, spot: &Spot<'a>, name: NameRef<'_>) -> Option<ValueRef<'a>> {
        Some(match changes.current(spot, name)? {
            Current::Changed(value) => value.as_ref(),
            Current::Base(member) => ValueRef::Text(member.value),
        })
    }

    /// Does to entries what ops say. Other ops than those on entries change nothing.
    fn apply(&mut self, ops: &[Op]) {
        let Map { base, changes, sums } = self;
        let base = base.as_ref().map(Base::view);
        for ops in ops.chunks(WARMED) {
            if let Some(base) = &base {
                base.warm(ops.iter().filter_map(|op| op.action.key()).map(Name::spelling));
            }
            for op in ops {
                let Some(key) = op.action.key() else { continue };
                let spot = Spot::look(base.as_ref(), key.spelling());
                let before = Map::at(changes, &spot, NameRef(key.spelling()));
                let after = match &op.action {
                    Action::SetEntry(_, value) => Some(value.clone()),
                    Action::ComputeEntry { arithmetic, .. } => Some(Value::Integer(arithmetic.of(before.map_or(0, ValueRef::as_integer)))),
                    _ => None,
                };
                if before.is_none() && after.is_none() {
                    continue;
                }
                sums.account(key, before.map(ValueRef::len), after.as_ref().map(Value::len));
                changes.put(base.as_ref(), &spot, key, after);
            }
        }
    }
}

/// A list: a base that does not change, and what was appended since.
#[derive(Clone, Debug, Default)]
pub(crate) struct List {
    pub(super) base: Option<Base>,
    pub(super) appended: Vector<Value>,
    sums: Sums,
}

impl List {
    fn append(&mut self, value: Value) {
        self.sums.account_appended(value.len());
        self.appended.push_back(value);
    }
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

    pub(super) fn of_entry(entry: &'a Entry) -> Item<'a> {
        match entry {
            Entry::Value(value) => Item::Value(value.as_ref()),
            Entry::Map(map) => Item::Map(MapRef::Changed(map)),
            Entry::List(list) => Item::List(ListRef::Changed(list)),
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
            MapRef::Changed(map) => map.sums.len,
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
        match self {
            MapRef::Base { .. } => view?.find(name.0).map(|member| ValueRef::Text(member.value)),
            MapRef::Changed(map) => Map::at(&map.changes, &Spot::look(view.as_ref(), name.0), name),
        }
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
            ListRef::Changed(list) => list.sums.len,
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
