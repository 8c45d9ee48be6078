//! The state of a namespace, as immutable versions.
//!
//! A version is a *base*, canonical text that never changes and is shared by many versions, and an *overlay*, a small persistent
//! map of what was changed since. `docs/state.md` draws the layout and gives the cost of everything.

mod arena;
mod entry;
mod merge;
mod name;
mod slots;
mod value;
mod write;

pub(crate) use entry::{Entry, Item, ListRef, MapRef};
pub(crate) use name::{Name, NameRef};
pub(crate) use value::{Value, ValueRef, integer_literal, write_integer};
pub(crate) use write::Hashing;

use crate::json::{JsonError, canonical, repair_utf8};
use crate::ops::{Action, Op};
use arena::{Arena, Extent, Member};
use bytes::Bytes;
use entry::{Base, List, Map, Place, entry_len};
use imbl::OrdMap;
use std::borrow::Cow;
use std::sync::Arc;

/// One immutable version of a namespace's state: cloned in O(1), and never changed by what is done to its clones.
#[derive(Clone, Debug)]
pub struct State {
    base: Arc<Arena>,
    /// What was changed since the base was read.
    names: OrdMap<Name, Entry>,
    /// How many names there are.
    len: usize,
    /// The length of all names as `"name":value`, in bytes.
    text: usize,
    /// The sum of the weights of `names`.
    weight: usize,
}

impl State {
    /// `{}`.
    pub fn empty() -> State {
        match Arena::build(Bytes::from_static(b"{}"), Extent::Members, 1) {
            Ok(arena) => State::over(arena),
            // The text is canonical.
            Err(error) => unreachable!("{error}"),
        }
    }

    /// Reads a JSON object, nested no deeper than `depth` (itself included). Canonical text becomes the base as it is, not copied;
    /// anything else is rewritten canonically first, bytes that are no UTF-8 becoming U+FFFD. At most 4 GiB.
    pub fn read(text: Bytes, depth: usize) -> Result<State, JsonError> {
        let text = match repair_utf8(&text) {
            Cow::Borrowed(_) => text,
            Cow::Owned(repaired) => Bytes::from(repaired),
        };
        if text.first() == Some(&b'{')
            && let Ok(arena) = Arena::build(text.clone(), Extent::Members, depth)
        {
            return Ok(State::over(arena));
        }
        let rewritten = canonical(&text, depth)?;
        if rewritten.first() != Some(&b'{') {
            return Err(JsonError { offset: 0, message: "not a JSON object" });
        }
        Arena::build(Bytes::from(rewritten), Extent::Members, depth).map(State::over)
    }

    fn over(arena: Arena) -> State {
        let root = arena.root();
        let len = root.len();
        let text = root.inner_len() - len.saturating_sub(1);
        State { base: Arc::new(arena), names: OrdMap::new(), len, text, weight: 0 }
    }

    /// Applies the ops in order. Clones of the earlier version are untouched. The cost depends on the ops, not on the state.
    pub fn apply(&mut self, ops: &[Op]) {
        for op in ops {
            self.apply_one(&op.name, &op.action);
        }
    }

    /// Appends the whole state as canonical JSON.
    pub fn write_canonical(&self, out: &mut Vec<u8>) {
        out.reserve(self.canonical_len());
        self.write_to(out);
    }

    /// The length of the whole state as canonical JSON in bytes. Exact, in O(1).
    pub fn canonical_len(&self) -> usize {
        2 + self.text + self.len.saturating_sub(1)
    }

    /// How many names, map entries and list elements were changed since the base, in O(1). Says when to [`State::compact`].
    pub fn overlay_len(&self) -> usize {
        self.weight
    }

    /// How many names, and map entries and list elements directly below them, the base has, in O(1).
    pub fn base_len(&self) -> usize {
        self.base.entries()
    }

    /// The same state with everything in its base. Writes and reads the whole state: for a background thread.
    pub fn compact(&self) -> State {
        let mut text = Vec::new();
        self.write_canonical(&mut text);
        match Arena::build(Bytes::from(text), Extent::Members, usize::MAX) {
            Ok(arena) => State::over(arena),
            // Text above 4 GiB cannot be a base: go on with what there is.
            Err(_) => self.clone(),
        }
    }

