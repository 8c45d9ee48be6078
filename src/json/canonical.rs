//! Rewriting a value canonically.

use super::JsonError;
use super::scan::{Reader, is_plain};
use super::strict::string_content;
use super::string::{compare_names, escape_into, recode_into};
use std::cmp::Ordering;

/// The byte of the text read at which a member stood whose name the same object has already.
pub(crate) type Duplicate = Option<usize>;

/// An object or array that is being written.
struct Open {
    is_object: bool,
    /// Where in `Writer::members` its members begin.
    first_member: usize,
    /// Whether every name so far sorted after the one before it.
    is_sorted: bool,
}

/// Where a member stands in what was written: from its opening quote, and the end of its name.
#[derive(Clone, Copy)]
struct Member {
    start: usize,
    name_end: usize,
    /// Where its name stands in what was read.
    read_at: usize,
}

struct Writer<'o> {
    out: &'o mut Vec<u8>,
    open: Vec<Open>,
    members: Vec<Member>,
    duplicate: Duplicate,
}

/// Reads the value that is next, inside of `level` objects and arrays, and appends it to `out` canonically.
pub(crate) fn write_value(reader: &mut Reader<'_>, level: usize, out: &mut Vec<u8>) -> Result<Duplicate, JsonError> {
    let mut writer = Writer { out, open: Vec::new(), members: Vec::new(), duplicate: None };
    loop {
        match reader.peek_token() {
            Some(b'{') => {
                let has_members = reader.open_object(level + writer.open.len())?;
                writer.out.push(b'{');
                if has_members {
                    writer.open.push(Open { is_object: true, first_member: writer.members.len(), is_sorted: true });
                    writer.name(reader)?;
                    continue;
                }
                writer.out.push(b'}');
            }
            Some(b'[') => {
                let has_elements = reader.open_array(level + writer.open.len())?;
                writer.out.push(b'[');
                if has_elements {
                    writer.open.push(Open { is_object: false, first_member: writer.members.len(), is_sorted: true });
                    continue;
                }
                writer.out.push(b']');
            }
            Some(b'"') => {
                let content = reader.string::<false>()?;
                writer.string(&reader.text()[content]);
            }
            _ => {
                let scalar = reader.skip(level)?;
                writer.out.extend_from_slice(&reader.text()[scalar]);
            }
        }
        loop {
            let Some(open) = writer.open.last() else { return Ok(writer.duplicate) };
            if open.is_object {
                if reader.next_member()? {
                    writer.out.push(b',');
                    writer.name(reader)?;
                    break;
                }
                writer.close_object();
            } else {
                if reader.next_element()? {
                    writer.out.push(b',');
                    break;
                }
                writer.out.push(b']');
                writer.open.pop();
            }
        }
    }
}

/// The same for a value that was passed over before, and so checked. Most of those are strings that need no other spelling.
pub(crate) fn write_checked_value(value: &[u8], out: &mut Vec<u8>) -> Result<Duplicate, JsonError> {
    if string_content(value).is_some_and(is_plain) {
        out.extend_from_slice(value);
        return Ok(None);
    }
    write_value(&mut Reader::new(value, usize::MAX), 0, out)
}

/// The name of the map entry that a value, passed over before, is the key of: its canonical text, as that stands between the quotes of a
/// name. `out` is replaced.
pub(crate) fn write_key_name(key: &[u8], out: &mut Vec<u8>) -> Result<(), JsonError> {
    out.clear();
    // Most keys are strings that need no other spelling.
    if let Some(content) = string_content(key).filter(|content| is_plain(content)) {
        out.reserve(content.len() + 4);
        for part in [br#"\""#, content, br#"\""#] {
            out.extend_from_slice(part);
        }
        return Ok(());
    }
    let mut canonical = Vec::with_capacity(key.len() + 8);
    write_checked_value(key, &mut canonical)?;
    escape_into(out, &canonical);
    Ok(())
}

impl Writer<'_> {
    fn string(&mut self, content: &[u8]) {
        self.out.push(b'"');
        recode_into(self.out, content);
        self.out.push(b'"');
    }

    fn name(&mut self, reader: &mut Reader<'_>) -> Result<(), JsonError> {
        let content = reader.name()?;
        let start = self.out.len();
        let read_at = content.start - 1;
        self.string(&reader.text()[content]);
        let name_end = self.out.len() - 1;
        self.out.push(b':');
        if let Some(open) = self.open.last_mut() {
            if let Some(previous) = self.members[open.first_member..].last()
                && compare_names(&self.out[previous.start + 1..previous.name_end], &self.out[start + 1..name_end]) != Ordering::Less
            {
                open.is_sorted = false;
            }
            self.members.push(Member { start, name_end, read_at });
        }
        Ok(())
    }

    fn close_object(&mut self) {
        let Some(open) = self.open.pop() else { return };
        if !open.is_sorted {
            self.sort(open.first_member);
        }
        self.members.truncate(open.first_member);
        self.out.push(b'}');
    }

    /// Puts the members of the object that ends here in order, the last one of a name winning.
    fn sort(&mut self, first_member: usize) {
        let members = &self.members[first_member..];
        let ends: Vec<usize> = members.iter().skip(1).map(|next| next.start - 1).chain([self.out.len()]).collect();
        let name = |index: usize| &self.out[members[index].start + 1..members[index].name_end];
        let mut order: Vec<usize> = (0..members.len()).collect();
        order.sort_by(|&a, &b| compare_names(name(a), name(b)));
        let mut sorted = Vec::with_capacity(self.out.len() - members[0].start);
        for (place, &index) in order.iter().enumerate() {
            if let Some(&next) = order.get(place + 1)
                && name(index) == name(next)
            {
                self.duplicate = self.duplicate.or(Some(members[next].read_at));
                continue;
            }
            if !sorted.is_empty() {
                sorted.push(b',');
            }
            sorted.extend_from_slice(&self.out[members[index].start..ends[index]]);
        }
        let start = members[0].start;
        self.out.truncate(start);
        self.out.extend_from_slice(&sorted);
    }
}
