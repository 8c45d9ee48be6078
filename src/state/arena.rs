//! Canonical text that never changes, and where in it everything is.

use super::slots::{self, Slots};
use crate::json::{JsonError, Reader, compare_names};
use bytes::Bytes;
use std::borrow::Cow;
use std::cmp::Ordering;
use std::ops::Range;

/// Objects and arrays within a value that are shorter than this are read by passing over their text.
const INDEXED_FROM: usize = 512;

/// How many names are looked up at once, and from how many slots on: fewer are in the caches anyway.
pub(super) const WARMED: usize = 64;
const WARMED_FROM: usize = 1 << 14;

/// How much of a text is indexed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// The members or elements of the outermost object or array.
    Outermost,
    /// Also those of its members: a whole state.
    Members,
}

/// One object or array in canonical text, with an index of it and of what it holds.
///
/// Everything is flat: dropping an arena frees a handful of blocks, however many entries it has.
#[derive(Debug)]
pub(crate) struct Arena {
    text: Bytes,
    root: Table,
    /// Where the entries of every table begin in `text`, one table after the other.
    starts: Vec<u32>,
    slots: Slots,
    /// The members of the root that have a table of their own, in ascending order of their ordinal.
    children: Vec<(u32, Table)>,
    /// Entries of the root and of its members.
    entries: usize,
}

/// Where one object or array is indexed.
#[derive(Clone, Debug)]
struct Table {
    is_object: bool,
    /// The closing bracket in `text`.
    close: u32,
    /// In `starts`.
    entries: Range<u32>,
    /// In the slots; empty where there are none.
    slots: Range<u32>,
}

/// What a pass over one object or array found.
#[derive(Default)]
struct Found {
    is_object: bool,
    close: u32,
    starts: Vec<u32>,
    hashes: Vec<u64>,
}

impl Arena {
    /// Indexes `text`, which must be canonical and shorter than 4 GiB, and begin with an object or an array.
    pub(super) fn build(text: Bytes, extent: Extent, depth: usize) -> Result<Arena, JsonError> {
        if u32::try_from(text.len()).is_err() {
            return Err(JsonError { offset: text.len(), message: "longer than 4 GiB" });
        }
        let mut arena = Arena {
            text: text.clone(),
            root: Table { is_object: false, close: 0, entries: 0..0, slots: 0..0 },
            starts: Vec::new(),
            slots: Slots::new(),
            children: Vec::new(),
            entries: 0,
        };
        let mut reader = Reader::new(&text, depth);
        let mut root = Found::default();
        let mut child = Found::default();
        let hasher = arena.slots.hasher();
        find_entries(&mut reader, 0, &hasher, &mut root, |reader, ordinal| {
            if extent == Extent::Outermost || !matches!(reader.peek(), Some(b'{' | b'[')) {
                reader.skip_canonical(1)?;
                return Ok(());
            }
            let from = reader.position();
            find_entries(reader, 1, &hasher, &mut child, |reader, _| reader.skip_canonical(2).map(|_| ()))?;
            arena.entries += child.starts.len();
            if reader.position() - from >= INDEXED_FROM {
                let table = arena.add(&child);
                arena.children.push((ordinal, table));
            }
            Ok(())
        })?;
        reader.end()?;
        if reader.position() != text.len() || root.close as usize + 1 != text.len() {
            return Err(JsonError { offset: root.close as usize + 1, message: "not canonical" });
        }
        arena.root = arena.add(&root);
        arena.entries += root.starts.len();
        arena.starts.shrink_to_fit();
        arena.slots.shrink_to_fit();
        arena.children.shrink_to_fit();
        Ok(arena)
    }

    fn add(&mut self, found: &Found) -> Table {
        // No index can overflow: an entry takes two bytes of a text that is shorter than 4 GiB, and slots are for members, which take five.
        let first = self.starts.len() as u32;
        self.starts.extend_from_slice(&found.starts);
        Table {
            is_object: found.is_object,
            close: found.close,
            entries: first..self.starts.len() as u32,
            slots: self.slots.add(&found.starts, &found.hashes),
        }
    }

    /// Entries of the root and of its members.
    pub(super) fn entries(&self) -> usize {
        self.entries
    }

    pub(super) fn root(&self) -> View<'_> {
        self.view(&self.root)
    }

    /// The object or array that the root's member `ordinal` holds, which begins at `start`.
    pub(super) fn child(&self, ordinal: u32, start: u32) -> View<'_> {
        match self.children.binary_search_by_key(&ordinal, |(ordinal, _)| *ordinal) {
            Ok(place) => self.view(&self.children[place].1),
            Err(_) => View::scan(&self.text, start as usize),
        }
    }

    fn view(&self, table: &Table) -> View<'_> {
        let starts = &self.starts[table.entries.start as usize..table.entries.end as usize];
        View {
            text: &self.text,
            is_object: table.is_object,
            close: table.close as usize,
            starts: Cow::Borrowed(starts),
            slots: (!table.slots.is_empty()).then(|| (&self.slots, table.slots.clone())),
        }
    }
}