    /// What a name holds.
    pub(crate) fn get(&self, name: NameRef<'_>) -> Option<Item<'_>> {
        if !self.names.is_empty()
            && self.base.root().may_be_changed(name.0)
            && let Some(entry) = self.names.get(&name)
        {
            return Item::of_entry(entry);
        }
        self.in_base(name).map(|member| Item::of_member(&self.base, &member))
    }

    /// What the base has at a name.
    fn in_base(&self, name: NameRef<'_>) -> Option<Member<'_>> {
        self.base.root().find(name.0)
    }

    fn apply_one(&mut self, name: &Name, action: &Action) {
        match action {
            Action::Nothing => {}
            Action::Set(entry) => self.put(name, entry.clone()),
            Action::Remove => self.remove(name),
            Action::Compute(arithmetic) => {
                let before = match self.get(NameRef(name.spelling())) {
                    Some(Item::Value(value)) => value.as_integer(),
                    _ => 0,
                };
                self.put(name, Entry::Value(Value::Integer(arithmetic.of(before))));
            }
            Action::SetEntry(key, value) => self.edit(name, true, Entry::as_map, |map| map.set(key, value.clone())),
            Action::ComputeEntry { key, arithmetic, creates } => self.edit(name, *creates, Entry::as_map, |map| {
                map.update(key, |before| Value::Integer(arithmetic.of(before.map_or(0, ValueRef::as_integer))));
            }),
            Action::RemoveEntry(key) => {
                // Without this look, removing what is not there would put the map into the overlay.
                if let Some(Item::Map(map)) = self.get(NameRef(name.spelling()))
                    && map.get(NameRef(key.spelling())).is_some()
                {
                    self.edit(name, false, Entry::as_map, |map| map.remove(key));
                }
            }
            Action::Append(value) => self.edit(name, true, Entry::as_list, |list| list.append(value.clone())),
        }
    }

    /// Lets `edit` change the map or list that a name holds. Where it holds none, `create` says whether it gets an empty one first.
    fn edit<T: Clone + Default>(
        &mut self,
        name: &Name,
        create: bool,
        as_kind: impl Fn(&mut Entry, bool) -> Option<&mut Arc<T>>,
        edit: impl FnOnce(&mut T),
    ) {
        if let Some(entry) = self.names.get_mut(name) {
            let before = (entry.is_present(), entry.len(), entry.weight());
            if let Some(kind) = as_kind(entry, create) {
                edit(Arc::make_mut(kind));
            }
            let after = (entry.is_present(), entry.len(), entry.weight());
            self.account(name, before, after);
            return;
        }
        let found = self.in_base(NameRef(name.spelling()));
        let before = found.as_ref().map_or((false, 0, 0), |member| (true, member.value.len(), 0));
        let mut entry = match found {
            Some(member) if matches!(member.value.first(), Some(b'{' | b'[')) => {
                Base { arena: Arc::clone(&self.base), place: Place::of(&member) }.into_entry()
            }
            _ => Entry::Removed,
        };
        if let Some(kind) = as_kind(&mut entry, create) {
            edit(Arc::make_mut(kind));
            self.account(name, before, (true, entry.len(), entry.weight()));
            self.change(name, entry);
        }
    }

    /// Changes a name against the base; returns the change before.
    fn change(&mut self, name: &Name, entry: Entry) -> Option<Entry> {
        let before = self.names.insert(name.clone(), entry);
        if before.is_none() {
            self.base.root().mark_changed(name.spelling());
        }
        before
    }

    fn put(&mut self, name: &Name, entry: Entry) {
        let after = (true, entry.len(), entry.weight());
        let before = match self.change(name, entry) {
            Some(entry) => (entry.is_present(), entry.len(), entry.weight()),
            None => self.in_base(NameRef(name.spelling())).map_or((false, 0, 0), |member| (true, member.value.len(), 0)),
        };
        self.account(name, before, after);
    }

    fn remove(&mut self, name: &Name) {
        let in_base = self.in_base(NameRef(name.spelling())).map(|member| member.value.len());
        let replaced = match in_base {
            Some(_) => self.change(name, Entry::Removed),
            None => self.names.remove(name),
        };
        let before = match replaced {
            Some(entry) => (entry.is_present(), entry.len(), entry.weight()),
            None => in_base.map_or((false, 0, 0), |len| (true, len, 0)),
        };
        let after = (false, 0, if in_base.is_some() { Entry::Removed.weight() } else { 0 });
        self.account(name, before, after);
    }

    /// Keeps the sums right when a name goes from one (is present, length, weight) to another.
    fn account(&mut self, name: &Name, before: (bool, usize, usize), after: (bool, usize, usize)) {
        if before.0 {
            self.len -= 1;
            self.text -= entry_len(name.spelling(), before.1);
        }
        if after.0 {
            self.len += 1;
            self.text += entry_len(name.spelling(), after.1);
        }
        self.weight = self.weight - before.2 + after.2;
    }
}

impl Entry {
    /// The map that this is, or is made with `create`.
    fn as_map(&mut self, create: bool) -> Option<&mut Arc<Map>> {
        if create && !matches!(self, Entry::Map(_)) {
            *self = Entry::Map(Arc::default());
        }
        if let Entry::Map(map) = self { Some(map) } else { None }
    }

    /// The list that this is, or is made with `create`.
    fn as_list(&mut self, create: bool) -> Option<&mut Arc<List>> {
        if create && !matches!(self, Entry::List(_)) {
            *self = Entry::List(Arc::default());
        }
        if let Entry::List(list) = self { Some(list) } else { None }
    }
}
