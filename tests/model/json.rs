//! JSON in the simplest code that can say what canonical text is: a tree, recursion, one character after the other. Shares
//! nothing with the library.

use std::collections::BTreeMap;

/// A JSON value. Numbers keep their text; objects keep their members as they stand, double ones and all.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    Null,
    Bool(bool),
    Number(String),
    String(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Reads one value, in which at most `depth` objects and arrays enclose each other. Nothing where it is no JSON.
    pub fn read(text: &str, depth: usize) -> Option<Json> {
        let mut reader = Reader { rest: text, depth };
        let value = reader.value(0)?;
        reader.space();
        reader.rest.is_empty().then_some(value)
    }

    /// As [`Json::read`], of bytes of which each that is no UTF-8 reads as U+FFFD.
    pub fn read_lossy(bytes: &[u8], depth: usize) -> Option<Json> {
        let mut text = String::new();
        let mut rest = bytes;
        loop {
            match std::str::from_utf8(rest) {
                Ok(valid) => {
                    text.push_str(valid);
                    return Json::read(&text, depth);
                }
                Err(error) => {
                    let (valid, invalid) = rest.split_at(error.valid_up_to());
                    text.push_str(std::str::from_utf8(valid).expect("valid up to here"));
                    text.push('\u{fffd}');
                    rest = &invalid[1..];
                }
            }
        }
    }

    /// The canonical text.
    pub fn text(&self) -> String {
        match self {
            Json::Null => "null".to_owned(),
            Json::Bool(value) => value.to_string(),
            Json::Number(text) => text.clone(),
            Json::String(text) => quoted(text),
            Json::Array(elements) => {
                let elements: Vec<String> = elements.iter().map(Json::text).collect();
                format!("[{}]", elements.join(","))
            }
            Json::Object(members) => {
                let members: BTreeMap<&str, &Json> = members.iter().map(|(name, value)| (name.as_str(), value)).collect();
                let members: Vec<String> = members.into_iter().map(|(name, value)| format!("{}:{}", quoted(name), value.text())).collect();
                format!("{{{}}}", members.join(","))
            }
        }
    }

    /// The last member of this name, of an object.
    pub fn get(&self, name: &str) -> Option<&Json> {
        match self {
            Json::Object(members) => members.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// Whether an object in here has two members of the same name.
    pub fn has_double_members(&self) -> bool {
        match self {
            Json::Array(elements) => elements.iter().any(Json::has_double_members),
            Json::Object(members) => {
                let names: BTreeMap<&str, ()> = members.iter().map(|(name, _)| (name.as_str(), ())).collect();
                names.len() < members.len() || members.iter().any(|(_, value)| value.has_double_members())
            }
            _ => false,
        }
    }
}

/// A canonical string.
pub fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => out.push_str(&format!("\\u{:04x}", u32::from(character))),
            _ => out.push(character),
        }
    }
    out.push('"');
    out
}

struct Reader<'t> {
    rest: &'t str,
    depth: usize,
}

impl Reader<'_> {
    fn space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\n', '\r', '\t']);
    }

    fn take(&mut self, wanted: char) -> Option<()> {
        self.rest = self.rest.strip_prefix(wanted)?;
        Some(())
    }

    fn next(&mut self) -> Option<char> {
        let next = self.rest.chars().next()?;
        self.rest = &self.rest[next.len_utf8()..];
        Some(next)
    }

    fn value(&mut self, level: usize) -> Option<Json> {
        self.space();
        match self.rest.chars().next()? {
            '{' | '[' if level >= self.depth => None,
            '{' => self.object(level),
            '[' => self.array(level),
            '"' => self.string().map(Json::String),
            '-' | '0'..='9' => self.number().map(Json::Number),
            _ => {
                let words = [("null", Json::Null), ("true", Json::Bool(true)), ("false", Json::Bool(false))];
                let (word, value) = words.into_iter().find(|(word, _)| self.rest.starts_with(word))?;
                self.rest = &self.rest[word.len()..];
                Some(value)
            }
        }
    }

    fn object(&mut self, level: usize) -> Option<Json> {
        let mut members = Vec::new();
        self.take('{')?;
        self.space();
        if self.take('}').is_some() {
            return Some(Json::Object(members));
        }
        loop {
            self.space();
            let name = self.string()?;
            self.space();
            self.take(':')?;
            members.push((name, self.value(level + 1)?));
            self.space();
            match self.next()? {
                ',' => {}
                '}' => return Some(Json::Object(members)),
                _ => return None,
            }
        }
    }

    fn array(&mut self, level: usize) -> Option<Json> {
        let mut elements = Vec::new();
        self.take('[')?;
        self.space();
        if self.take(']').is_some() {
            return Some(Json::Array(elements));
        }
        loop {
            elements.push(self.value(level + 1)?);
            self.space();
            match self.next()? {
                ',' => {}
                ']' => return Some(Json::Array(elements)),
                _ => return None,
            }
        }
    }

    fn number(&mut self) -> Option<String> {
        let whole = self.rest;
        let _ = self.take('-');
        if self.take('0').is_none() {
            self.digits()?;
        }
        if self.take('.').is_some() {
            self.digits()?;
        }
        if self.take('e').or_else(|| self.take('E')).is_some() {
            let _ = self.take('+').or_else(|| self.take('-'));
            self.digits()?;
        }
        Some(whole[..whole.len() - self.rest.len()].to_owned())
    }

    fn digits(&mut self) -> Option<()> {
        let without = self.rest.trim_start_matches(|character: char| character.is_ascii_digit());
        let is_any = without.len() < self.rest.len();
        self.rest = without;
        is_any.then_some(())
    }

    fn string(&mut self) -> Option<String> {
        let mut text = String::new();
        self.take('"')?;
        loop {
            match self.next()? {
                '"' => return Some(text),
                '\\' => text.push(self.escape()?),
                '\0'..='\u{1f}' => return None,
                other => text.push(other),
            }
        }
    }

    fn escape(&mut self) -> Option<char> {
        Some(match self.next()? {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            plain @ ('"' | '\\' | '/') => plain,
            'u' => {
                let unit = self.unit()?;
                let after = self.rest;
                if (0xd800..0xdc00).contains(&unit)
                    && self.rest.starts_with("\\u")
                    && let Some(low) = (Reader { rest: &self.rest[2..], depth: 0 }).unit()
                    && (0xdc00..0xe000).contains(&low)
                {
                    self.rest = &after[6..];
                    return char::from_u32(0x10000 + (unit - 0xd800) * 0x400 + (low - 0xdc00));
                }
                char::from_u32(unit).unwrap_or('\u{fffd}')
            }
            _ => return None,
        })
    }

    /// Four hexadecimal digits.
    fn unit(&mut self) -> Option<u32> {
        (0..4).try_fold(0, |unit, _| Some(unit * 16 + self.next()?.to_digit(16)?))
    }
}