/// Passes over the object or array that is next and notes where its entries begin; `value` passes over each value.
fn find_entries(
    reader: &mut Reader<'_>,
    level: usize,
    hasher: &slots::Hasher,
    found: &mut Found,
    mut value: impl FnMut(&mut Reader<'_>, u32) -> Result<(), JsonError>,
) -> Result<(), JsonError> {
    found.starts.clear();
    found.hashes.clear();
    found.is_object = match reader.peek() {
        Some(b'{') => true,
        Some(b'[') => false,
        _ => return reader.fail("not an object or array"),
    };
    reader.check_depth(level)?;
    reader.advance();
    let close = if found.is_object { b'}' } else { b']' };
    let mut previous = None;
    if reader.peek() != Some(close) {
        loop {
            found.starts.push(reader.position() as u32);
            if found.is_object {
                let name = reader.canonical_name(previous)?;
                found.hashes.push(slots::hash(hasher, &reader.text()[name.clone()]));
                previous = Some(name);
            }
            value(reader, found.starts.len() as u32 - 1)?;
            match reader.peek() {
                Some(b',') => reader.advance(),
                Some(byte) if byte == close => break,
                _ => return reader.fail("not canonical"),
            }
        }
    }
    found.close = reader.position() as u32;
    reader.advance();
    Ok(())
}

/// A member of an object in canonical text.
#[derive(Clone, Copy)]
pub(super) struct Member<'a> {
    pub(super) ordinal: usize,
    /// Where its value begins in the text.
    pub(super) start: usize,
    pub(super) value: &'a [u8],
}

/// What was found where a name was looked for.
pub(super) struct Spot<'a> {
    /// What the object has there.
    pub(super) member: Option<Member<'a>>,
    /// Whether a version may hold something else there: `false` spares it the search for it.
    pub(super) may_be_changed: bool,
    /// Of the name, where the object has slots.
    hash: u64,
}

impl<'a> Spot<'a> {
    /// The same above nothing.
    pub(super) fn look(base: Option<&View<'a>>, name: &[u8]) -> Spot<'a> {
        base.map_or(Spot { member: None, may_be_changed: true, hash: 0 }, |base| base.look(name))
    }
}

/// An object or array in canonical text whose entries can be reached by their ordinal.
#[derive(Clone)]
pub(super) struct View<'a> {
    text: &'a [u8],
    is_object: bool,
    /// The closing bracket.
    close: usize,
    starts: Cow<'a, [u32]>,
    slots: Option<(&'a Slots, Range<u32>)>,
}

impl<'a> View<'a> {
    /// Of a small object or array that has no index.
    fn scan(text: &'a [u8], start: usize) -> View<'a> {
        // The text was checked when the arena was built, so that no error can come up here; if one did, the rest would be missing.
        let mut reader = Reader::new(text, usize::MAX);
        reader.seek(start);
        let is_object = reader.peek() == Some(b'{');
        let mut starts = Vec::new();
        let mut more = if is_object { reader.open_object(0) } else { reader.open_array(0) }.unwrap_or(false);
        while more {
            starts.push(reader.position() as u32);
            let passed = if is_object { reader.name().and_then(|_| reader.skip(1)) } else { reader.skip(1) };
            let next = passed.and_then(|_| if is_object { reader.next_member() } else { reader.next_element() });
            more = next.unwrap_or(false);
        }
        View { text, is_object, close: reader.position() - 1, starts: Cow::Owned(starts), slots: None }
    }

    pub(super) fn len(&self) -> usize {
        self.starts.len()
    }

    pub(super) fn is_object(&self) -> bool {
        self.is_object
    }

    /// The length of what stands between the brackets.
    pub(super) fn inner_len(&self) -> usize {
        self.starts.first().map_or(0, |&first| self.close - first as usize)
    }

    fn start(&self, ordinal: usize) -> usize {
        self.starts[ordinal] as usize
    }

    /// Where the entry ends, without the comma.
    fn end(&self, ordinal: usize) -> usize {
        self.starts.get(ordinal + 1).map_or(self.close, |&next| next as usize - 1)
    }

    /// The text of consecutive entries, with the commas between them.
    pub(super) fn span(&self, ordinals: Range<usize>) -> &'a [u8] {
        if ordinals.is_empty() { &[] } else { &self.text[self.start(ordinals.start)..self.end(ordinals.end - 1)] }
    }

    /// The element of an array.
    pub(super) fn element(&self, ordinal: usize) -> &'a [u8] {
        &self.text[self.start(ordinal)..self.end(ordinal)]
    }

    /// The member of an object with this ordinal, and its name.
    pub(super) fn member(&self, ordinal: usize) -> (&'a [u8], Member<'a>) {
        let name = self.start(ordinal) + 1;
        let length = name_length(&self.text[name..]);
        let start = name + length + 2;
        (&self.text[name..name + length], Member { ordinal, start, value: &self.text[start..self.end(ordinal)] })
    }

    /// The text of the entry from its name on, and all that follows.
    fn named(&self, ordinal: usize) -> &'a [u8] {
        &self.text[self.start(ordinal) + 1..]
    }

    /// The member with this name.
    #[inline]
    pub(super) fn find(&self, name: &[u8]) -> Option<Member<'a>> {
        match &self.slots {
            Some((slots, range)) => self.find_hashed(slots, range, name, slots.hash(name)),
            None => {
                let ordinal = self.seek(name, 0).ok()?;
                Some(self.member_at((ordinal, self.start(ordinal)), name))
            }
        }
    }

    #[inline]
    fn find_hashed(&self, slots: &Slots, range: &Range<u32>, name: &[u8], hash: u64) -> Option<Member<'a>> {
        let found = slots.find(range.clone(), hash, |start| {
            let rest = &self.text[start + 1..];
            // A name ends at the first quote that is not escaped, and none that is looked for ends in half an escape.
            rest.get(name.len()) == Some(&b'"') && rest.starts_with(name)
        })?;
        Some(self.member_at(found, name))
    }

    /// What the object has at a name, and whether a version may hold something else there.
    #[inline]
    pub(super) fn look(&self, name: &[u8]) -> Spot<'a> {
        let Some((slots, range)) = &self.slots else {
            return Spot { member: self.find(name), may_be_changed: true, hash: 0 };
        };
        let hash = slots.hash(name);
        let member = self.find_hashed(slots, range, name, hash);
        Spot { member, may_be_changed: slots.may_be_changed(range.clone(), hash), hash }
    }

    fn member_at(&self, (ordinal, start): (usize, usize), name: &[u8]) -> Member<'a> {
        let start = start + name.len() + 3;
        Member { ordinal, start, value: &self.text[start..self.end(ordinal)] }
    }

    /// Brings what lookups of these names will look at into the caches: all of it at once, where one lookup after the other would wait for
    /// each. At most [`WARMED`] names.
    pub(super) fn warm<'n>(&self, names: impl Iterator<Item = &'n [u8]>) {
        let Some((slots, range)) = self.slots.as_ref().filter(|(_, range)| range.len() >= WARMED_FROM) else { return };
        let mut places = [(0, 0); WARMED];
        let mut count = 0;
        for (place, name) in places.iter_mut().zip(names) {
            *place = slots.first(range.clone(), slots.hash(name));
            count += 1;
        }
        let touched = places[..count].iter().map(|&(ordinal, start)| u32::from(self.text[start]) ^ self.starts[ordinal]);
        // Nobody wants the sum, but the machine has to load what it is made of.
        std::hint::black_box(touched.fold(0, |sum, touched| sum ^ touched));
    }

    /// Notes that a version is about to hold something else here. To be called before anybody can ask that version.
    pub(super) fn mark_changed(&self, spot: &Spot<'_>) {
        if let Some((slots, range)) = self.slots.as_ref().filter(|_| !spot.may_be_changed) {
            slots.mark_changed(range.clone(), spot.hash);
        }
    }

    /// The ordinal of the member with this name, or of the first one behind where it would stand. `from` is known not to be
    /// behind it; the nearer the cheaper.
    pub(super) fn seek(&self, name: &[u8], from: usize) -> Result<usize, usize> {
        let compare = |ordinal: usize| compare_names(self.named(ordinal), name);
        let mut low = from;
        let mut step = if from == 0 { self.len() } else { 1 };
        while low + step < self.len() && compare(low + step) == Ordering::Less {
            low += step + 1;
            step *= 2;
        }
        let mut high = (low + step).min(self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match compare(middle) {
                Ordering::Less => low = middle + 1,
                Ordering::Equal => return Ok(middle),
                Ordering::Greater => high = middle,
            }
        }
        if low < self.len() && compare(low) == Ordering::Equal { Ok(low) } else { Err(low) }
    }
}

/// The length of the name that `text` begins with: up to the quote that is not escaped.
fn name_length(text: &[u8]) -> usize {
    let mut length = 0;
    while let Some(&byte) = text.get(length) {
        match byte {
            b'"' => break,
            b'\\' => length += 2,
            _ => length += 1,
        }
    }
    length
}
